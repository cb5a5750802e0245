"""Disks that are full or read-only, and stores that are damaged, under nodes that run."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from health import recover, said, wait_until_well
from robot import Robot
from watch import Watch

from vljepa_ros import ros

DISK_MIB = 24
FAULT_S = 30.0
DAMAGES = 12
TIMEOUT = 3  # as in msg/Result
PARAMETERS = {
    "camera_node": {"rate": 5.0},
    "perception_node": {"max_rate": 2.0},
    "memory_node": {"batch_seconds": 2.0, "upkeep_period": 10.0},
}


def run(scale: float, folder: Path) -> dict[str, Any]:
    missed: list[str] = []
    figures: dict[str, Any] = {"runtime": ros.RUNTIME}
    with _small_disk(folder / "disk") as mounted:
        if mounted:
            figures |= _disk_faults(folder / "disk" / "robot", max(8.0, FAULT_S * scale), missed)
        else:
            figures["not_run"] = "full and read-only disk: a disk cannot be mounted here"
    damages = max(2, round(DAMAGES * scale))
    figures["damaged"] = _damages(folder / "damaged", damages, missed)
    return figures | {"missed": missed}


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A disk of DISK_MIB in memory; False: it cannot be mounted."""
    folder.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "vljepa_soak", str(folder))
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(("umount", "-l", str(folder)), check=False)


def _disk_faults(folder: Path, seconds: float, missed: list[str]) -> dict[str, Any]:
    """Everything the robot writes, its logs too, is on the small disk."""
    robot = Robot(folder, PARAMETERS)
    found = {}
    with robot, Watch() as watch:
        if not watch.streaming():
            raise RuntimeError("not everything came at the start")
        wait_until_well(robot, watch)
        if not watch.spin(lambda: any(robot.memory.rglob("data/*")), 60.0):
            missed.append("nothing was stored before the faults")
        with _full(folder.parent):
            found["full"] = _while_faulty(robot, watch, "a full disk", seconds, missed)
        found["full"]["after"] = recover(robot, watch, "a full disk", missed)
        with _read_only(robot.memory):
            found["read_only"] = _while_faulty(robot, watch, "a read-only disk", seconds, missed)
        found["read_only"]["after"] = recover(robot, watch, "a read-only disk", missed)
        reply = watch.find_moments()
        if not (reply and reply.result.code == 0):
            missed.append("the memory does not answer after the disk faults")
    return found


