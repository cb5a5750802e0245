"""`vljepa up`: starts camera, perception, decoder and triggers on a machine without ROS."""

from __future__ import annotations

import argparse
import os
import re
from importlib.util import find_spec
from pathlib import Path

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliUsageError, note
from vljepa_ros.nodes.program import leave_quietly_on_signals
from vljepa_ros.resources import AUTO, choose_model

SOURCES = ("demo", "none", "world")

_CAMERA = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:=(.+))?")
_PARAMETER = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*:)?[A-Za-z_][A-Za-z0-9_.]*:=.*", re.DOTALL)
_MODEL = re.compile(r"(?:[A-Za-z0-9_]+:)?model:=")
LEVELS = ("debug", "info", "warn", "error", "fatal")


def camera(text: str) -> tuple[str, str]:
    """Parse NAME or NAME=TOPIC; the topic is empty if none is given."""
    match = _CAMERA.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME or NAME=TOPIC; a name has letters, digits and _, a letter first"
        )
    return match[1], match[2] or ""


def parameter(text: str) -> str:
    """Check [NODE:]NAME:=VALUE."""
    if not _PARAMETER.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [NODE:]NAME:=VALUE, e.g. perception_node:max_rate:=2.0"
        )
    return text


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "up",
        help="start the nodes on a machine without ROS",
        description="Start camera, perception, decoder and triggers, by default on the shipped "
        "clip in a loop, until Ctrl-C. With ROS: ros2 launch vljepa_ros perception.launch.py",
    )
    parser.add_argument(
        "--source",
        default="demo",
        metavar="WHAT",
        help="demo: the shipped clip; world: the simulated world; none: no "
        "camera node; a video file, a folder of images or a webcam (0, /dev/video0) "
        "(default: demo)",
    )
    options.add_model_options(parser, AUTO, None)
    parser.add_argument(
        "--camera",
        type=camera,
        action="append",
        metavar="NAME[=TOPIC]",
        help="a camera and its image topic; may be given several times (default: front)",
    )
    parser.add_argument("--no-decoder", action="store_true", help="without selective decoding")
    parser.add_argument(
        "--trigger",
        action="append",
        default=[],
        metavar="TEXT[|SCORE]",
        help="add a trigger: an event when the text becomes true and when it becomes false; may be "
        "repeated. See it with: vljepa events",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="store what is seen, for find_moments (needs: pip install 'vljepa_ros[memory]')",
    )
    parser.add_argument(
        "--console",
        action="store_true",
        help="serve a page for a browser that shows what the robot sees, at http://localhost:8420/",
    )
    parser.add_argument(
        "--processes", action="store_true", help="one process for each node (default: one for all)"
    )
    parser.add_argument(
        "--params-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="ROS parameter file, read after the package's own in config/; may be repeated",
    )
    parser.add_argument(
        "-p",
        "--param",
        type=parameter,
        action="append",
        default=[],
        metavar="[NODE:]NAME:=VALUE",
        help="set a parameter; may be repeated",
    )
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="default: info")
    options.add_graph_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the nodes until Ctrl-C; returns 0."""
    _check(args)
    model = _choose_model(args)
    leave_quietly_on_signals()
    if args.domain is not None:
        os.environ["ROS_DOMAIN_ID"] = str(args.domain)
    from vljepa_ros.cli import bringup

    left_out = {
        "console": not args.console,
        "decoder": args.no_decoder,
        "memory": not args.memory,
    }
    config = bringup.BringupConfig(
        source=args.source,
        model=model,
        engine=args.engine or "",
        cameras=tuple(args.camera or ()),
        triggers=tuple(args.trigger),
        nodes=frozenset(name for name in bringup.NODES if not left_out.get(name)),
        namespace=args.namespace,
        params_files=tuple(args.params_file),
        parameters=tuple(args.param),
        log_level=args.log_level,
    )
    if args.processes:
        from vljepa_ros.cli.processes import run_nodes_until_stopped

        return run_nodes_until_stopped(bringup.commands(config))
    return bringup.run(config)


def _check(args: argparse.Namespace) -> None:
    """Check the options before anything is started."""
    for file in args.params_file:
        if not file.is_file():
            raise CliUsageError(f"--params-file {file}: no such file")
    names = [name for name, _ in args.camera or ()]
    if len(set(names)) < len(names):
        raise CliUsageError(f"--camera: names must differ, given: {', '.join(names)}")
    known = args.source in SOURCES or args.source.isdecimal()
    if not known and not os.path.exists(os.path.expanduser(args.source)):
        raise CliUsageError(
            f"--source {args.source}: neither {', '.join(SOURCES)}, a webcam's index, nor a file "
            "or folder that exists"
        )
    if args.memory and find_spec("lancedb") is None:
        raise CliUsageError("--memory needs LanceDB: pip install 'vljepa_ros[memory]'")
    if args.trigger:
        from vljepa_ros.perception.triggers import parse_triggers
        from vljepa_ros.perception.vocabulary import VocabularyError

        try:
            parse_triggers(args.trigger)
        except VocabularyError as error:
            raise CliUsageError(f"--trigger: {error}") from error


def _choose_model(args: argparse.Namespace) -> str:
    """Choose and print the model for the nodes; empty: as their parameters say."""
    if args.model == AUTO and any(_MODEL.match(given) for given in args.param):
        return ""
    model, why = choose_model(args.model, args.source, args.params_file)
    if model:
        options.read_model(model)
    note(why)
    return model
