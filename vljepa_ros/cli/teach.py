"""`vljepa teach`: teaches labels by example, from a camera, the memory, a bag or pictures."""

from __future__ import annotations

import argparse
import glob
import json
import math
import os
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError, CliUsageError

if TYPE_CHECKING:
    from vljepa_ros import ros
    from vljepa_ros.cli.client import GraphClient
    from vljepa_ros.perception.taught_store import TaughtStore

FIELDS = (
    *("name", "other", "frames", "other_frames", "recordings", "cameras"),
    *("usable", "accuracy", "model_id", "message"),
)
PAUSE_S = 3.0  # to show a state that is recorded without a keyboard


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "teach",
        help="teach a label by example: show a state instead of describing it",
        description="Show a state and the one that it must be distinguished from, each for some "
        "seconds and better twice; then its name can be used as a label, in triggers and in find. "
        "With --pictures or --bag no node is needed; a running one takes over the label.",
        epilog="Example: vljepa teach 'the gripper holds a part' --other 'the gripper is empty'",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="the label's name")
    show: dict[str, Any] = {"choices": ("both", "state", "other"), "default": "both"}
    seconds: dict[str, Any] = {"type": options.positive_seconds, "metavar": "S"}
    span: dict[str, Any] = {"nargs": 2, "type": options.time_of, "metavar": ("START", "END")}
    for name, how, text in (
        ("--other", {"metavar": "NAME", "default": ""}, "the state to distinguish it from"),
        ("--camera", {"default": ""}, "camera's name (default: the only one)"),
        ("--show", show, "default: both"),
        ("--seconds", seconds, "record each for S seconds (default: until Enter)"),
        ("--from", {"dest": "state_span", **span}, "times that show the state"),
        ("--other-from", {"dest": "other_span", **span}, "and the other one"),
        ("--bag", {"type": Path}, "these are times of a bag, not of the memory"),
        ("--topic", {"default": ""}, "image topic of the bag (default: the only one)"),
        ("--pictures", {"metavar": "GLOB"}, "files or a folder with the state"),
        ("--other-pictures", {"metavar": "GLOB"}, "and with the other one"),
    ):
        parser.add_argument(name, help=text, **how)
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
    from vljepa_ros.perception.image_encodings import FrameError
    from vljepa_ros.perception.teaching import TeachingError

    if not (args.name.strip() or args.list or args.source):
        raise CliUsageError("NAME is missing: the name of the state")
    if args.name.strip() and args.source:
        raise CliUsageError("--import takes no NAME: the file has it; --rename changes it later")
    try:
        if args.source or args.export:
            return _copy(args)
        if args.pictures or args.other_pictures or args.bag:
            return _local(args)
        return _served(args)
    except (FrameError, TeachingError) as error:
        raise CliError(str(error)) from error


def taught_store(args: argparse.Namespace) -> TaughtStore:
    """The store of taught labels of the robot's perception node, on this machine."""
    from vljepa_ros.perception.taught_store import TaughtStore
    from vljepa_ros.resources import kept_by

    prefix = f"/{args.namespace}" if args.namespace else ""
    return TaughtStore(kept_by(f"{prefix}/vljepa/perception_node", ".taught"))


def _copy(args: argparse.Namespace) -> int:
    """Export or import a file."""
    from vljepa_ros.perception.taught_store import read_lesson, write_lesson

    store = taught_store(args)
    lesson = read_lesson(args.source or store.path_of(args.name.strip()))
    place = args.export or store.path_of(lesson.name)
    if place.exists():
        raise CliError(f"'{place}' exists already, allowed: a new file, a label with another name")
    write_lesson(place, lesson)
    print(f"'{lesson.name}' written to {place}")
    return 0


def _local(args: argparse.Namespace) -> int:
    """Teach from pictures or a bag, in this process."""
    from vljepa_ros.perception.example_sources import from_bag, from_pictures

    pictures = [pattern and _files(pattern) for pattern in (args.pictures, args.other_pictures)]
    sources: list[Any] = [args.state_span, args.other_span] if args.bag else pictures
    if not any(sources):
        raise CliUsageError("--bag needs --from or --other-from: times of the bag")
    store, engine = taught_store(args), options.load_model(args, frozenset({"vision", "predictor"}))
    config = engine.config
    if "embed" not in engine.capabilities:
        raise CliError(f"model '{config.name}' has no embeddings: it cannot be taught labels")
    store.refresh(config)
    lesson = store.lesson_for(args.name, args.other, config.model_id)
    for shows_other, source in enumerate(sources):
        if source:
            shown = args.camera or "pictures", bool(shows_other)
            if args.bag:
                recording = from_bag(engine, args.bag, args.topic, source, *shown)
            else:
                recording = from_pictures(engine, source, *shown)
            lesson = lesson.shown(recording)
    store.put(lesson.learned(config.visual_dim))
    from vljepa_ros.nodes.teaching import label_message

    return _report(args, [label_message(store.lessons[lesson.name])], "")


