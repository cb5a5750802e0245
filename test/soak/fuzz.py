"""Random input into every entrance of the package, in this process.

    python test/soak/fuzz.py [--cases 3000] [--seed 0] [--save FILE] [TARGET...]

A target is a function `case(random) -> outcome`: it makes one input from `random`, gives it to the
package, checks what comes back, and names the outcome in a word or two ("decoded", "refused").
Whatever it raises is a failure; case and seed are printed, so that it can be repeated:

    python test/soak/fuzz.py --only 1234 "compressed image"

To add targets, put a file `fuzz_SUBJECT.py` with `TARGETS: dict[str, Case]` beside this one.
`test/test_fuzz.py` runs a few cases of each in the suite.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import psutil

HERE = Path(__file__).parent
Case = Callable[[Random], str]


def targets() -> dict[str, Case]:
    """Every target of the files `fuzz_*.py`, by name."""
    found: dict[str, Case] = {}
    sys.path.append(str(HERE.parent / "support"))
    for path in sorted(HERE.glob("fuzz_*.py")):
        found |= importlib.import_module(path.stem).TARGETS
    return found


def run_target(name: str, case: Case, seed: int, numbers: range) -> dict[str, Any]:
    """Outcomes and failures of one target; a case depends on its name, seed and number alone.

    Returns:
        cases, outcomes, failures (by number), seconds, slowest (processor time of a case, for a
        busy machine stops any), and growth_mib (resident memory from a quarter of the cases on).
    """
    begin = time.perf_counter()
    outcomes: Counter[str] = Counter()
    failures: dict[int, str] = {}
    slowest = (0.0, 0)
    resident = psutil.Process().memory_info
    with contextlib.suppress(Exception):  # counted when it comes again
        case(Random(f"{name}/{seed}/{numbers[0]}"))  # imports what the entrance needs
    settled = resident().rss
    for number in numbers:
        if number == numbers[len(numbers) // 4]:
            settled = resident().rss
        start = time.thread_time()
        try:
            outcomes[case(Random(f"{name}/{seed}/{number}"))] += 1
        except Exception as error:
            if not failures:
                traceback.print_exc()
            failures[number] = f"{type(error).__name__}: {error}"[:200]
        slowest = max(slowest, (round(time.thread_time() - start, 2), number))
    return {
        "cases": len(numbers),
        "outcomes": dict(outcomes.most_common()),
        "failures": failures,
        "seconds": round(time.perf_counter() - begin, 1),
        "slowest": {"seconds": slowest[0], "case": slowest[1]},
        "growth_mib": round((resident().rss - settled) / 2**20, 1),
    }


def main() -> int:
    from vljepa_lab.results import provenance, write_result

    known = targets()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", choices=[[], *known], help="default: all")
    parser.add_argument("--cases", type=int, default=3000, help="of each target (default: 3000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="repeat one case")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the counts")
    args = parser.parse_args()
    numbers = range(args.cases) if args.only is None else range(args.only, args.only + 1)
    results = {}
    for name in args.target or known:
        done = results[name] = run_target(name, known[name], args.seed, numbers)
        counts = ", ".join(f"{count} {outcome}" for outcome, count in done["outcomes"].items())
        slow = "slowest {seconds} s (case {case})".format(**done["slowest"])
        print(f"{name}: {done['cases']} cases in {done['seconds']} s, {slow}: {counts}")
        for number, reason in list(done["failures"].items())[:5]:
            print(f"  case {number} failed: {reason}")
    cases = sum(done["cases"] for done in results.values())
    failed = sum(len(done["failures"]) for done in results.values())
    print(f"{cases} cases at {len(results)} entrances, {failed} failed")
    summary = {"cases": cases, "failed": failed, "seed": args.seed, "entrances": results}
    write_result(summary | {"run": provenance()}, args.save)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
