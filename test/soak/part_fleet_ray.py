"""`vljepa bag index` with Ray on a local cluster of two nodes, one of which dies.

Judged: the command ends with 0, every bag is in the memory once, with the rows that indexing one
bag after the other gives.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BAGS = 12
SECONDS = 12.0  # of each
START_S = 300
PATIENCE_S = 1500.0


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    if find_spec("ray") is None:
        return {"missed": ["Ray is not installed: nothing ran; asked: pip install 'ray[data]'"]}
    from colour_bag import write_bag

    scenes = (("red", SECONDS / 2), ("blue", SECONDS / 2))
    bags = [
        write_bag(folder / f"bag_{number}", scenes) for number in range(max(4, round(BAGS * scale)))
    ]
    rows = index(bags[:1], folder / "alone")["rows"]
    done = with_a_death(bags, folder)
    missed = []
    if done["exit"]:
        missed.append(f"exit code {done['exit']}: {done.pop('said')[-300:]}; asked: 0")
    wrong = [name for name, found in done["rows"].items() if found != next(iter(rows.values()))]
    wrong += [bag.name for bag in bags if bag.name not in done["rows"]]
    if wrong:
        missed.append(f"other rows than one by one of {', '.join(sorted(wrong))}; asked: the same")
    if not done["killed_after_s"]:
        missed.append("it was done before a node was killed; asked: a kill in the middle")
    return {"bags": len(bags), "rows_of_a_bag": rows, **done, "missed": missed}


def command(bags: list[Path], memory: Path, *more: str) -> list[str]:
    """The command line that indexes bags."""
    words = [sys.executable, "-m", "vljepa_ros.cli.main", "bag", "index", *map(str, bags)]
    return [*words, "--memory", str(memory), "--model", "nano", "--threads", "1", *more]


def index(bags: list[Path], memory: Path) -> dict[str, Any]:
    """Index without Ray; rows by bag."""
    subprocess.run(command(bags, memory), check=True, capture_output=True, timeout=PATIENCE_S)
    return {"rows": rows_of(memory)}


def with_a_death(bags: list[Path], folder: Path) -> dict[str, Any]:
    """Index on two nodes and kill one when the first bag is done."""
    memory = folder / "memory"
    cluster = patient_cluster()
    size = {"num_cpus": 2, "object_store_memory": 200 << 20}
    cluster.add_node(**size, include_dashboard=False)
    other = cluster.add_node(**size)
    address, begin, killed = cluster.address, time.monotonic(), 0.0
    more = ("--workers", "3", "--ray-address", address, "--json")
    with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            command(bags, memory, *more), stdout=output, stderr=errors, env=dict(os.environ)
        )
        while process.poll() is None and time.monotonic() - begin < PATIENCE_S:
            if not killed and rows_of(memory):
                cluster.remove_node(other, allow_graceful=False)
                killed = round(time.monotonic() - begin, 1)
                print(f"a node killed after {killed} s", file=sys.stderr, flush=True)
            time.sleep(1.0)
        if process.poll() is None:
            process.kill()
        code = process.wait()
    cluster.shutdown()
    said = (folder / "errors").read_text(errors="replace")
    lines = (folder / "output").read_text().splitlines()
    outcomes = json.loads(lines[-1]) if code == 0 and lines else []
    return {
        "exit": code,
        "said": said if code else "",
        "seconds": round(time.monotonic() - begin),
        "killed_after_s": killed,
        "outcomes": len(outcomes),
        "rows": rows_of(memory),
    }


def patient_cluster() -> Any:
    """A cluster without nodes yet; each has START_S to start, of which Ray's own limit is 30 s."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_raylet_start_wait_time_s=str(START_S))  # of the raylet for its agents
    once = services.get_node

    def get_node(*node: Any) -> Any:
        end = time.monotonic() + START_S
        while True:
            try:
                return once(*node)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(1.0)

    services.get_node = get_node
    return Cluster()


def rows_of(memory: Path) -> dict[str, int]:
    """Rows of each bag."""
    from vljepa_ros.perception.memory.store import Filter, MemoryStoreError, open_store

    try:
        store = open_store(memory)
        return {
            Path(source).name: store.count(Filter(source=source))
            for source in store.distinct("source")
        }
    except MemoryStoreError:
        return {}
