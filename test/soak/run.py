"""The campaign of load and faults: every part, one report.

    python test/soak/run.py [--part soak kill ...] [--scale 1.0] [--save FILE] [--resume]

A part is a file `part_NAME.py` beside this one with a function

    def run(scale: float, folder: Path) -> dict[str, Any]

`scale` is the share of the durations and counts that the whole campaign asks for (1.0: two hours of
soak, 100 kills, a million cases), `folder` an empty folder for what it writes. It returns figures
as JSON types; the key `missed` lists, one sentence each, the figures that are not as asked, with
the value seen and what is asked. Progress goes to standard error. Each part runs in a process and
a ROS domain of its own, and the report is written after each, so that an interruption loses one
part; `--resume` goes on with those that are not in it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATHS = (HERE, HERE.parent / "support", ROOT / "lab", ROOT)
REPORT = ROOT / "benchmarks" / "results" / "campaign.json"


def parts() -> list[str]:
    """Names of all parts."""
    return sorted(path.stem.removeprefix("part_") for path in HERE.glob("part_*.py"))


def run_part(name: str, scale: float) -> dict[str, Any]:
    """Figures of one part, in a process of its own; an exception is a missed figure."""
    sys.path[:0] = [str(path) for path in PATHS]
    from ros_domain import own_domain

    from vljepa_lab.results import provenance

    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"vljepa_{name}_") as folder, own_domain():
        try:
            figures = importlib.import_module(f"part_{name}").run(scale, Path(folder))
        except Exception as error:
            traceback.print_exc()
            figures = {"missed": [f"ended by {type(error).__name__}: {error}"]}
    seconds = round(time.perf_counter() - start)
    # Where it ran is no figure.
    text = json.dumps(figures)
    for place, word in ((folder, "FOLDER"), (folder[1:], "FOLDER"), (str(ROOT), "ROOT")):
        text = text.replace(place, word)  # LanceDB leaves out the first slash
    figures = json.loads(text)
    return {"scale": scale, "seconds": seconds, **figures, "run": provenance()}


def run_apart(name: str, scale: float) -> dict[str, Any]:
    """As `run_part`; the end of that process is a missed figure, too."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(run_part, name, scale).result()
        except Exception as error:
            return {"scale": scale, "missed": [f"its process ended: {error}"]}


def reported(file: Path) -> dict[str, Any]:
    """The parts that are in a report."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = parts()
    parser.add_argument("--part", nargs="+", choices=known, default=known, help="default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of durations and counts")
    parser.add_argument("--save", type=Path, default=REPORT, metavar="FILE", help="the report")
    parser.add_argument("--resume", action="store_true", help="only parts that are not in it yet")
    args = parser.parse_args()
    report = reported(args.save)
    missed: dict[str, list[str]] = {}
    for name in args.part:
        if not (args.resume and name in report):
            print(f"== {name}", file=sys.stderr, flush=True)
            figures = run_apart(name, args.scale)
            report = reported(args.save) | {name: figures}  # another campaign may have added to it
            args.save.parent.mkdir(parents=True, exist_ok=True)
            args.save.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        missed[name] = report[name].get("missed", [])
        print(f"{name}: {len(missed[name])} figures missed", flush=True)
        for line in missed[name]:
            print(f"  {line}", flush=True)
    return 1 if any(missed.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
