"""`kill -9` of each node at random moments while everything streams."""

from __future__ import annotations

import http.client
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from health import PATIENCE_S, wait_until_well
from robot import NODES, Robot
from watch import Page, Watch

from vljepa_ros import ros
from vljepa_ros.nodes.topics import IMAGES, RESULTS, to_nanoseconds
from vljepa_ros.perception.memory.row import SEGMENT
from vljepa_ros.perception.memory.store import Filter, open_store

KILLS = 100
SERVE_S = REPORT_S = 5.0  # asked
BATCH_S = 5.0  # the memory's
OUTAGE_S = 10.0
EVIDENCE = {  # a message on it shows that the node works
    "camera_node": "image",
    "perception_node": "front/embeddings",
    "selective_decoder_node": "front/scene",
    "trigger_node": "front/trigger_state",
    "overlay_node": "front/overlay",
}
USERS = {  # nodes that cannot do their work without it
    "camera_node": ("perception_node", "selective_decoder_node", "trigger_node", "memory_node"),
    "perception_node": ("selective_decoder_node", "trigger_node", "memory_node"),
}
PARAMETERS = {
    "camera_node": {"rate": 5.0},
    "perception_node": {"max_rate": 2.0},
    "memory_node": {"batch_seconds": BATCH_S, "upkeep_period": 20.0},
}


def run(scale: float, folder: Path) -> dict[str, Any]:
    chance = random.Random(0)
    kills = max(len(NODES), round(KILLS * scale))
    order = [NODES[number % len(NODES)] for number in range(kills)]
    chance.shuffle(order)
    missed: list[str] = []
    # Both see the same, so that their events come together.
    robot = Robot(folder, PARAMETERS, cameras={"front": "image", "rear": "image"})
    with robot, Watch(robot.cameras) as watch, Page(robot.port):
        watch.follow("sensor_msgs/msg/Image", "image", IMAGES)
        seen = {camera: _stamps(watch, camera) for camera in robot.cameras}
        if not watch.streaming():
            raise RuntimeError("not everything came at the start")
        wait_until_well(robot, watch)
        away = [(0.0, time.monotonic())]
        outages = {name: _outage(robot, watch, name, missed) for name in robot.nodes}
        turns: list[dict[str, Any]] = []
        gone = 0
        for number, name in enumerate(order):
            watch.wait(chance.uniform(0.3, 3.0))
            if name == "selective_decoder_node" and number % 2:  # as an event is published
                said = len(watch.events)
                watch.spin(lambda before=said: len(watch.events) > before, 20.0)
            kept = _rows(robot) if name == "memory_node" else set()
            turns.append(_kill(robot, watch, name, number, missed))
            if kept:
                gone += len(kept - _rows(robot))
            print(f"kill: {number + 1} of {kills}: {turns[-1]}", file=sys.stderr, flush=True)
        events = list(watch.events)
        watch.wait(2.0 * BATCH_S)
        troubled = wait_until_well(robot, watch)
    if troubled:
        missed.append(f"not OK at the end: {troubled}")
    missed += [f"{name} ended with exit code {code}" for name, code in robot.exits]
    ids = Counter(event.event_id for event in events)
    twice = sum(count - 1 for count in ids.values())
    by_camera = [[e for e in events if e.camera == camera] for camera in robot.cameras]
    again = sum(b.sequence <= a.sequence for one in by_camera for a, b in pairwise(one))
    away.append(outages["memory_node"].pop("away"))
    away += [(t["at"], t["at"] + t["well"]) for t in turns if t["node"] == "memory_node"]
    stored = Counter[str]()
    for one in by_camera:
        stored.update(_stored(robot, one, seen[one[0].camera], away) if one else {})
    if twice or again:
        missed.append(f"{twice} event ids came twice, {again} sequence numbers were used again")
    if gone:
        missed.append(f"{gone} rows that were in the store are not there any more")
    if stored["lost"]:
        missed.append(f"{stored['lost']} events are not in the memory and were not in a last batch")
    by_node = {name: [t for t in turns if t["node"] == name] for name in robot.nodes}
    nodes = {name: _figures(those) for name, those in by_node.items() if those}
    missed += [
        f"{name} served again within {SERVE_S:g} s after {n['within_5_s']} of {n['kills']} kills, "
        f"at most after {n['serving_s']['max']} s; a start took {n['cpu_s']} s of a core"
        for name, n in nodes.items()
        if n["within_5_s"] < n["kills"]
    ]
    return {
        "runtime": ros.RUNTIME,
        "kills": kills,
        "nodes": nodes,
        "outages": outages,
        "events": len(events),
        "ids_twice": twice,
        "sequences_again": again,
        "rows_gone": gone,
        "stored_events": dict(stored),
        "missed": missed,
    }


def _kill(robot: Robot, watch: Watch, name: str, number: int, missed: list[str]) -> dict[str, Any]:
    """Kill a node and wait until it serves, and until every node is well again."""
    watch.reset()
    killed = time.monotonic()
    robot.kill(name)
    watch.wait(0.3)  # what it had sent is here
    watch.forget(name)
    served = watch.spin(_evidence(robot, watch, name), PATIENCE_S)
    serving = time.monotonic() - killed
    if not served:
        missed.append(f"kill {number} of {name}: it did not serve within {PATIENCE_S:g} s")
    process = robot.processes().get(name)
    used = sum(process.cpu_times()[:2]) if process else 0.0
    troubled = wait_until_well(robot, watch)
    if troubled:
        missed.append(f"kill {number} of {name}: not OK afterwards: {troubled}")
    return {
        "node": name,
        "at": killed,
        "serving": round(serving, 2),
        "cpu": round(used, 2),
        "well": round(time.monotonic() - killed, 2),
        "reported": sorted(_reporters(watch) - {name}),
    }


