"""Results as JSON: which machine, software and commit they belong to, and where they are kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vljepa_ros import __version__


def provenance() -> dict[str, Any]:
    """Return machine, date, versions and commit as plain JSON types.

    `commit` is empty outside git, a package's version where it is not installed.
    """
    packages = {}
    for name in ("onnxruntime", "numpy", "cyclonedds"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = ""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "version": __version__,
        "packages": packages,
        "commit": _commit(),
    }


def write_result(result: Mapping[str, Any], file: Path | None, indent: int = 2) -> None:
    """Write a result as JSON, making missing folders; with no file, do nothing.

    Raises:
        OSError: The file cannot be written.
    """
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=indent) + "\n", encoding="utf-8")


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Add --save and --json."""
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


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
