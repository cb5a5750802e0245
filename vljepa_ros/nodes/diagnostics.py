"""`/diagnostics` after REP-107: one status for each part of a node, once a second, come what may.

The timer runs on a steady clock: with `use_sim_time` and no `/clock` ordinary timers never fire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.qos import RESULTS

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Part:
    """State of one part of a node. level: OK, WARN or ERROR. values: shown as they are."""

    name: str
    level: int
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


class Diagnostics:
    """Publishes from its creation until `close`.

    :param parts: asked each time; called in the executor's thread.
    """

    def __init__(self, node: Any, parts: Callable[[], Sequence[Part]], period: float = 1.0) -> None:
        self._node = node
        self._parts = parts
        self._array = ros.interface("diagnostic_msgs/msg/DiagnosticArray")
        self._status = ros.interface("diagnostic_msgs/msg/DiagnosticStatus")
        self._pair = ros.interface("diagnostic_msgs/msg/KeyValue")
        self._levels = (self._status.OK, self._status.WARN, self._status.ERROR)
        self._publisher = node.create_publisher(self._array, "/diagnostics", RESULTS)
        self._timer = node.create_timer(period, self.publish, clock=ros.steady_clock())

    def publish(self) -> None:
        """Publish now."""
        message = self._array()
        message.header.stamp = self._node.get_clock().now().to_msg()
        name = self._node.get_fully_qualified_name().lstrip("/")
        message.status = [self._as_status(name, part) for part in self._parts()]
        self._publisher.publish(message)

    def close(self) -> None:
        """No more of it."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _as_status(self, node: str, part: Part) -> Any:
        return self._status(
            level=self._levels[part.level],
            name=f"{node}: {part.name}",
            message=part.message,
            hardware_id=node,
            values=[self._pair(key=key, value=_text(v)) for key, v in part.values.items()],
        )


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
