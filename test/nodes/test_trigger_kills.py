"""Nodes in processes of their own, killed: subscribers know it from the messages alone."""

from __future__ import annotations

import array
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from graph import MODEL, SECOND, Graph, accepted
from trigger_robot import ARM, DOOR, EMBEDDING, STATE, STATUS
from wait_for_client import Waiting, action_client

from vljepa_ros import ros
from vljepa_ros.cli.processes import PackageProcess
from vljepa_ros.nodes.topics import REPEATED


class Processes:
    """perception_node and trigger_node, and what a planner elsewhere sees of them."""

    def __init__(self, graph: Graph, perception: PackageProcess, triggers: PackageProcess) -> None:
        self.graph, self.perception, self.triggers = graph, perception, triggers
        self.states, self.missed = list[Any](), list[Any]()
        events = ros.endpoint_events(deadline_missed=self.missed.append)
        kind = ros.interface(STATE)
        graph.client.create_subscription(
            kind, "front/trigger_state", self.states.append, REPEATED, event_callbacks=events
        )
        encoded = graph.call("vljepa_ros/srv/EncodeText", "encode_text", texts=[DOOR])
        assert accepted(encoded)
        self.door = ros.interface(EMBEDDING)(
            camera="front", model_id=encoded.model_id, vector=array.array("f", encoded.vectors)
        )
        self.publisher = graph.publisher(EMBEDDING, "front/embeddings")
        self.client = action_client(graph)

    def see_door(self) -> None:
        """Embeddings until the door's trigger is TRUE."""
        self.graph.connect(self.publisher)

        def show() -> None:
            self.graph.stamp += SECOND // 5
            self.door.header.stamp = ros.Time(nanoseconds=self.graph.stamp).to_msg()
            self.publisher.publish(self.door)
            self.graph.spin_for(0.05)

        assert self.graph.spin(lambda: self.shown == (STATUS.STATE_TRUE, 0), again=show)

    @property
    def shown(self) -> tuple[int, int] | None:
        """State and reason of the door's trigger."""
        found = [s for s in self.states[-1].triggers if s.id == DOOR] if self.states else []
        return (found[0].state, found[0].reason) if found else None


@pytest.fixture
def processes(graph: Graph) -> Iterator[Processes]:
    program = "vljepa_ros.nodes.program"
    options = ["--ros-args", "-p", f"triggers:=['{DOOR}']", "-p", "threshold:=0.99"]
    with (
        PackageProcess(program, ["perception_node", "--ros-args", "-p", f"model:={MODEL}"]) as one,
        PackageProcess(program, ["trigger_node", *options]) as two,
    ):
        made = Processes(graph, one, two)
        yield made
        made.client.destroy()


def kill(process: PackageProcess) -> float:
    os.kill(process.pid, signal.SIGKILL)
    return time.monotonic()


def test_who_is_killed_is_missed_and_a_goal_ends_or_goes_silent(
    graph: Graph, processes: Processes
) -> None:
    processes.see_door()
    assert not processes.missed
    true = Waiting(processes.client, graph, DOOR, cameras=["front"])
    arm = Waiting(processes.client, graph, ARM, unknown_after=1.0)
    killed = kill(processes.perception)
    gone = STATUS.STATE_UNKNOWN, STATUS.REASON_MODEL_GONE
    assert graph.spin(lambda: processes.shown == gone)
    print(f"perception_node is missed {time.monotonic() - killed:.2f} s after the kill")
    assert arm.ends() == ("ABORTED", "UNKNOWN"), "from another process, too"
    assert "MODEL_GONE" in arm.result.result.message or "NOT_SCORED" in arm.result.result.message
    assert not processes.missed, "trigger_node lives"
    silent = len(true.feedback)
    killed = kill(processes.triggers)
    assert graph.spin(lambda: processes.missed)
    print(f"trigger_node is missed {time.monotonic() - killed:.2f} s after the kill")
    graph.spin_for(1.5)
    assert not true.future.done(), "a result that never comes"
    assert len(true.feedback) <= silent + 1
