"""What the parts of a node use of the node and the executor that hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from vljepa_ros.ros.builtin.context import Context
from vljepa_ros.ros.builtin.dds import Reader, Writer
from vljepa_ros.ros.builtin.future import ReentrantCallbackGroup
from vljepa_ros.ros.builtin.graph import GraphNode
from vljepa_ros.ros.builtin.logging import Logger

Handler = Callable[[], Any]


class ExecutorHandle(Protocol):
    """What a node needs of the executor that runs it."""

    def wake(self) -> None:
        """End a wait now."""

    def create_task(self, callback: Callable[[], object]) -> Any:
        """Run a function or a coroutine function in the spinning thread."""

    def update(self) -> None:
        """Watch the readers that the nodes have now."""

    def remove_node(self, node: Any) -> None:
        """Stop running the callbacks of `node`."""


class NodeHandle(GraphNode, Protocol):
    """What endpoints, timers and the executor need of a node."""

    context: Context
    executor: ExecutorHandle | None

    def get_logger(self) -> Logger:
        """Its logger."""

    def wake(self) -> None:
        """Wake the executor that runs this node."""

    def entities(self) -> list[Entity]:
        """Everything that may have a callback due, in the order of checking."""

    def next_timer(self) -> float:
        """Seconds until the next timer is due; infinite if none will be."""


class Entity:
    """A part of a node that has callbacks or is an endpoint in DDS."""

    callback_group = ReentrantCallbackGroup()  # replaced by the node's or the user's
    reader: Reader | None = None
    writer: Writer | None = None
    events: tuple[Entity, ...] = ()

    def take(self) -> Handler | None:
        """The callback bound to what has arrived, or None."""
        return None

    def destroy(self) -> None:
        """Leave DDS; the endpoint is deleted with the last reference to it."""
        for event in self.events:
            event.destroy()
        self.reader = self.writer = None
        self.events = ()
