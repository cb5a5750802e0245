"""Processes that stand still: each node for half a minute, and those that listen to them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from health import recover, wait_until_well
from robot import Robot
from watch import Page, Watch

from vljepa_ros import ros

STOP_S = 30.0
LISTEN_S = 60.0
PARAMETERS = {"camera_node": {"rate": 5.0}, "perception_node": {"max_rate": 2.0}}
LISTENER = """
import sys, time
from watch import Watch
from vljepa_ros.nodes.topics import IMAGES_OUT
with Watch() as watch:
    watch.follow("sensor_msgs/msg/Image", "image", IMAGES_OUT)
    watch.streaming()
    print("streams", flush=True)
    while True:
        watch.wait(0.05)
        time.sleep(float(sys.argv[1]))
"""


def run(scale: float, folder: Path) -> dict[str, Any]:
    missed: list[str] = []
    robot = Robot(folder, PARAMETERS)
    nodes, listeners = {}, {}
    with robot, Watch() as watch, Page(robot.port):
        if not watch.streaming():
            raise RuntimeError("not everything came at the start")
        wait_until_well(robot, watch)
        seconds = max(6.0, STOP_S * scale)
        for name in robot.nodes:
            nodes[name] = _stop(robot, watch, name, seconds, missed)
            print(f"stopped: {name}: {nodes[name]}", file=sys.stderr, flush=True)
        seconds = max(10.0, LISTEN_S * scale)
        listeners["none"] = control = _measure(watch, seconds)
        for name, pause in (("slow", 2.0), ("hung", 0.0)):
            figures = listeners[name] = _listen(watch, pause, name == "hung", seconds)
            figures["after"] = recover(robot, watch, f"a {name} subscriber", missed)
            if figures["embeddings_per_s"] < 0.8 * control["embeddings_per_s"]:
                missed.append(f"a {name} subscriber: {figures}, without it {control}")
            print(f"stopped: {name} subscriber: {figures}", file=sys.stderr, flush=True)
    return {"runtime": ros.RUNTIME, "nodes": nodes, "subscribers": listeners, "missed": missed}


def _stop(
    robot: Robot, watch: Watch, name: str, seconds: float, missed: list[str]
) -> dict[str, Any]:
    """SIGSTOP a node, and SIGCONT."""
    watch.reset()
    process = robot.processes()[name]
    process.suspend()
    watch.wait(seconds)
    reported = sorted({part.split(":")[0].rsplit("/", 1)[-1] for part, _ in watch.troubles})
    process.resume()
    del watch.latency[:]
    figures = recover(robot, watch, f"SIGSTOP of {name} for {seconds:g} s", missed)
    watch.wait(5.0)
    late = float(np.median(watch.latency)) if watch.latency else None
    if late is None or late > 5.0:
        missed.append(f"after SIGSTOP of {name}: embeddings are {late} s late")
    return {"reported_by": reported, **figures, "delay_afterwards": late and round(late, 3)}


def _measure(watch: Watch, seconds: float) -> dict[str, Any]:
    """Rates and delay as the watch sees them."""
    del watch.latency[:]
    stream = watch.streams["front/embeddings"]
    watch.reset()
    before, begin = stream.count, time.monotonic()
    watch.wait(seconds)
    count, passed = stream.count - before, time.monotonic() - begin
    return {
        "embeddings_per_s": round(count / passed, 2),
        "delay": round(float(np.median(watch.latency)), 3) if watch.latency else None,
        "longest_gap": round(stream.longest, 2),
    }


def _listen(watch: Watch, pause: float, hang: bool, seconds: float) -> dict[str, Any]:
    """Beside a subscriber of everything, reliable, that is slow or stands still."""
    command = [sys.executable, "-c", LISTENER, str(pause)]
    environment = {**psutil.Process().environ(), "PYTHONPATH": ":".join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as listener:
        try:
            assert listener.stdout is not None
            watch.spin(lambda: False, 20.0)
            process = psutil.Process(listener.pid)
            if hang:
                process.suspend()
            return _measure(watch, seconds)
        finally:
            listener.kill()
