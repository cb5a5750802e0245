"""What every part asks of the robot after a fault: all nodes are there, well, and serve."""

from __future__ import annotations

import time
from typing import Any

from robot import Robot
from watch import Watch

PATIENCE_S = 60.0


def wait_until_well(robot: Robot, watch: Watch, timeout: float = PATIENCE_S) -> dict[str, str]:
    """Wait until all nodes are there and OK; those that are not, with what they say."""
    watch.spin(lambda: all(watch.level(name) == 0 for name in robot.nodes), timeout)
    return {name: said(watch, name) for name in robot.nodes if watch.level(name) != 0}


def said(watch: Watch, name: str) -> str:
    """What the newest diagnostics of a node complain of, empty: of nothing, or there are none."""
    return "; ".join(
        f"{part.rpartition('/')[2]}: {text}"
        for part, (level, text, _) in watch.health.items()
        if level and part.split(":")[0].endswith(name)
    )


def recover(robot: Robot, watch: Watch, fault: str, missed: list[str]) -> dict[str, Any]:
    """After a fault is over: seconds until embeddings come, a question is answered, all are OK.

    What does not happen within PATIENCE_S, and nodes that ended, are noted in `missed`.
    """
    begin = time.monotonic()
    stream = watch.streams[f"{watch.cameras[0]}/embeddings"]
    before = stream.count
    took: dict[str, Any] = {"embedding_s": None, "answer_s": None, "well_s": None}
    if watch.spin(lambda: stream.count > before, PATIENCE_S):
        took["embedding_s"] = round(time.monotonic() - begin, 2)
    reply = watch.ask_question()
    while time.monotonic() - begin < PATIENCE_S and not (reply and reply.result.code == 0):
        watch.wait(0.2)
        reply = watch.ask_question()
    if reply and reply.result.code == 0:
        took["answer_s"] = round(time.monotonic() - begin, 2)
    troubled = wait_until_well(robot, watch)
    if not troubled:
        took["well_s"] = round(time.monotonic() - begin, 2)
    lacking = [name for name, value in took.items() if value is None]
    if lacking:
        missed.append(f"after {fault}: no {', '.join(lacking)} in {PATIENCE_S:g} s: {troubled}")
    missed += [f"{fault}: {name} ended with exit code {code}" for name, code in robot.exits]
    robot.exits.clear()
    return took