def _outage(robot: Robot, watch: Watch, name: str, missed: list[str]) -> dict[str, Any]:
    """Let a node be away: which others report it, after how many seconds."""
    watch.reset()
    watch.wait(5.0)
    # Without embeddings for three of their periods a camera has stopped: load makes them longer.
    pause = max(watch.streams[f"{camera}/embeddings"].longest for camera in robot.cameras)
    watch.reset()
    seen: dict[str, float] = {}
    lines: dict[str, str] = {}
    robot.respawn = False
    killed = time.monotonic()
    robot.kill(name)

    def look() -> bool:
        for part, text in watch.troubles:
            node = part.split(":")[0].rsplit("/", 1)[-1]
            if node not in {name, *seen}:
                seen[node], lines[node] = round(time.monotonic() - killed, 1), f"{part}: {text}"
        return False

    watch.spin(look, max(OUTAGE_S, 5.0 * pause))
    robot.respawn = True
    for node in USERS.get(name, ()):
        if seen.get(node, math.inf) > REPORT_S:
            after = f"after {seen[node]} s" if node in seen else "not at all"
            paced = f"embeddings came up to {pause:.1f} s apart"
            missed.append(
                f"{node} reported the loss of {name} {after}, asked: {REPORT_S:g} s; {paced}"
            )
    if troubled := wait_until_well(robot, watch):
        missed.append(f"after an outage of {name}: not OK: {troubled}")
    figures = {"longest_pause": round(pause, 2), "reported_after": seen, "lines": lines}
    return figures | ({"away": (killed, time.monotonic())} if name == "memory_node" else {})


def _reporters(watch: Watch) -> set[str]:
    return {part.split(":")[0].rsplit("/", 1)[-1] for part, _ in watch.troubles}


def _evidence(robot: Robot, watch: Watch, name: str) -> Any:
    """A function that says whether a node that was killed serves again."""
    if name in EVIDENCE:
        stream = watch.streams[EVIDENCE[name]]
        before = stream.count
        return lambda: stream.count > before
    if name == "console_node":
        return lambda: _page_is_there(robot.port)

    def finds() -> bool:
        reply = watch.find_moments(timeout=1.0)
        return reply is not None and reply.result.code == reply.result.OK

    return finds


def _page_is_there(port: int) -> bool:
    connection = http.client.HTTPConnection("localhost", port, timeout=1.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _rows(robot: Robot) -> set[tuple[str, str, int, int]]:
    """What is in the store."""
    store = open_store(robot.memory)
    return {(r.kind, r.camera, r.start, r.end) for r in store.rows(vectors=False)}


def _stamps(watch: Watch, camera: str) -> list[int]:
    """A list to which the stamps of a camera's embeddings are added as they come."""
    stamps: list[int] = []
    watch.subscribe(
        "vljepa_ros/msg/Embedding",
        f"{camera}/embeddings",
        lambda message: stamps.append(to_nanoseconds(message.header.stamp)),
        RESULTS,
    )
    return stamps


def _stored(
    robot: Robot, events: Sequence[Any], seen: Sequence[int], away: Sequence[tuple[float, float]]
) -> dict[str, int]:
    """Which of a camera's events the store knows, and why it does not know others.

    A segment is written BATCH_S after its end at the latest, its samples before. What came while
    the memory was away it cannot have, nor what was in its last batch; and a state that ended
    before the next embedding is a text without anything to keep it for.
    """
    offset = time.time() - time.monotonic()
    rows = open_store(robot.memory).rows(Filter((events[0].camera,)), vectors=False)
    better = {e.corrects_sequence: e.text for e in events if e.reason == e.CORRECTION}
    counts = dict.fromkeys(("segment", "samples", "no_embedding", "last_batch", "lost"), 0)
    for event, following in pairwise(e for e in events if e.reason != e.CORRECTION):
        onset, end = (
            to_nanoseconds(one.onset) or to_nanoseconds(one.header.stamp)
            for one in (event, following)
        )
        begun, done = onset / 1e9 - offset - 1.0, end / 1e9 - offset + BATCH_S + 2.0
        texts = {event.text, better.get(event.sequence, event.text)}
        kinds = {r.kind for r in rows if r.text in texts and r.start < end and r.end >= onset}
        if kinds:
            why = "segment" if SEGMENT in kinds else "samples"
        elif not any(onset <= stamp < end for stamp in seen):
            why = "no_embedding"
        elif any(begun < back and done > gone for gone, back in away):
            why = "last_batch"
        else:
            why = "lost"
            print(f"kill: no row of '{event.text}', {event.event_id}", file=sys.stderr)
        counts[why] += 1
    return counts


def _figures(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    serving = [turn["serving"] for turn in turns]
    return {
        "kills": len(turns),
        "serving_s": {"median": round(float(np.median(serving)), 2), "max": max(serving)},
        "within_5_s": sum(one <= SERVE_S for one in serving),
        "cpu_s": round(float(np.median([turn["cpu"] for turn in turns])), 2),
        "well_again_s": {
            "median": round(float(np.median([turn["well"] for turn in turns])), 1),
            "max": max(turn["well"] for turn in turns),
        },
        "reported_by": dict(Counter(node for turn in turns for node in turn["reported"])),
    }
