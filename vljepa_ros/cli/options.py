"""Shared by all commands: errors, argument types, options, and the format of times."""

from __future__ import annotations

import argparse
import datetime
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vljepa_ros.resources import EVERYDAY

if TYPE_CHECKING:
    from vljepa_ros import ros
    from vljepa_ros.engines.protocol import Engine
    from vljepa_ros.models.config import ModelConfig

DEFAULT_MEMORY = "~/.vljepa/memory"
_TOPIC = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")

Run = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""The object that a command adds its parser to."""


class CliError(Exception):
    """The work failed; the message is one line with the reason and a remedy. Exit code 1."""


class CliUsageError(Exception):
    """The command line is invalid; the message says what is allowed. Exit code 2."""


def positive_seconds(text: str) -> float:
    """Parse a number above 0, in the range of ROS."""
    return _number(text, "seconds above 0, below 2^31", lambda value: 0.0 < value < 2**31)


def non_negative_seconds(text: str) -> float:
    """Parse a number, 0 or above, in the range of ROS."""
    return _number(text, "seconds, 0 or above, below 2^31", lambda value: 0.0 <= value < 2**31)


def rate(text: str) -> float:
    """Parse a number a second, of images or clips."""
    return _number(text, "0.001 to 1000 a second", lambda value: 0.001 <= value <= 1000.0)


def _number(text: str, allowed: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    if not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: {allowed}")
    return value


def natural_number(text: str) -> int:
    """Parse a whole number, 1 or above."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a whole number, 1 or above")
    return value


def namespace_name(text: str) -> str:
    """Parse a ROS namespace such as `robot1` or `/fleet/robot1`; outer slashes are removed."""
    stripped = text.strip("/")
    if stripped and not _TOPIC.fullmatch(stripped):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a ROS namespace: letters, digits and _ between slashes, no digit "
            "first"
        )
    return stripped


def domain_id(text: str) -> int:
    """Parse a DDS domain that is valid on every platform."""
    if not text.isdecimal() or not 0 <= int(text) <= 101:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a ROS domain id, 0..101")
    return int(text)


def time_of(text: str) -> int:
    """Parse `2026-03-01T10:15`, with zone or local, or seconds since 1970; nanoseconds."""
    for read in (float, lambda text: datetime.datetime.fromisoformat(text).timestamp()):
        try:
            seconds = read(text)
        except (ValueError, OverflowError):
            continue
        if 0.0 <= seconds < 2**31:  # as a stamp of ROS
            return round(seconds * 1e9)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a valid time; allowed: 2026-03-01T10:15:00 (local, or with +00:00), or "
        "seconds since 1970, below 2^31"
    )


def add_number_option(
    parser: argparse.ArgumentParser,
    name: str,
    default: float,
    what: str,
    kind: Callable[[str], float] = positive_seconds,
    metavar: str = "S",
) -> None:
    """Add an option with a number, by default of seconds above 0."""
    help_text = f"{what} (default: {default:g})"
    parser.add_argument(name, type=kind, default=default, metavar=metavar, help=help_text)


def add_json_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select a robot: --namespace and --domain."""
    parser.add_argument(
        "--namespace",
        type=namespace_name,
        default="",
        metavar="NAME",
        help="the robot's namespace; the nodes are in NAME/vljepa (default: none)",
    )
    add_domain_option(parser, None, "ROS_DOMAIN_ID, else 0")


def add_domain_option(
    parser: argparse.ArgumentParser, default: int | None, default_text: str
) -> None:
    """Add --domain."""
    parser.add_argument(
        "--domain",
        type=domain_id,
        default=default,
        metavar="ID",
        help=f"ROS domain id, 0..101 (default: {default_text})",
    )


def add_service_options(parser: argparse.ArgumentParser, json_what: str) -> None:
    """Add the options of a command that calls a service: --timeout, the graph's, --json."""
    add_number_option(
        parser, "--timeout", 10.0, "seconds to wait for the node, and again for its reply"
    )
    add_graph_options(parser)
    add_json_option(parser, json_what)


def add_model_options(
    parser: argparse.ArgumentParser,
    model: str = EVERYDAY,
    engine: str | None = "auto",
    threads: bool = False,
) -> None:
    """Add --model and --engine, with their defaults, and with `threads` --threads."""
    parser.add_argument(
        "--model",
        default=model,
        metavar="NAME_OR_FOLDER",
        help=f"see `vljepa models` (default: {model})",
    )
    parser.add_argument("--engine", default=engine, metavar="NAME", help="default: auto")
    if threads:
        parser.add_argument(
            "--threads", type=int, default=0, metavar="N", help="of the engine; 0: chosen by it"
        )


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Add --memory."""
    parser.add_argument(
        "--memory",
        default=os.environ.get("VLJEPA_MEMORY", DEFAULT_MEMORY),
        metavar="DIR",
        help="the memory's directory or object storage address (default: $VLJEPA_MEMORY, else "
        f"{DEFAULT_MEMORY})",
    )


def add_actions(parser: argparse.ArgumentParser, title: str, metavar: str, dest: str) -> Commands:
    """Add subcommands to a command; without one it prints its help."""

    def print_help(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(run=print_help)
    return parser.add_subparsers(title=title, metavar=metavar, dest=dest)


def note(line: str) -> None:
    """Print progress on stderr, apart from the result on stdout."""
    print(line, file=sys.stderr, flush=True)


def load_model(args: argparse.Namespace, parts: frozenset[str] | None = None) -> Engine:
    """Load the engine that the options name.

    Raises:
        ModelError: The model cannot be used.
    """
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.resources import model_dir

    return load_engine(model_dir(args.model), args.engine, args.threads, parts)


def read_model(model: str) -> ModelConfig:
    """Return the configuration of a model given by name, path or hub id, as in `--model`.

    Raises:
        CliUsageError: There is no such model.
    """
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.models.folder import load_config
    from vljepa_ros.resources import model_dir

    try:
        return load_config(model_dir(model))
    except ModelError as error:
        raise CliUsageError(str(error)) from error


def exit_on_error(work: Run) -> Run:
    """Decorate a command's `run`: expected errors become one line and an exit code."""

    def run(args: argparse.Namespace) -> int:
        from vljepa_ros.models.config import ModelError
        from vljepa_ros.perception.bags.reading import BagError
        from vljepa_ros.perception.memory.store import MemoryStoreError, QueryError

        try:
            return work(args)
        except QueryError as error:
            raise CliUsageError(str(error)) from error
        except (BagError, MemoryStoreError, ModelError, OSError) as error:
            raise CliError(str(error)) from error

    return run


def seconds_of(stamp: ros.Message) -> float:
    """Seconds of a builtin_interfaces/Time."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def format_time(stamp: int) -> str:
    """Format nanoseconds as local time, or small ones (simulated time) as seconds."""
    seconds = stamp / 1e9
    if seconds < 1e8:
        return f"{seconds:.1f} s"
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def printable(text: str) -> str:
    """Replace control characters in a text that is printed to a terminal."""
    shown = (one if one.isprintable() or one == "\n" else f"\\x{ord(one):02x}" for one in text)
    return "".join(shown)


def bag_name(source: str) -> str:
    """A bag's name without its folders; rows of live cameras have none."""
    return Path(source).name if source else "live"
