"""Twenty cameras, a camera that is unplugged a hundred times, and too little memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cameras import Cameras
from health import recover, said, wait_until_well
from robot import NODES, Robot
from watch import Watch

from vljepa_ros import ros
from vljepa_ros.nodes.topics import image_message, jpeg_message

CAMERAS, CROWD_S = 20, 60.0
UNPLUGS = 100
SPARE = 64 << 20  # bytes above what a node has
CAUSES = {
    -6: "Cyclone DDS ends a process that has no memory for a message",
    -9: "the kernel ends a process that exceeds its cgroup",
}
CGROUPS = Path("/sys/fs/cgroup")
WITHOUT_CAMERA = [name for name in NODES if name != "camera_node"]


def run(scale: float, folder: Path) -> dict[str, Any]:
    missed: list[str] = []
    return {
        "runtime": ros.RUNTIME,
        "cameras": _crowd(folder / "crowd", max(15.0, CROWD_S * scale), missed),
        "unplugged": _unplug(folder / "unplugged", max(5, round(UNPLUGS * scale)), missed),
        "too_little_memory": _starve(folder / "starved", missed),
        "missed": missed,
    }


def _crowd(folder: Path, seconds: float, missed: list[str]) -> dict[str, Any]:
    """All cameras at one image a second: each has embeddings of its newest image."""
    names = [f"camera{number:02d}" for number in range(CAMERAS)]
    parameters = {"perception_node": {"max_rate": 1.0}}
    robot = Robot(folder, parameters, WITHOUT_CAMERA, {name: f"{name}/image" for name in names})
    with robot, Watch(names, overlay=False) as watch:
        cameras = Cameras(watch, names, 4.0, (160, 120))
        if not watch.streaming(180.0):
            silent = [name for name, stream in watch.streams.items() if not stream.count]
            missed.append(f"{CAMERAS} cameras: nothing came on {', '.join(silent)}")
        watch.wait(10.0)
        watch.reset()
        del watch.latency[:]
        before = {name: watch.streams[f"{name}/embeddings"].count for name in names}
        begin = time.monotonic()
        used = _used(robot)
        watch.wait(seconds)
        passed = time.monotonic() - begin
        rates = [
            (watch.streams[f"{name}/embeddings"].count - before[name]) / passed for name in names
        ]
        reply = watch.ask_question()
        figures = {
            "embeddings_per_s": [round(min(rates), 2), round(max(rates), 2)],
            "delay": [round(float(q), 3) for q in np.quantile(watch.latency, (0.5, 0.99))],
            "shares_of_a_core": {
                name: round((after - used[name]) / passed, 3)
                for name, after in _used(robot).items()
                if name in used
            },
            "answered": bool(reply and reply.result.code == 0),
        }
        if min(rates) < 0.5 * max(rates):
            missed.append(f"{CAMERAS} cameras: {figures['embeddings_per_s']} embeddings a second")
        if not figures["answered"]:
            missed.append(f"{CAMERAS} cameras: no answer")
        figures["after"] = recover(robot, watch, f"{CAMERAS} cameras", missed)
        del cameras
    return figures


def _used(robot: Robot) -> dict[str, float]:
    return {name: sum(one.cpu_times()[:2]) for name, one in robot.processes().items()}


def _unplug(folder: Path, count: int, missed: list[str]) -> dict[str, Any]:
    """Unplug one of two cameras for 0.1 to 4 s: the other one streams on."""
    names = ["front", "rear"]
    parameters = {"perception_node": {"max_rate": 4.0}, "memory_node": {"batch_seconds": 2.0}}
    robot = Robot(folder, parameters, WITHOUT_CAMERA, {name: f"{name}/image" for name in names})
    back: list[float] = []
    with robot, Watch(names) as watch:
        cameras = Cameras(watch, names, 8.0)
        if not watch.streaming():
            raise RuntimeError("not everything came at the start")
        wait_until_well(robot, watch)
        watch.wait(20.0)
        watch.find_moments()
        watch.reset()
        first = _sizes(robot)
        stream = watch.streams["rear/embeddings"]
        for number in range(count):
            cameras.unplug("rear")
            watch.wait(0.1 + 3.9 * (number % 10) / 9)
            cameras.plug("rear")
            begin, before = time.monotonic(), stream.count
            if not watch.spin(lambda seen=before: stream.count > seen, 30.0):
                missed.append(f"unplugged {number}: no embeddings within 30 s")
            back.append(time.monotonic() - begin)
            watch.wait(0.5)
        longest = watch.streams["front/embeddings"].longest
        figures: dict[str, Any] = {
            "times": count,
            "back_after_s": [round(float(np.median(back)), 2), round(max(back), 2)],
            "other_camera_longest_gap": round(longest, 2),
            "after": recover(robot, watch, "unplugging", missed),
            "mib_files_threads": {
                name: [before, after]
                for name, after in _sizes(robot).items()
                if (before := first.get(name))
            },
        }
    for name, (before, after) in figures["mib_files_threads"].items():
        if after[1] > before[1] + 2 or after[2] > before[2] + 4 or after[0] > before[0] + 20:
            missed.append(f"unplugging: {name} grew: MiB, files, threads {before} -> {after}")
    return figures


def _sizes(robot: Robot) -> dict[str, tuple[float, int, int]]:
    return {
        name: (round(p.memory_info().rss / 2**20, 1), p.num_fds(), p.num_threads())
        for name, p in robot.processes().items()
    }


def _starve(folder: Path, missed: list[str]) -> dict[str, Any]:
    """Give perception 64 MiB more than it has, and ask it for more: an error, and it lives."""
    robot = Robot(folder, {"camera_node": {"rate": 5.0}, "perception_node": {"max_rate": 2.0}})
    figures: dict[str, Any] = {}
    with robot, Watch() as watch:
        if not watch.streaming():
            raise RuntimeError("not everything came at the start")
        wait_until_well(robot, watch)
        watch.wait(5.0)
        for how, limit in (("address space", _limit_space), ("cgroup", _limit_cgroup)):
            lift = limit(robot, "perception_node")
            if lift is None:
                figures[how] = "not run: no cgroup can be made here"
                continue
            asked: dict[str, str] = {}
            for name, work in GREEDY.items():
                asked[name] = work(watch)
                watch.wait(3.0)
                if robot.exits:
                    code = robot.exits.pop()[1]
                    cause = CAUSES.get(code, f"exit code {code}")
                    missed.append(f"a limit of {how}, {name}: it ended: {cause}")
                    robot.exits.clear()
                    asked[name] += "; it ended, and was started again"
                    wait_until_well(robot, watch)
                    lift = limit(robot, "perception_node") or lift
            said_then = said(watch, "perception_node")
            lift()
            figures[how] = {
                "replies": asked,
                "said": said_then,
                "after": recover(robot, watch, f"a limit of {how}", missed),
            }
            print(f"crowd: {how}: {figures[how]}", file=sys.stderr, flush=True)
    return figures


def _limit_space(robot: Robot, name: str) -> Callable[[], None]:
    robot.limit(name, resource.RLIMIT_AS, robot.processes()[name].memory_info().vms + SPARE)
    return lambda: robot.limit(name, resource.RLIMIT_AS, resource.RLIM_INFINITY)


def _limit_cgroup(robot: Robot, name: str) -> Callable[[], None] | None:
    """A cgroup of its own. What it has already stays charged to the old one: SPARE is left."""
    limits = (CGROUPS / "memory", "memory.limit_in_bytes", "-1"), (CGROUPS, "memory.max", "max")
    for root, file, endless in limits:
        group = root / "vljepa_soak"
        try:
            group.mkdir(exist_ok=True)
            (group / file).write_text(str(SPARE))
            (group / "cgroup.procs").write_text(str(robot.processes()[name].pid))
        except OSError:
            continue
        return lambda there=group / file, most=endless: there.write_text(most)
    return None


def _picture(watch: Watch, width: int, height: int, packed: bool = False) -> str:
    """A question about a black picture; packed: as JPEG."""
    header, pixels = ros.interface("std_msgs/msg/Header")(), np.zeros((height, width, 3), np.uint8)
    make = jpeg_message if packed else image_message
    picture = {"compressed" if packed else "image": [make(header, pixels)]}
    fields = {"question": _question(2), **picture}
    try:
        return _said(watch.ask("AnswerAboutImage", "answer_about_image", 30.0, **fields))
    except RuntimeError as error:  # the built-in runtime sends no more than 64 MB
        return f"not sent: {error}"


def _many_candidates(watch: Watch) -> str:
    return _said(
        watch.ask(
            "AnswerQuestion", "answer_question", 60.0, camera="front", question=_question(1000)
        )
    )


def _many_labels(watch: Watch) -> str:
    labels = [f"a thing of kind {number}" for number in range(5000)]
    return _said(watch.ask("SetLabels", "set_labels", 60.0, labels=labels))


def _question(candidates: int) -> Any:
    texts = [f"the drawer number {number} is open" for number in range(candidates)]
    return ros.interface("vljepa_ros/msg/Question")(text="which one is open?", candidates=texts)


def _said(reply: Any) -> str:
    return f"{reply.result.code} {reply.result.message[:200]}" if reply else "no reply"


GREEDY = {
    "1000 candidates": _many_candidates,
    "5000 labels": _many_labels,
    "a JPEG of 7680x4320": partial(_picture, width=7680, height=4320, packed=True),
    "3840x2160": partial(_picture, width=3840, height=2160),
    "5000x4000, 60 MB": partial(_picture, width=5000, height=4000),
    "7680x4320, 100 MB": partial(_picture, width=7680, height=4320),
}
