"""Coverage-guided hostile input: two million runs of `guided.py` under libFuzzer (atheris)."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RUNS = 200_000  # of each entrance
PATIENCE = 3600.0  # seconds for a process


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    if find_spec("atheris") is None:
        return {"missed": ["atheris is not installed: nothing ran; asked: pip install atheris"]}
    guided = {}
    for name in guided_entrances():
        print(f"{name}: {round(RUNS * scale)} runs", file=sys.stderr, flush=True)
        guided[name] = guide(name, round(RUNS * scale), folder)
    return {
        "runs": sum(done["runs"] for done in guided.values()),
        "entrances": guided,
        "missed": [f"{n}: {d['failed']}; asked: none" for n, d in guided.items() if d["failed"]],
    }


def guided_entrances() -> list[str]:
    """Names of the entrances of `guided.py`, which alone may import atheris."""
    text = (HERE / "guided.py").read_text(encoding="utf-8")
    table = text[text.index("ENTRANCES:") : text.index("def seeds")]
    return re.findall(r'^    "([\w ]+)":', table, re.MULTILINE)


def guide(name: str, runs: int, folder: Path) -> dict[str, Any]:
    """An entrance under libFuzzer: runs, coverage at the begin and the end, what failed."""
    command = [sys.executable, HERE / "guided.py", name, str(runs), folder / f"corpus {name}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        return {"runs": 0, "failed": f"not done after {PATIENCE:g} s"}
    coverage = [int(found) for found in re.findall(r"cov: (\d+)", done.stderr)]
    finished = re.search(r"Done (\d+) runs in (\d+) second", done.stderr)
    return {
        "runs": int(finished[1]) if finished else 0,
        "seconds": int(finished[2]) if finished else 0,
        "coverage": [coverage[0], coverage[-1]] if coverage else [],
        "failed": "" if finished and not done.returncode else done.stderr[-600:],
    }
