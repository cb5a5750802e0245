"""The memory on object storage: two robots write, one reads, the writers are killed.

A local S3 server (moto) keeps the bucket. Judged: what was acknowledged to a robot is found after
its kill, by a reader that was open all the time and by a new one; the reader never sees fewer rows
than before, nor a part of a batch.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fleet_writer import BATCH, DIM, MILLISECOND, MODEL

HERE = Path(__file__).resolve().parent
KILLS = 20
ROBOTS = ("robot_1", "robot_2")
LONGEST_S = 15.0  # from the first acknowledged batch to a kill
PATIENCE_S = 180.0


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    if find_spec("moto") is None:
        return {"missed": ["moto is not installed: nothing ran; asked: pip install 'moto[server]'"]}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = (folder / "moto.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log
    )
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
    }
    os.environ.update(environment)
    try:
        make_bucket(address)
        return Fleet("s3://fleet/memory", folder).run(max(1, round(KILLS * scale)))
    finally:
        server.terminate()
        server.wait()
        log.close()


def make_bucket(address: str) -> None:
    """Wait for the server and make the bucket."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            request = urllib.request.Request(f"{address}/fleet", method="PUT")
            urllib.request.urlopen(request, timeout=10).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


class Fleet:
    """Two writers and a reader of one memory."""

    def __init__(self, location: str, folder: Path) -> None:
        from vljepa_ros.perception.memory.store import open_store

        self._folder = folder
        self._location = location
        self._reader = open_store(location, MODEL, DIM, create=True)
        self._draw = random.Random(0)
        self._first = {name: [(1, 1)] for name in ROBOTS}  # first number, and after the last one
        # acknowledged, of each of its processes
        self._seen = 0
        self._missed: list[str] = []
        self._looks = 0
        self._troubles: list[str] = []

    def run(self, kills: int) -> dict[str, Any]:
        """Kill the writers in turn, at random moments while both write."""
        running = {name: self._start(name, 1) for name in ROBOTS}
        begin = time.monotonic()
        recovery = []
        for number in range(kills):
            name = ROBOTS[number % 2]
            print(f"kill {number}, {self._seen} rows", file=sys.stderr, flush=True)
            self._until_acknowledged(name)
            end = time.monotonic() + self._draw.uniform(0.0, LONGEST_S)
            while time.monotonic() < end:
                self._look()
            running[name].kill()
            running[name].wait()
            self._read(name)
            self._look()
            self._check(number)
            first = (number + 2) * 1_000_000
            self._first[name].append((first, first))
            running[name] = self._start(name, first)
            restarted = time.monotonic()
            self._until_acknowledged(name)
            recovery.append(round(time.monotonic() - restarted, 1))
        for name, process in running.items():
            process.kill()
            process.wait()
            self._read(name)
        self._check(kills)
        return {
            "kills": kills,
            "seconds": round(time.monotonic() - begin),
            "rows": self._seen,
            "acknowledged": {
                name: sum(last - first for first, last in runs if last > first)
                for name, runs in self._first.items()
            },
            "looks_of_the_reader": self._looks,
            "seconds_until_writing_again": recovery,
            "troubles": sorted(set(self._troubles))[:10],
            "missed": self._missed,
        }

    def _start(self, name: str, first: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / "fleet_writer.py"), name, self._location, str(first)]
        with self._log(name, first).open("wb") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
            )

    def _log(self, name: str, first: int) -> Path:
        return self._folder / f"{name}_{first}.log"

    def _read(self, name: str) -> None:
        """Take what a robot's present writer has acknowledged."""
        first, _ = self._first[name][-1]
        lines = self._log(name, first).read_text().splitlines(keepends=True)
        acknowledged = [
            int(line.split()[1]) for line in lines if line[:2] == "ac" and line[-1] == "\n"
        ]
        if acknowledged:
            self._first[name][-1] = first, acknowledged[-1]
        self._troubles += [line.strip() for line in lines if line.startswith("trouble")][-1:]

    def _until_acknowledged(self, name: str) -> None:
        before, end = self._first[name][-1], time.monotonic() + PATIENCE_S
        while self._first[name][-1] == before and time.monotonic() < end:
            self._read(name)
            self._look()
        if self._first[name][-1] == before:
            self._missed.append(f"{name} wrote nothing for {PATIENCE_S:g} s; asked: it writes")

    def _look(self) -> None:
        """What the open reader sees: never less than before, batches whole."""
        count = self._reader.count()
        self._looks += 1
        if count < self._seen:
            self._missed.append(f"the reader saw {count} rows after {self._seen}; asked: not fewer")
        if count % BATCH:
            self._missed.append(f"the reader saw {count} rows; asked: whole batches of {BATCH}")
        self._seen = count
        time.sleep(0.2)

    def _check(self, kill: int) -> None:
        """Whether all that was acknowledged is found, by the open reader and by a new one."""
        from vljepa_ros.perception.memory.store import Filter, open_store

        for which, store in (
            ("open", self._reader),
            ("new", open_store(self._location, MODEL, DIM)),
        ):
            for name in ROBOTS:
                found = set((store.ends(Filter(cameras=(name,))) // MILLISECOND).tolist())
                for first, last in self._first[name]:
                    lost = set(range(first, last)) - found if last > first else set()
                    if lost:
                        self._missed.append(
                            f"kill {kill}: the {which} reader lacks {len(lost)} acknowledged rows "
                            f"of {name}; asked: none"
                        )
            stamps = np.sort(store.ends())
            if len(np.unique(stamps)) < len(stamps) / 2:
                self._missed.append(f"kill {kill}: rows stand twice; asked: once")
