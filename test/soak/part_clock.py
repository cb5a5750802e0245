"""Clocks that step by hours, forwards and back: /clock, and the stamps of the cameras."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cameras import Cameras, Clock
from health import recover, wait_until_well
from robot import NODES, Robot
from watch import Watch

from vljepa_ros import ros

STEPS_H = (3.0, -3.0, -0.5, 8760.0, 0.0)  # hours by which the clock is wrong, one after another
HOLD_S = 10.0
PARAMETERS = {"camera_node": {"rate": 5.0}, "perception_node": {"max_rate": 2.0}}


def run(scale: float, folder: Path) -> dict[str, Any]:
    missed: list[str] = []
    hold = max(5.0, HOLD_S * scale)
    clocks = _step_clock(folder / "clock", hold, missed)
    stamps = _step_stamps(folder / "stamps", hold, missed)
    return {"runtime": ros.RUNTIME, "clock": clocks, "stamps": stamps, "missed": missed}


def _step_clock(folder: Path, hold: float, missed: list[str]) -> dict[str, Any]:
    robot = Robot(folder, {"*": {"use_sim_time": True}, **PARAMETERS})
    with robot, Watch() as watch:
        clock = Clock(watch)
        return _steps(robot, watch, clock, "/clock", hold, missed)


def _step_stamps(folder: Path, hold: float, missed: list[str]) -> dict[str, Any]:
    nodes = [name for name in NODES if name != "camera_node"]
    robot = Robot(folder, PARAMETERS, nodes, {"front": "front/image"})
    with robot, Watch() as watch:
        cameras = Cameras(watch, ["front"], 5.0)
        return _steps(robot, watch, cameras, "stamps", hold, missed)


def _steps(
    robot: Robot, watch: Watch, source: Any, what: str, hold: float, missed: list[str]
) -> dict[str, Any]:
    if not watch.streaming():
        raise RuntimeError(f"{what}: not everything came at the start")
    wait_until_well(robot, watch)
    figures = {}
    for hours in STEPS_H:
        watch.reset()
        source.offset = 3600.0 * hours
        name = f"{what} at {hours:+g} h"
        stamp_trouble = what == "stamps" and hours != 0.0
        if stamp_trouble:  # stamps that are hours from the clock are reported as long as they last
            watch.wait(hold)
            figures[name] = {
                "embeddings": watch.streams["front/embeddings"].count,
                "reported": sorted({f"{part}: {text}" for part, text in watch.troubles})[:8],
            }
            reply = watch.ask_question()
            figures[name]["answer"] = reply and (reply.result.message or "OK")
            # Beyond an hour the time of arrival is taken; below, images are as old as they say.
            stale = -1.0 <= hours < 0.0 and reply and reply.result.code == reply.result.STALE
            if not (reply and (reply.result.code == 0 or stale)):
                missed.append(f"{name}: {figures[name]['answer']}")
            if "stamps are" not in robot.log("perception_node"):
                missed.append(f"{name}: nothing says that the stamps are wrong")
            if watch.streams["front/embeddings"].last < time.monotonic() - 5.0:
                missed.append(f"{name}: no embeddings")
        else:
            figures[name] = recover(robot, watch, name, missed)
            watch.wait(hold)
        figures[name]["longest_gap"] = round(watch.streams["front/embeddings"].longest, 2)
    reply = watch.find_moments()
    if not (reply and reply.result.code == 0):
        missed.append(f"{what}: the memory does not answer at the end")
    return figures