def _files(pattern: str) -> list[Path]:
    """The files of a folder or of a pattern, sorted by name."""
    path = Path(os.path.expanduser(pattern))
    files = sorted(path.iterdir() if path.is_dir() else map(Path, glob.glob(str(path))))
    if not files:
        raise CliUsageError(f"no pictures at '{pattern}'")
    return files


def _served(args: argparse.Namespace) -> int:
    """Teach through perception_node."""
    from vljepa_ros.cli.client import GraphClient

    manages = args.list or args.rename or args.forget
    spans = {False: args.state_span, True: args.other_span}
    if not (manages or any(spans.values()) or args.seconds or sys.stdin.isatty()):
        raise CliUsageError("standard input is not a terminal: give the length with --seconds")
    with GraphClient(args.namespace, args.domain) as graph:
        teacher = _Teacher(graph, args)
        if args.rename:
            reply = teacher.ask("RENAME", new_name=args.rename)
        elif manages:
            reply = teacher.ask("LIST" if args.list else "FORGET")
        elif any(spans.values()):
            reply = [teacher.take(which, span) for which, span in spans.items() if span][-1]
        else:
            show = {"state": [False], "other": [True]}.get(args.show, [False, True])
            reply = [teacher.record(which) for which in show][-1]
    return _report(args, reply.labels, reply.result.message)


def _report(args: argparse.Namespace, labels: Sequence[ros.Message], message: str) -> int:
    """Print labels; fails if the label just taught cannot be used."""
    found = [{name: getattr(label, name) for name in FIELDS} for label in labels]
    for one in found:
        one["cameras"] = list(one["cameras"])
        one["accuracy"] = None if math.isnan(one["accuracy"]) else one["accuracy"]
    lines = [", ".join(f"{name} {value}" for name, value in one.items()) for one in found]
    print(json.dumps(found) if args.json else "\n".join(lines) or "no taught labels")
    if not args.list and any(one["message"] for one in found):
        raise CliError(f"kept, but not usable yet: {found[0]['message']}")
    print(message, end="\n" if message else "", file=sys.stderr)
    return 0


class _Teacher:
    """A client of the service teach."""

    def __init__(self, graph: GraphClient, args: argparse.Namespace) -> None:
        from vljepa_ros import ros
        from vljepa_ros.nodes.topics import RESULTS

        self._graph, self._args = graph, args
        self._kind = ros.interface("vljepa_ros/srv/Teach").Request
        self._client = graph.connect("vljepa_ros/srv/Teach", "teach", args.timeout)
        graph.subscribe("vljepa_ros/msg/TeachProgress", "teach_progress", self._progress, RESULTS)

    def ask(self, operation: str, **fields: Any) -> ros.Message:
        """Send a request and return the reply.

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

    def take(self, shows_other: bool, span: list[int]) -> ros.Message:
        """Teach from a time range of the memory."""
        from vljepa_ros.nodes.topics import to_stamp

        start, end = map(to_stamp, span)
        return self.ask("FROM_MEMORY", showing_other=shows_other, start=start, end=end)

    def record(self, shows_other: bool) -> ros.Message:
        """Record one state until Enter, or for the given seconds."""
        args, out = self._args, sys.stderr
        what = (args.other or "the other state") if shows_other else args.name
        print(f"show: {what}", "" if args.seconds else ", then press Enter", sep="", file=out)
        if args.seconds:
            time.sleep(PAUSE_S)
        else:
            sys.stdin.readline()
        self.ask("START", showing_other=shows_other)
        end = time.monotonic() + (args.seconds or math.inf)
        print("recording", "" if args.seconds else ", Enter ends it", sep="", file=out)
        try:
            self._graph.spin(lambda: time.monotonic() > end or (not args.seconds and _entered()))
        finally:  # Ctrl-C too: what was recorded is kept
            print(file=out)
            reply = self.ask("STOP")
        return reply

    def _progress(self, message: ros.Message) -> None:
        apart = f", separated {message.separability:.2f}" if message.separability >= 0 else ""
        apart = ", too alike" if message.too_alike else apart
        text = f"\r{message.frames} frames, {message.needed} or more needed{apart}    "
        print(text, end="", file=sys.stderr, flush=True)


def _entered() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0] and sys.stdin.readline())
