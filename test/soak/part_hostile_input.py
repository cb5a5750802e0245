"""Hostile input to parsers and converters, in process: a million cases.

Every target of `fuzz.py` but those of folders runs in a process of its own, so that a crash ends
that one alone. A tenth of the cases is shared out equally, the others go to what is cheap.

Judged: no process ends, no case takes over a second of processor time, nothing but the documented
exceptions, no growth, every refusal with its reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CASES = 1_000_000
OF_FOLDERS = (
    *("bag metadata", "bag storage", "model configuration", "weights header", "model folder"),
)
SLOW = 1.0  # seconds of processor time
GROWTH = 16.0  # MiB of a target, from a quarter of its cases on
PATIENCE = 3600.0  # seconds for a process


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    import fuzz

    known = fuzz.targets()
    cheap = [name for name in known if name not in OF_FOLDERS]
    return attack(shares(known, cheap, round(CASES * scale)), folder)


def attack(counts: dict[str, int], folder: Path) -> dict[str, Any]:
    """So many cases of each target; figures, and what is missed."""
    entrances, missed = {}, []
    for name, count in counts.items():
        print(f"{name}: {count} cases", file=sys.stderr, flush=True)
        done = entrances[name] = apart(name, count, folder)
        missed += [f"{name}: {problem}" for problem in problems(done)]
    return {
        "cases": sum(done.get("cases", 0) for done in entrances.values()),
        "entrances": entrances,
        "missed": missed,
    }


def shares(known: dict[str, Any], names: list[str], total: int) -> dict[str, int]:
    """Cases of each target: more of those that are cheap."""
    import fuzz

    rates = {}
    for name in names:
        begin = time.thread_time()
        fuzz.run_target(name, known[name], 9, range(20))
        rates[name] = 1.0 / max(1e-5, time.thread_time() - begin)
    whole = sum(rates.values())
    return {
        name: round(total * (0.1 / len(names) + 0.9 * rate / whole)) for name, rate in rates.items()
    }


def apart(name: str, count: int, folder: Path) -> dict[str, Any]:
    """A target in a process of its own: what `fuzz.run_target` returns, or `ended`."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, HERE / "fuzz.py", "--cases", str(count), "--save", result, name]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return {"ended": f"not done after {PATIENCE:g} s"}
    if not result.is_file():
        return {"ended": f"exit code {process.returncode}: {process.stderr[-300:]}"}
    return dict(json.loads(result.read_text(encoding="utf-8"))["entrances"][name])


def problems(done: dict[str, Any]) -> list[str]:
    """What is not as asked."""
    if "ended" in done:
        return [f"{done['ended']}; asked: every case returns"]
    found = []
    if failed := done["failures"]:
        number, error = next(iter(failed.items()))
        found.append(f"{len(failed)} failed, the first: {number}: {error}; asked: none")
    if (slow := done["slowest"]["seconds"]) > SLOW:
        found.append(f"case {done['slowest']['case']} took {slow} s of a core; asked: {SLOW:g}")
    if (grown := done["growth_mib"]) > GROWTH:
        found.append(f"resident memory grew by {grown} MiB; asked: at most {GROWTH:g}")
    silent = [one for one in done["outcomes"] if one.startswith("refused") and one != "refused"]
    return found + [f"{one}; asked: never" for one in silent]
