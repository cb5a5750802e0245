"""How soon a subscriber can tell, from messages alone, that a node was killed.

    python lab/bench/bench_silence.py --rounds 5

A camera streams; perception, the decoder and the trigger node are processes of their own. In each
round one of them is killed with SIGKILL at a random moment, and started again. A node that repeats
a topic is gone once that is silent for its deadline; without perception the other two must say so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from vljepa_lab.bench.harness import (
    BENCH_DOMAIN,
    CAMERA,
    BenchGraph,
    as_lines,
    run_script,
)
from vljepa_lab.bench.samples import note
from vljepa_ros.cli.options import add_model_options, add_number_option, natural_number
from vljepa_ros.cli.processes import PackageProcess, ProcessFailed
from vljepa_ros.nodes.topics import DEADLINE_S, REPEATED

NODES = ("trigger_node", "selective_decoder_node", "perception_node")
TEXTS = ("the door is open", "nothing is happening")
PATIENCE_S = 30.0


class Watcher:
    """The newest message of each repeated topic, and when it came on the steady clock.

    Args:
        graph: Its client subscribes.
    """

    def __init__(self, graph: BenchGraph) -> None:
        self.newest: dict[str, Any] = {}
        self.arrived: dict[str, float] = {}
        for node, kind, topic in (
            ("trigger_node", "TriggerState", f"{CAMERA}/trigger_state"),
            ("selective_decoder_node", "SceneEvent", f"{CAMERA}/scene"),
            ("perception_node", "ModelInfo", "model_info"),
        ):
            graph.client.subscribe(
                f"vljepa_ros/msg/{kind}", topic, lambda m, n=node: self._take(n, m), REPEATED
            )

    def _take(self, node: str, message: Any) -> None:
        self.newest[node], self.arrived[node] = message, time.monotonic()

    def well(self) -> bool:
        """Whether all nodes are there, and know something."""
        now = time.monotonic()
        there = all(now - self.arrived.get(node, 0.0) < DEADLINE_S for node in NODES)
        return there and not self.newest["selective_decoder_node"].stale and self.judged()

    def judged(self) -> bool:
        """Whether a trigger is TRUE or FALSE."""
        return any(t.state != t.STATE_UNKNOWN for t in self.newest["trigger_node"].triggers)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the seconds from each kill until it can be told, the longest of each.

    Raises:
        ProcessFailed: The nodes did not come up, or it could not be told.
    """
    with BenchGraph(args.model, args.engine) as graph:
        graph.start(
            "vljepa_lab.bench.camera",
            *("--topic", graph.topic, "--clip", str(graph.clip)),
            *("--domain", str(BENCH_DOMAIN), "--fps", "10", "--seconds", "100000"),
        )

        def start(node: str) -> PackageProcess:
            settings = {"cameras": [CAMERA], "model": args.model}
            if node == "perception_node":
                settings[f"{CAMERA}.image_topic"] = graph.topic
            else:
                settings |= {"triggers": list(TEXTS)} if node == "trigger_node" else {}
            given = [x for k, v in settings.items() for x in ("-p", f"{k}:={json.dumps(v)}")]
            return graph.start(
                "vljepa_ros.nodes.program",
                *(node, "--ros-args", "-r", f"__ns:={graph.namespace}", *given),
                ROS_DOMAIN_ID=str(BENCH_DOMAIN),
            )

        processes = {node: start(node) for node in NODES}
        watcher = Watcher(graph)
        longest: dict[str, float] = {}

        def wait(until: Callable[[], bool], what: str) -> float:
            if not graph.client.spin(until, PATIENCE_S):
                raise ProcessFailed(f"not within {PATIENCE_S:g} s: {what}")
            return time.monotonic()

        for number in range(args.rounds * len(NODES)):
            node = NODES[number % len(NODES)]
            wait(watcher.well, "all nodes are well")
            graph.client.spin(lambda: False, random.uniform(0.5, 1.5))
            note(f"round {number // len(NODES) + 1}: kill -9 {node}")
            os.kill(processes[node].pid, signal.SIGKILL)
            killed = time.monotonic()
            found = {}
            if node == "perception_node":
                end = wait(lambda: not watcher.judged(), "triggers are unknown")
                found["its triggers are UNKNOWN"] = end - killed
                end = wait(lambda: watcher.newest[NODES[1]].stale, "the scene is stale")
                found["its scene is stale"] = end - killed
            wait(lambda n=node: time.monotonic() - watcher.arrived[n] > DEADLINE_S + 1.0, "silence")
            found["its topic misses the deadline"] = watcher.arrived[node] + DEADLINE_S - killed
            for what, seconds in found.items():
                key = f"{node}: {what}"
                longest[key] = round(max(longest.get(key, 0.0), seconds), 2)
            processes[node] = start(node)
    return {"seconds": longest, "rounds": args.rounds}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench_silence.py", description=__doc__)
    add_model_options(parser)
    add_number_option(parser, "--rounds", 5, "kills of each node", natural_number, "N")
    return run_script(parser, measure, as_lines)


if __name__ == "__main__":
    sys.exit(main())
