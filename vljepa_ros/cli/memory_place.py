"""What the commands around the memory share: its place, the model, times as people write."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vljepa_ros.cli.failure import CliError, CliUsageError

DEFAULT = "~/.vljepa/memory"


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Add --memory."""
    parser.add_argument(
        "--memory",
        default=os.environ.get("VLJEPA_MEMORY", DEFAULT),
        metavar="DIR",
        help="the memory's directory or object storage address (default: $VLJEPA_MEMORY, else "
        f"{DEFAULT})",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --model, --engine and --threads."""
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="default: auto")
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of the engine; 0: chosen by it"
    )


def load_model(args: argparse.Namespace, parts: frozenset[str] | None = None) -> Any:
    """The engine that the options name.

    :raises CliError: the model cannot be used.
    """
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    try:
        return load_engine(model_dir(args.model), args.engine, args.threads, parts)
    except ModelError as error:
        raise CliError(str(error)) from error


def reported(work: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command's `run` whose foreseen errors become one line."""

    def run(args: argparse.Namespace) -> int:
        from vljepa_ros.models.config import ModelError
        from vljepa_ros.perception.bags.failure import BagError
        from vljepa_ros.perception.memory.failure import MemoryStoreError, QueryError

        try:
            return work(args)
        except QueryError as error:
            raise CliUsageError(str(error)) from error
        except (BagError, MemoryStoreError, ModelError, OSError) as error:
            raise CliError(str(error)) from error

    return run


def time_of(text: str) -> int:
    """A moment in nanoseconds: `2026-03-01T10:15`, with zone or local, or seconds since 1970."""
    try:
        return round(float(text) * 1e9)
    except ValueError:
        pass
    try:
        return round(datetime.datetime.fromisoformat(text).timestamp() * 1e9)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; allowed: 2026-03-01T10:15:00 (local, or with +00:00), or "
            "seconds "
            "since 1970"
        ) from None


def clock(stamp: int) -> str:
    """Nanoseconds as people read them: local time; small ones (simulated time) as seconds."""
    seconds = stamp / 1e9
    if seconds < 1e8:
        return f"{seconds:.1f} s"
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def bag_name(source: str) -> str:
    """A bag's name without its folders; live rows have none."""
    return Path(source).name if source else "live"
