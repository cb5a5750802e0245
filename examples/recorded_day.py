"""A recorded day, searched by text: in which hours something is seen, and the best moments.

python examples/recorded_day.py recordings/2026-03-01 "a person at the door" "a dog"

Needs no ROS and no running node, but the extra [memory]. Bags that are in the day's memory already
are not indexed again.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

SURE = 0.5  # calibrated score from which a moment counts


def vljepa(*words: str | Path) -> str:
    """Run the command, which reports errors on standard error; return its output."""
    command = [sys.executable, "-m", "vljepa_ros.cli.main", *map(str, words)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def bags_of(day: Path) -> list[Path]:
    """Folders and files of bags, sorted by name."""
    folders = {file.parent for file in day.rglob("metadata.yaml")}
    files = {file for kind in ("db3", "mcap") for file in day.rglob(f"*.{kind}")}
    return sorted(folders | {file for file in files if file.parent not in folders})


def index(day: Path, memory: Path) -> None:
    """Index the bags into a memory for this day; continue an interrupted run."""
    known: list[str] = []
    if memory.is_dir():
        known = json.loads(vljepa("memory", "info", "--memory", memory, "--json"))["bags"]
    new = [bag for bag in bags_of(day) if str(bag.resolve()) not in known]
    if new:
        print(vljepa("bag", "index", *new, "--memory", memory), end="")


def search(text: str, memory: Path, page: Path) -> list[dict[str, Any]]:
    """The moments that fit a text, best first, and a page with their pictures."""
    found = vljepa("find", text, "--memory", memory, "--limit", "200", "--html", page, "--json")
    return [moment for moment in json.loads(found) if moment["score"] >= SURE]


def report(text: str, moments: list[dict[str, Any]]) -> str:
    """One line for each hour in which it was seen, then the best moments."""
    times = [datetime.datetime.fromtimestamp(moment["stamp"]) for moment in moments]
    hours = Counter(time.strftime("%H:00") for time in times)
    lines = [f"'{text}': {len(moments)} moments"]
    lines += [f"  {hour}  {'#' * count} {count}" for hour, count in sorted(hours.items())]
    for time, moment in list(zip(times, moments, strict=True))[:3]:
        where = f"{moment['camera']}, {Path(moment['source']).name}"
        lines.append(f"  {time:%H:%M:%S}  {moment['score']:.2f}  {where}: {moment['text']}")
    return "\n".join(lines)


def main() -> None:
    """Index what is new, then search each text."""
    day, *texts = sys.argv[1:]
    memory = Path(day) / "memory"
    try:
        index(Path(day), memory)
        for number, text in enumerate(texts):
            page = Path(day) / f"found_{number}.html"
            print(report(text, search(text, memory, page)), f"  pictures: {page}", sep="\n")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
