"""What tests of bad input share: a node that must live on, what it says, and a second one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from graph import PATIENCE, Graph, nanoseconds, question, status

from vljepa_ros.nodes.perception_node import PerceptionNode

EMBEDDING = "vljepa_ros/msg/Embedding"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


def second(**options: Any) -> PerceptionNode:
    """Another robot's node, beside the one that is there."""
    return PerceptionNode(namespace="/second/vljepa", **options)


def ask_second(graph: Graph) -> Any:
    return graph.call(
        "vljepa_ros/srv/AnswerQuestion",
        "/second/vljepa/answer_question",
        question=question("what?"),
    )


class Watch:
    """Diagnostics and log of the node, and whether it still works."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
        self.log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
        self.camera = graph.camera()

    def says(self, *texts: str, again: Callable[[], Any] | None = None) -> bool:
        """Whether the diagnostics come to say so; see `Graph.spin` for `again`."""

        def found() -> bool:
            now = status(self.diagnostics, "perception_node: camera front")
            return now is not None and all(text in now.message for text in texts)

        return self.graph.spin(found, again=again)

    def logs(self, *texts: str, again: Callable[[], Any] | None = None) -> bool:
        return self.graph.spin(
            lambda: any(all(text in m.msg for text in texts) for m in self.log), again=again
        )

    def lives(self) -> bool:
        """Whether new images become embeddings with their stamps, and the diagnostics say so."""
        heard = self.graph.listen(EMBEDDING, "front/embeddings")
        first = self.graph.stamp
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            self.graph.show(self.camera, "green", 0.5)
            newest = nanoseconds(heard[-1].header.stamp) if heard else 0
            now = status(self.diagnostics, "perception_node: camera front")
            if first < newest <= self.graph.stamp and now and now.message == "images arrive":
                return True
        return False
