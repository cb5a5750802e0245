"""A long run of all nodes: what grows, what slows down, what is missed."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from cameras import Clock
from robot import Robot
from watch import HEARTBEATS, Page, Watch

from vljepa_ros import ros

RATE, MAX_RATE = 5.0, 2.0  # images, embeddings a second and camera
SAMPLE_S = 10.0
WARM_UP, MOST_WARM_UP_S = 0.25, 1200.0
MOST_MIB_PER_HOUR = 1.0
Sample = dict[str, Any]
_NUMBER = re.compile(r"\d+(?:\.\d+)?")  # a stamp or a count: each would be a trouble of its own


def soak(folder: Path, seconds: float, speed: float = 1.0) -> dict[str, Any]:
    """Run everything for `seconds`, sampled every ten.

    Args:
        folder: Gets `samples.jsonl` as the run goes.
        seconds: Of real time.
        speed: Of /clock, the images and the embeddings; 1: no /clock.
    """
    parameters: dict[str, dict[str, object]] = {
        "*": {"use_sim_time": speed != 1.0},
        "camera_node": {"rate": min(240.0, RATE * speed)},
        "perception_node": {"max_rate": MAX_RATE * speed},
    }
    robot = Robot(folder, parameters, cameras={"front": "image", "rear": "image"}, respawn=False)
    samples: list[Sample] = []
    with robot, Watch(robot.cameras) as watch, Page(robot.port) as page:
        clock = Clock(watch, speed) if speed != 1.0 else None
        if not watch.streaming():
            silent = [name for name, stream in watch.streams.items() if not stream.count]
            raise RuntimeError(f"nothing came on {', '.join(silent)}")
        running = robot.processes()
        watch.wait(5.0)
        watch.reset()
        begin = time.monotonic()
        troubles: dict[str, int] = {}
        warm_up = min(MOST_WARM_UP_S, WARM_UP * seconds)
        with (folder / "samples.jsonl").open("a", encoding="utf-8") as file:
            while (passed := time.monotonic() - begin) < seconds:
                turn = len(samples)
                if turn % 3 == 1:
                    watch.ask_question()
                elif turn % 3 == 2:
                    watch.find_moments()
                watch.wait(begin + (turn + 1) * SAMPLE_S - time.monotonic())
                samples.append(_sample(passed, running, watch))
                file.write(json.dumps(samples[-1]) + "\n")
                file.flush()
                for (part, text), count in watch.troubles.items():
                    line = f"{part}: {_NUMBER.sub('N', text)}"
                    troubles[line] = troubles.get(line, 0) + count
                watch.reset()
                if turn % 30 == 0:
                    print(f"soak: {passed:.0f} s of {seconds:.0f}", file=sys.stderr, flush=True)
        alive = {name: process.is_running() for name, process in running.items()}
    del clock
    figures = summary([s for s in samples if s["t"] >= warm_up], warm_up)
    asked = {
        name: {
            "sent": one.sent,
            "answered": one.answered,
            "lost": one.lost,
            "refused": dict(one.refused),
            **_spread(one.seconds),
        }
        for name, one in watch.asked.items()
    }
    figures |= {
        "runtime": ros.RUNTIME,
        "rmw": _rmw(),
        "speed": speed,
        "images_per_second": min(240.0, RATE * speed),
        "messages": {name: stream.count for name, stream in watch.streams.items()},
        "events": len(watch.events),
        "asked": asked,
        "page": {"events": page.events, "pictures": page.pictures, "errors": page.errors},
        "not_ok": troubles,
    }
    missed = figures["missed"]
    missed += [f"{name} ended" for name, is_alive in alive.items() if not is_alive]
    missed += [f"{name} ended with exit code {code}" for name, code in robot.exits]
    for service, one in watch.asked.items():
        if one.answered < one.sent:
            missed.append(f"{service}: {one.answered} of {one.sent} requests answered")
    return figures


def _sample(t: float, running: Mapping[str, psutil.Process], watch: Watch) -> Sample:
    nodes = {}
    for name, process in running.items():
        try:
            with process.oneshot():
                used = process.cpu_times()
                nodes[name] = {
                    "mib": round(process.memory_info().rss / 2**20, 3),
                    "files": process.num_fds(),
                    "threads": process.num_threads(),
                    "cpu": round(used.user + used.system, 2),
                }
        except psutil.Error:
            continue
    fresh = watch.latency
    delay = float(np.median(fresh)) if fresh else None
    del fresh[:]
    return {
        "t": round(t, 1),
        "nodes": nodes,
        "delay": delay,
        "late": {name: s.late for name, s in watch.streams.items() if s.late},
        "longest": {name: round(s.longest, 2) for name, s in watch.streams.items()},
        "watch_late": round(watch.late, 2),
    }


def summary(samples: list[Sample], warm_up: float) -> dict[str, Any]:
    """Figures of the samples after the warm-up, and which of them are not as asked."""
    missed: list[str] = []
    if len(samples) < 8:
        return {"missed": [f"only {len(samples)} samples after a warm-up of {warm_up:.0f} s"]}
    quarter = len(samples) // 4
    first, last = samples[:quarter], samples[-quarter:]
    times = np.array([s["t"] for s in samples]) / 3600
    nodes = {}
    for name in samples[0]["nodes"]:
        if any(name not in s["nodes"] for s in samples):
            missed.append(f"{name} was not there all the time")
            continue
        mib = np.array([s["nodes"][name]["mib"] for s in samples])
        slope = float(np.polyfit(times, mib, 1)[0])
        used = samples[-1]["nodes"][name]["cpu"] - samples[0]["nodes"][name]["cpu"]
        nodes[name] = {
            "mib_per_hour": round(slope, 2),
            "mib": [round(float(mib[0]), 1), round(float(mib[-1]), 1), round(float(mib.max()), 1)],
            "share_of_a_core": round(used / (samples[-1]["t"] - samples[0]["t"]), 3),
        }
        if slope > MOST_MIB_PER_HOUR:
            missed.append(f"{name} grew by {slope:.2f} MiB an hour, asked: {MOST_MIB_PER_HOUR:g}")
        for what in ("files", "threads"):
            before, after = (_middle(part, name, what) for part in (first, last))
            nodes[name][what] = [before, after]
            if before != after:
                missed.append(f"{name}: {before} {what} at first, {after} at last, asked: constant")
    delays = [
        [s["delay"] for s in part if s["delay"] is not None] for part in (samples, first, last)
    ]
    late = {
        name: sum(s["late"].get(name, 0) for s in samples)
        for name in samples[0]["longest"]
        if name.rsplit("/", 1)[-1] in HEARTBEATS
    }
    longest = {name: max(s["longest"][name] for s in samples) for name in samples[0]["longest"]}
    missed += [
        f"{count} heartbeats on {name} came later than 1.5 s, the latest after {longest[name]} s "
        f"(the watching process itself was late by {max(s['watch_late'] for s in samples)} s)"
        for name, count in late.items()
        if count
    ]
    figures = {
        "seconds": round(samples[-1]["t"] - samples[0]["t"]),
        "warm_up": round(warm_up),
        "nodes": nodes,
        "delay": {
            name: round(float(np.median(part)), 4) if part else None
            for name, part in zip(("all", "first_quarter", "last_quarter"), delays, strict=True)
        },
        "late_heartbeats": late,
        "longest_gap": longest,
        "watch_late": max(s["watch_late"] for s in samples),
        "missed": missed,
    }
    return figures


def _middle(samples: list[Sample], name: str, what: str) -> int:
    return int(np.median([s["nodes"][name][what] for s in samples]))


def _spread(values: Any) -> dict[str, float]:
    if not len(values):
        return {}
    return {
        "median": round(float(np.median(values)), 3),
        "p99": round(float(np.quantile(values, 0.99)), 3),
    }


def _rmw() -> str:
    if ros.RUNTIME != "rclpy":
        return "cyclonedds"
    from rclpy.utilities import get_rmw_implementation_identifier

    return str(get_rmw_implementation_identifier())