@contextmanager
def _full(disk: Path) -> Iterator[None]:
    """Fill a disk to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    yield
    ballast.unlink()


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """Let nothing be written in a folder."""
    bound = str(folder)
    subprocess.run(("mount", "--bind", bound, bound), check=True)
    subprocess.run(("mount", "-o", "remount,bind,ro", bound), check=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", bound), check=True)


def _while_faulty(
    robot: Robot, watch: Watch, fault: str, seconds: float, missed: list[str]
) -> dict[str, Any]:
    """The memory says what is wrong; everything else goes on."""
    watch.reset()
    begin = time.monotonic()
    reported = watch.spin(lambda: watch.level("memory_node") == 2, seconds)
    after = round(time.monotonic() - begin, 1)
    watch.wait(begin + seconds - time.monotonic())
    embeddings = watch.streams["front/embeddings"]
    reply = watch.ask_question()
    if not reported:
        missed.append(f"{fault}: the memory did not report it in {seconds:g} s")
    if not (reply and reply.result.code == 0):
        missed.append(f"{fault}: a question was not answered")
    if embeddings.longest > 5.0:
        missed.append(f"{fault}: no embedding for {embeddings.longest:.1f} s")
    searched = watch.find_moments()
    return {
        "reported_after": after,
        "memory_node": said(watch, "memory_node"),
        "others": {name: said(watch, name) for name in robot.nodes if said(watch, name)},
        "longest_gap": round(embeddings.longest, 2),
        "find_moments": searched.result.message or "OK" if searched else "no reply",
    }


def _damages(folder: Path, count: int, missed: list[str]) -> dict[str, Any]:
    """Damage the store in one way after another under a memory that is being started."""
    chance = random.Random(1)
    robot = Robot(folder, PARAMETERS, ("camera_node", "perception_node", "memory_node"))
    found: dict[str, Any] = {}
    with robot, Watch(overlay=False) as watch:
        stream = watch.streams["front/embeddings"]
        if not watch.spin(lambda: stream.count > 0, 120.0):
            raise RuntimeError("no embeddings at the start")
        wait_until_well(robot, watch)
        watch.spin(lambda: any(robot.memory.rglob("data/*")), 60.0)
        for number in range(count):
            kind = DAMAGE_KINDS[number % len(DAMAGE_KINDS)]
            name = f"{number}: {kind.__name__.strip('_').replace('_', ' ')}"
            robot.respawn = False
            robot.kill("memory_node")
            watch.wait(1.0)
            watch.forget("memory_node")
            whole = folder / "whole"
            shutil.copytree(robot.memory, whole)
            kind(robot.memory, chance)
            robot.respawn = True
            watch.spin(lambda: watch.level("memory_node") in (0, 2), 120.0)
            reply, end = watch.find_moments(), time.monotonic() + 90.0
            # The first search waits until the store was opened, which takes seconds of a core.
            while time.monotonic() < end and not (reply and reply.result.code != TIMEOUT):
                watch.wait(1.0)
                reply = watch.find_moments()
            watch.wait(2.0)
            level = watch.level("memory_node")
            code = reply.result.code if reply else None
            found[name] = {
                "memory_node": said(watch, "memory_node") or ("OK" if level == 0 else "silent"),
                "find_moments": (reply.result.message or "OK") if reply else "no reply",
            }
            if reply is None or level < 0:
                missed.append(f"{name}: no reply ({code}) or no diagnostics ({level})")
            if level == 0 and code:
                missed.append(f"{name}: a search fails, and the diagnostics are OK")
            if "memory_node" not in robot.processes():
                missed.append(f"{name}: the node is gone")
            process = robot.processes().get("memory_node")
            if process:
                process.suspend()  # what it wrote meanwhile would come in between
            _replace(robot.memory, whole)
            if process:
                process.resume()
            found[name]["after"] = recover(robot, watch, name, missed)
            reply = watch.find_moments()
            if not (reply and reply.result.code == 0):
                missed.append(f"{name}: no search after the store was mended: {reply}")
            print(f"disk: {name}: {found[name]}", file=sys.stderr, flush=True)
    return found


def _files(store: Path, part: str) -> list[Path]:
    """Files of a part of the store, newest first."""
    files = [p for p in store.rglob("*") if p.is_file() and part in str(p)]
    return sorted(files, key=lambda p: p.stat().st_mtime, reverse=True)


def _newest_manifest_cut(store: Path, chance: random.Random) -> None:
    file = _files(store, ".manifest")[0]
    os.truncate(file, file.stat().st_size // 2)


def _newest_manifest_of_noise(store: Path, chance: random.Random) -> None:
    file = _files(store, ".manifest")[0]
    file.write_bytes(chance.randbytes(file.stat().st_size))


def _a_data_file_of_noise(store: Path, chance: random.Random) -> None:
    file = _files(store, "/data/")[0]
    file.write_bytes(chance.randbytes(file.stat().st_size))


def _a_data_file_gone(store: Path, chance: random.Random) -> None:
    _files(store, "/data/")[0].unlink()


def _all_files_empty(store: Path, chance: random.Random) -> None:
    for file in _files(store, ""):
        os.truncate(file, 0)


def _a_file_in_its_place(store: Path, chance: random.Random) -> None:
    shutil.rmtree(store)
    store.write_text("no store", encoding="utf-8")


DAMAGE_KINDS = (
    _newest_manifest_cut,
    _newest_manifest_of_noise,
    _a_data_file_of_noise,
    _a_data_file_gone,
    _all_files_empty,
    _a_file_in_its_place,
)


def _replace(store: Path, whole: Path) -> None:
    """Put the whole store where the damaged one is."""
    if store.is_dir():
        shutil.rmtree(store)
    else:
        store.unlink(missing_ok=True)
    whole.rename(store)
