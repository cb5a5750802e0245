"""`vljepa teach`: labels by example, from the live camera, the memory, a bag or pictures."""

from __future__ import annotations

import argparse
import glob
import json
import math
import select
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError, CliUsageError

FIELDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("name", "other", "model_id", "message"), str),
    **dict.fromkeys(("frames", "other_frames", "recordings"), int),
    "cameras": list,
    "accuracy": float,
    "usable": bool,
}
LINE = (
    "'{name}' ({frames} frames), not '{other}' ({other_frames}), on {cameras}: usable {usable}, "
    "accuracy {accuracy}"
)
PAUSE_S = 3.0  # between two states that are recorded without a keyboard


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "teach",
        help="teach a label by example: show a state instead of describing it",
        description="Show a state and the one that it must be told apart from, each for some "
        "seconds and better twice; from then on its name stands in labels, triggers and find like "
        "a text. With --pictures or --bag no node is needed; a running one takes the label over.",
        epilog="Example: vljepa teach 'the gripper holds a part' --other 'the gripper is empty'",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the label's name")
    parser.add_argument("--other", default="", metavar="NAME", help="the state to tell it from")
    parser.add_argument("--camera", default="", help="camera's name (default: the only one)")
    parser.add_argument(
        "--show", choices=("both", "state", "other"), default="both", help="default: both"
    )
    parser.add_argument(
        "--seconds",
        type=options.positive_seconds,
        metavar="S",
        help="record each for S seconds (default: until Enter)",
    )
    span = {"nargs": 2, "type": options.time_of, "metavar": ("START", "END")}
    parser.add_argument("--from", dest="state_span", **span, help="times that show the state")
    parser.add_argument("--other-from", dest="other_span", **span, help="and the other one")
    parser.add_argument("--bag", type=Path, help="these are times of a bag, not of the memory")
    parser.add_argument(
        "--topic", default="", help="image topic of the bag (default: the only one)"
    )
    parser.add_argument("--pictures", metavar="GLOB", help="files or a folder with the state")
    parser.add_argument("--other-pictures", metavar="GLOB", help="and with the other one")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--list", action="store_true", help="list what was taught")
    does.add_argument("--rename", metavar="NEW", help="give it another name")
    does.add_argument("--forget", action="store_true", help="delete it and its frames")
    does.add_argument("--export", type=Path, metavar="FILE", help="write it to a file")
    does.add_argument("--import", type=Path, dest="source", metavar="FILE", help="read it from one")
    options.add_model_options(parser, threads=True)
    options.add_service_options(parser, "the labels")
    parser.set_defaults(run=options.exit_on_error(_run))


