"""The `vljepa` command: runs a subcommand, and turns errors into one line and an exit code.

Exit codes: 0 success; 1 the work, or a part of it, failed (a node died, a service refused, no reply
in time, damaged images in a bag); 2 invalid command line; 130 stopped with Ctrl-C. `up` and
`events` run until Ctrl-C and then return 0. `ask` returns 0 if no candidate is sure enough, as that
is a reply, too, and 1 if the camera has no image that is new enough.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import entry_points

from vljepa_ros import __version__
from vljepa_ros.cli import (
    ask,
    bag,
    check,
    console,
    demo,
    events,
    find,
    info,
    memory,
    model_files,
    models,
    up,
)
from vljepa_ros.cli.options import CliError, CliUsageError, Commands, printable
from vljepa_ros.cli.teach import add as add_teach
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.program import REMEDY, missing_package

# Each of these modules is cheap to import: what is heavy is imported when the command runs.
COMMANDS = (
    demo.add,
    up.add,
    console.add,
    ask.add_ask,
    ask.add_label,
    add_teach,
    events.add,
    info.add,
    bag.add,
    check.add,
    find.add,
    memory.add,
    models.add_models,
    models.add_fetch,
    model_files.add_convert,
    model_files.add_export,
    model_files.add_build,
)
EXTENSIONS = "vljepa.commands"  # entry point group: modules with a function `add`, as above
LAB_COMMANDS = {
    "train": "train a model",
    "eval": "measure a model's quality on held-out scenes",
    "bench": "measure speed",
}
LAB_REMEDY = "in the source tree, pip install -e . -e 'lab[train,eval,world]'"
TORCH_REMEDY = "pip install torch transformers onnx onnxscript"
REMEDIES = dict.fromkeys(LAB_COMMANDS, LAB_REMEDY) | dict.fromkeys(
    ("convert", "export", "build-engine"), TORCH_REMEDY
)


class _Parser(argparse.ArgumentParser):
    """argparse with a one-line error instead of the whole usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = _Parser(
        prog="vljepa",
        description="See with a VL-JEPA model: embeddings, labels, events, answers from cameras.",
        epilog="Start with `vljepa demo`. With a robot: `ros2 launch vljepa_ros "
        "perception.launch.py`; without ROS: `vljepa up` in one shell, "
        "`vljepa ask 'is the door open?' yes no` in another.",
    )
    parser.add_argument("--version", action="version", version=f"vljepa_ros {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for add in COMMANDS:
        add(commands)
    _add_extensions(commands)
    return parser


def _add_extensions(commands: Commands) -> None:
    """Add the commands of other packages, and a hint for each missing command of the lab."""
    missing = dict.fromkeys(
        LAB_COMMANDS,
        f"it is part of vljepa_lab, which is not installed: {LAB_REMEDY}",
    )
    for command in entry_points(group=EXTENSIONS):
        try:
            command.load().add(commands)
            missing.pop(command.name, None)
        except ImportError as error:
            missing[command.name] = f"its module {command.value} cannot be imported: {error}"
    for name, why in missing.items():
        hint = commands.add_parser(name, help=LAB_COMMANDS.get(name, "cannot be imported"))
        hint.add_argument("options", nargs=argparse.REMAINDER)
        hint.set_defaults(run=_refuse, why=why)


def _refuse(args: argparse.Namespace) -> int:
    raise CliError(args.why)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of the process) and return the exit code."""
    parser = build_parser()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_terminate)
    try:
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return 0
        return int(args.run(args))
    except SystemExit as stop:  # argparse: --help, --version and errors
        return stop.code if isinstance(stop.code, int) else 2
    except (CliUsageError, CliError, ModelError) as error:
        print(f"vljepa {args.command}: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, CliUsageError) else 1
    except ImportError as error:
        remedy = REMEDIES.get(args.command, REMEDY)
        print(f"vljepa {args.command}: {missing_package(error, remedy)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `vljepa events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _on_terminate(*_: object) -> None:
    """Exit by an exception, so that processes started by a command are ended, too."""
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
