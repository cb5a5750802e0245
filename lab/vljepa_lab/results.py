"""Results: which machine, software and commit they belong to, where they are kept, progress."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from vljepa_ros import __version__
from vljepa_ros.files import JsonMapping, JsonObject, atomic_write

LINE_INTERVAL_S = 5.0  # between two lines of progress


def provenance() -> JsonObject:
    """Return machine, date, versions and commit as plain JSON types.

    `commit` is empty outside git, a package's version where it is not installed.
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "version": __version__,
        "packages": {name: _version(name) for name in ("onnxruntime", "numpy", "cyclonedds")},
        "commit": _commit(),
    }


def write_result(result: JsonMapping, file: Path | None, indent: int = 2) -> None:
    """Write a result as JSON, making missing folders; with no file, do nothing.

    Raises:
        OSError: The file cannot be written.
    """
    if file is not None:
        with atomic_write(file, "w") as out:
            out.write(json.dumps(result, indent=indent) + "\n")


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Add --save and --json."""
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def publish_result(
    args: argparse.Namespace,
    result: JsonObject,
    print_table: Callable[[JsonObject, TextIO], None],
    write_plots: Callable[[JsonObject, Path], list[Path]],
    indent: int = 2,
) -> None:
    """Add the provenance, write what --plots and --save ask for, print a table or with --json JSON.

    Raises:
        OSError: A file cannot be written.
    """
    result["run"] = provenance()
    if args.plots is not None:
        print_written(write_plots(result, args.plots))
    write_result(result, args.save, indent)
    if args.json:
        print(json.dumps(result))
    else:
        print_table(result, sys.stdout)


def print_written(paths: Iterable[Path]) -> None:
    """Name the files that were written, on standard error."""
    for path in paths:
        print(f"written: {path}", file=sys.stderr)


@contextmanager
def show_progress(unit: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """Progress on standard error: a bar on a terminal, elsewhere a line every few seconds.

    Args:
        unit: What is counted, for the lines.

    Yields:
        A function of the step's name, what is done of it, and how much it is in all.
    """
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}
        begun: dict[str, float] = {}
        last: dict[str, float] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what], begun[what] = bar.add_task(what, total=total), time.monotonic()
            bar.update(tasks[what], completed=done)
            now = time.monotonic()
            if console.is_terminal or (
                done < total and now - last.get(what, 0.0) < LINE_INTERVAL_S
            ):
                return
            last[what] = now
            left = (now - begun[what]) / done * (total - done) if 0 < done < total else 0.0
            rest = f", about {left:.0f} s left" if left else ""
            print(f"{what}: {done} of {total} {unit}".rstrip() + rest, file=sys.stderr, flush=True)

        yield show


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_name() -> str:
    """Name of the processor; neither `platform` nor psutil knows it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