def _run(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.taught_store import TaughtFileError
    from vljepa_ros.perception.teaching import TeachingError

    if not (args.name.strip() or args.list or args.source):
        raise CliUsageError("NAME is missing: what the state is called")
    try:
        if args.source or args.export:
            return _copy(args)
        if args.pictures or args.other_pictures or args.bag:
            return _local(args)
        return _served(args)
    except (TeachingError, TaughtFileError) as error:
        raise CliError(str(error)) from error


def _store(args: argparse.Namespace) -> Any:
    """The labels of the robot's perception node, on this machine."""
    from vljepa_ros.perception.taught_store import TaughtStore
    from vljepa_ros.resources import taught_folder

    prefix = f"/{args.namespace}" if args.namespace else ""
    return TaughtStore(taught_folder(f"{prefix}/vljepa/perception_node"))


def _copy(args: argparse.Namespace) -> int:
    """Export or import a file."""
    from vljepa_ros.perception.taught_store import read_lesson, write_lesson

    store = _store(args)
    if args.export:
        path = store.path_of(args.name.strip())
        if not path.is_file():
            raise CliError(f"no taught label '{args.name}' in '{store.folder}'")
        lesson = read_lesson(path)
        write_lesson(args.export, lesson)
        print(f"'{lesson.name}' written to {args.export}")
        return 0
    lesson = read_lesson(args.source)
    path = store.path_of(lesson.name)
    if path.exists():
        raise CliError(f"there is a label '{lesson.name}' already: rename or forget it first")
    write_lesson(path, lesson)
    print(f"'{lesson.name}' taken over into {store.folder}")
    return 0


def _local(args: argparse.Namespace) -> int:
    """Learn from pictures or a bag, in this process."""
    from vljepa_ros.perception.example_sources import from_bag, from_pictures

    pictures = [pattern and _files(pattern) for pattern in (args.pictures, args.other_pictures)]
    sources: list[Any] = [args.state_span, args.other_span] if args.bag else pictures
    if not any(sources):
        raise CliUsageError("--bag needs --from or --other-from: times of the bag")
    store, engine = _store(args), options.load_model(args, frozenset({"vision", "predictor"}))
    config, camera = engine.config, args.camera or "pictures"
    if "embed" not in engine.capabilities:
        raise CliError(f"model '{config.name}' has no embeddings: it cannot be taught labels")
    store.refresh(config)
    lesson = store.lesson_for(args.name, args.other, config.model_id)
    for shows_other, source in zip((False, True), sources, strict=True):
        if source and args.bag:
            recording = from_bag(engine, args.bag, args.topic, source, camera, shows_other)
            lesson = lesson.shown(recording)
        elif source:
            recording, left_out = from_pictures(engine, source, camera, shows_other)
            lesson = lesson.shown(recording)
            print(left_out, end="\n" if left_out else "", file=sys.stderr)
    store.put(lesson.learned(config.visual_dim))
    from vljepa_ros.nodes.teaching import label_message

    return _report(args, [label_message(store.lessons[lesson.name])], "")


def _files(pattern: str) -> list[Path]:
    """The files of a folder or of a pattern, in the order of their names."""
    folder = Path(pattern).expanduser()
    found = folder.iterdir() if folder.is_dir() else map(Path, glob.glob(str(folder)))
    files = sorted(path for path in found if path.is_file())
    if not files:
        raise CliUsageError(f"no pictures at '{pattern}'")
    return files


def _served(args: argparse.Namespace) -> int:
    """What perception_node does."""
    from vljepa_ros.cli.client import GraphClient

    show = [which for which in (False, True) if args.show != ("state" if which else "other")]
    memory = args.state_span or args.other_span
    manages = args.list or args.rename or args.forget
    if not (manages or memory or args.seconds or sys.stdin.isatty()):
        raise CliUsageError("standard input is no terminal: say how long with --seconds")
    with GraphClient(args.namespace, args.domain) as graph:
        teacher = _Teacher(graph, args)
        if args.list:
            reply = teacher.ask("LIST", name=args.name)
        elif args.rename:
            reply = teacher.ask("RENAME", new_name=args.rename)
        elif args.forget:
            reply = teacher.ask("FORGET")
        elif memory:
            spans = (False, args.state_span), (True, args.other_span)
            reply = [teacher.take(which, span) for which, span in spans if span][-1]
        else:
            for place, which in enumerate(show):
                reply = teacher.record(which, pause=PAUSE_S if place and args.seconds else 0.0)
    if args.forget:
        print(f"'{args.name}' is forgotten")
        return 0
    return _report(args, reply.labels, reply.result.message)


def _report(args: argparse.Namespace, labels: Sequence[Any], message: str) -> int:
    """Print labels; fail if the one that was taught cannot be used."""
    found = [
        {name: kind(getattr(label, name)) for name, kind in FIELDS.items()} for label in labels
    ]
    for one in found:
        one["accuracy"] = None if math.isnan(one["accuracy"]) else round(one["accuracy"], 3)
    if args.json:
        print(json.dumps(found))
    else:
        print("\n".join(LINE.format(**one) for one in found) or "nothing was taught")
    bad = [one["message"] for one in found if not (one["usable"] or args.list)]
    if bad:
        raise CliError(f"kept, but not usable yet: {bad[0]}")
    print(message, end="\n" if message else "", file=sys.stderr)
    return 0


class _Teacher:
    """A client of the service teach."""

    def __init__(self, graph: Any, args: argparse.Namespace) -> None:
        from vljepa_ros import ros
        from vljepa_ros.nodes.topics import RESULTS

        self._graph, self._args = graph, args
        self._kind = ros.interface("vljepa_ros/srv/Teach").Request
        self._client = graph.connect("vljepa_ros/srv/Teach", "teach", args.timeout)
        self._newest: Any = None
        graph.subscribe("vljepa_ros/msg/TeachProgress", "teach_progress", self._progress, RESULTS)

    def ask(self, operation: str, **fields: Any) -> Any:
        """A reply.

        Raises:
            CliError: The request was refused.
        """
        args = self._args
        fields = {"name": args.name, "other": args.other, "camera": args.camera, **fields}
        request = self._kind(operation=getattr(self._kind, operation), **fields)
        reply = self._graph.call(self._client, request, args.timeout)
        if reply.result.code not in (reply.result.OK, reply.result.PENDING) and not reply.labels:
            raise CliError(reply.result.message)
        return reply

    def take(self, shows_other: bool, span: list[int]) -> Any:
        """Have a time range of the memory learned."""
        from vljepa_ros.nodes.topics import to_stamp

        start, end = map(to_stamp, span)
        return self.ask("FROM_MEMORY", showing_other=shows_other, start=start, end=end)

    def record(self, shows_other: bool, pause: float) -> Any:
        """Record one state until Enter, or for the seconds that were asked for."""
        args, told = self._args, sys.stderr
        what = (args.other or "the other state") if shows_other else args.name
        print(f"show: {what}", "" if args.seconds else ", then press Enter", sep="", file=told)
        if args.seconds:
            time.sleep(pause)
        else:
            sys.stdin.readline()
        self.ask("START", showing_other=shows_other)
        end = time.monotonic() + (args.seconds or math.inf)
        print("recording", "" if args.seconds else ", Enter ends it", sep="", file=told)
        try:
            self._graph.spin(lambda: time.monotonic() > end or (not args.seconds and _entered()))
        finally:  # Ctrl-C too: what was recorded is kept
            print(file=told)
            reply = self.ask("STOP")
        return reply

    def _progress(self, message: Any) -> None:
        told = f", told apart {message.separability:.2f}"
        told = ", too alike" if message.too_alike else told if message.separability >= 0 else ""
        text = f"\r{message.frames} frames, {message.needed} or more needed{told}    "
        print(text, end="", file=sys.stderr, flush=True)


def _entered() -> bool:
    if not select.select([sys.stdin], [], [], 0)[0]:
        return False
    sys.stdin.readline()
    return True
