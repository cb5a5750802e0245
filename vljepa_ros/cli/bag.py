"""`vljepa bag`: indexes recorded bags into the memory, or annotates them."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError, CliUsageError
from vljepa_ros.files import JsonObject

if TYPE_CHECKING:
    from vljepa_ros.engines.protocol import Engine
    from vljepa_ros.perception.bags.embedding import ClipPlan
    from vljepa_ros.perception.bags.indexing import IndexPlan


def add(commands: options.Commands) -> None:
    """Add the subcommand and its own subcommands."""
    parser = commands.add_parser(
        "bag",
        help="index or annotate recorded bags",
        description="ROS 2 bags (sqlite3, mcap) without ROS: searchable by text, or annotated.",
    )
    actions = options.add_actions(parser, "actions", "ACTION", "action")
    index = actions.add_parser(
        "index",
        help="put bags into the memory, for `vljepa find`",
        description="Embed the images of bags, segment them, and put them into the memory. Started "
        "again after an interruption it continues where it stopped.",
        epilog="Example: vljepa bag index monday/ tuesday/ && vljepa find 'the door opens'",
    )
    index.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="bag folders or files")
    options.add_memory_option(index)
    index.add_argument(
        "--events", type=Path, metavar="DIR", help="also write NAME.events.jsonl of each bag there"
    )
    index.add_argument(
        "--workers",
        type=options.natural_number,
        metavar="N",
        help="index N bags at a time with Ray Data (needs the extra [ray]; default: one after the "
        "other, without Ray)",
    )
    index.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="of a running Ray cluster, whose machines see bags, model and memory under the same "
        "paths (default: workers on this machine)",
    )
    _add_embedding_options(index)
    index.set_defaults(run=options.exit_on_error(_index))
    annotate = actions.add_parser(
        "annotate",
        help="copy a bag and add embeddings, labels and events",
        description="Write a copy of a bag with /vljepa/CAMERA/embeddings, /vljepa/CAMERA/labels "
        "and /vljepa/events; `ros2 bag play` plays it.",
    )
    annotate.add_argument("bag", type=Path, metavar="IN", help="bag folder or file")
    annotate.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    annotate.add_argument(
        "--storage", choices=("sqlite3", "mcap"), default="mcap", help="of OUT (default: mcap)"
    )
    _add_embedding_options(annotate)
    annotate.set_defaults(run=options.exit_on_error(_annotate))


def rotate(text: str) -> tuple[str, int]:
    """Read [CAMERA=]DEGREES."""
    camera, _, degrees = text.rpartition("=")
    return camera, int(degrees)


def crop(text: str) -> tuple[str, tuple[int, ...]]:
    """Read [CAMERA=]X,Y,WIDTH,HEIGHT."""
    camera, _, part = text.rpartition("=")
    return camera, tuple(map(int, part.split(",")))


def add_camera_options(parser: argparse.ArgumentParser) -> None:
    """Add --topic, --rotate and --crop."""
    parser.add_argument(
        "--topic",
        action="append",
        metavar="TOPIC[=CAMERA]",
        help="only this image topic, and its camera's name; may be repeated (default: all)",
    )
    whose = "of one camera or of all, as the perception node's parameter; may be repeated"
    for kind, metavar in ((rotate, "DEGREES"), (crop, "X,Y,WIDTH,HEIGHT")):
        name, metavar = f"--{kind.__name__}", f"[CAMERA=]{metavar}"
        parser.add_argument(
            name, action="append", default=[], type=kind, metavar=metavar, help=whose
        )


def _add_embedding_options(parser: argparse.ArgumentParser) -> None:
    options.add_model_options(parser, threads=True)
    add_camera_options(parser)
    parser.add_argument(
        "--every",
        type=options.positive_seconds,
        metavar="S",
        help="seconds from one clip to the next (default: the model's frame interval)",
    )
    kept = "seconds between samples kept in addition to the segments, 0: none"
    options.add_number_option(parser, "--samples", 1.0, kept, options.non_negative_seconds)
    cost = "Ward's merge cost at which a new segment begins"
    options.add_number_option(parser, "--threshold", 0.8, cost, float, "COST")
    options.add_number_option(parser, "--thumbnail", 96, "0: none", int, "PIXELS")
    options.add_json_option(parser, "the report")


def _index(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.bags.many import BagJob, RayMissingError, index_each, index_with_ray
    from vljepa_ros.perception.memory.store import open_store
    from vljepa_ros.perception.memory.upkeep import compact_and_index
    from vljepa_ros.resources import model_dir

    engine = options.load_model(args)
    names = Counter(bag.name for bag in {bag.resolve() for bag in args.bags})
    job = BagJob(
        model_dir(args.model),
        args.engine,
        args.threads,
        args.memory if "://" in args.memory else os.path.realpath(os.path.expanduser(args.memory)),
        _work_folder(args),
        _plan(args, engine),
        None if args.events is None else args.events.resolve(),
        frozenset(name for name, count in names.items() if count > 1),
    )
    outcomes: list[dict[str, Any]] = []
    try:
        if args.workers:
            bags = list(dict.fromkeys(bag.resolve() for bag in args.bags))
            for outcome in index_with_ray(bags, job, args.workers, args.ray_address):
                outcomes += _print_outcomes([outcome], args.json)
        store = open_store(args.memory, engine.config.model_id, engine.config.dim, create=True)
        if not args.workers:
            for bag in args.bags:
                with progress_bar(bag.name, args.json) as progress:
                    done = list(index_each([bag], job, engine, store, progress))
                outcomes += _print_outcomes(done, args.json)
    except RayMissingError as error:
        raise CliError(str(error)) from error
    compact_and_index(store)
    if args.json:
        print(json.dumps(outcomes))
    return 1 if any(one["problem"] or one["broken"] for one in outcomes) else 0


def _print_outcomes(outcomes: list[JsonObject], quiet: bool) -> list[JsonObject]:
    """Print the outcome of each bag and return all outcomes."""
    for done in outcomes:
        if "took" in done and not quiet:
            print(
                f"{done['bag']}: {done['seconds']:.1f} s recorded, {done['embeddings']} clips "
                f"({done['resumed']} from an earlier run), {done['segments']} segments, "
                f"{done['rows']} rows, in {done['took']:.1f} s: "
                f"{done['seconds'] / done['took']:.1f} times real time"
            )
            if "events" in done:
                print(f"  events: {done['events']}")
        print_rest(done, quiet)
    return outcomes


def print_rest(rest: JsonObject, quiet: bool, command: str = "bag") -> bool:
    """Print what was not used, and to stderr what was lost; returns whether something was."""
    from vljepa_ros.perception.bags.indexing import describe

    notes, lost = describe(rest)
    for note in [] if quiet else notes:
        print(f"  {options.printable(note)}")
    for line in lost:
        print(f"vljepa {command}: {options.printable(line)}", file=sys.stderr)
    return bool(lost)


def _annotate(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.bags.annotating import annotate_bag
    from vljepa_ros.perception.bags.indexing import embed_bag
    from vljepa_ros.perception.bags.reading import BagError
    from vljepa_ros.perception.bags.segmentation import scenes_of

    if args.out.exists():
        raise BagError(f"'{args.out}' exists; give a new name, nothing is overwritten")
    engine = options.load_model(args)
    plan = _plan(args, engine)
    work = args.out.absolute().parent
    with progress_bar(f"embed {args.bag.name}", args.json) as progress:
        found = embed_bag(args.bag, engine, plan, work, progress)
    clips = found.records.clips
    scenes = scenes_of(clips, engine, plan.threshold)
    with progress_bar(f"write {args.out.name}", args.json) as progress:
        added = annotate_bag(args.bag, args.out, scenes, engine, args.storage, progress)
    found.records.close(remove=True)
    if args.json:
        summary = {"out": str(args.out), "added": added, "segments": len(scenes)}
        print(json.dumps(summary | found.rest))
    else:
        print(f"{args.out}: {added} messages added, {len(scenes)} segments")
    return 1 if print_rest(found.rest, args.json) else 0


def _plan(args: argparse.Namespace, engine: Engine) -> IndexPlan:
    from vljepa_ros.perception.bags.indexing import IndexPlan

    if not 0.0 < args.threshold < math.inf:
        raise CliUsageError(f"--threshold is {args.threshold}, allowed: finite, above 0")
    clips = clip_plan(args, args.every or engine.config.frame_interval, args.thumbnail)
    return IndexPlan(clips, topics_of(args.topic), args.samples, args.threshold)


def topics_of(given: Sequence[str] | None) -> dict[str, str] | None:
    """Topic -> camera from the options --topic; None: all topics."""
    from vljepa_ros.perception.bags.topics import camera_of

    if not given:
        return None
    pairs = [text.partition("=") for text in given]
    bad = [name for *_, name in pairs if name and not (name.isascii() and name.isidentifier())]
    if bad:  # nothing could play a bag with topics of that name
        raise CliUsageError(
            f"--topic: camera is '{bad[0]}', allowed: letters, digits and _, the first no digit"
        )
    topics = {topic: camera or camera_of(topic) for topic, _, camera in pairs}
    if len(set(topics.values())) < len(given):
        raise CliUsageError("--topic: two have the same topic or camera")
    return topics


def clip_plan(args: argparse.Namespace, every: float, thumbnail: int) -> ClipPlan:
    """Make a ClipPlan from the options of `add_camera_options`."""
    from vljepa_ros.perception.bags.embedding import ClipPlan

    try:
        return ClipPlan(every, thumbnail, dict(args.rotate), dict(args.crop))
    except ValueError as error:
        raise CliUsageError(str(error)) from error


def _work_folder(args: argparse.Namespace) -> Path:
    """Folder for interrupted work: beside the memory, or local for object storage."""
    if "://" in args.memory:
        return Path("~/.vljepa/indexing").expanduser()
    return Path(os.path.expanduser(args.memory)) / "indexing"


@contextmanager
def progress_bar(name: str, quiet: bool) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(escape(name), total=1.0)
        yield lambda share: progress.update(task, completed=share)
