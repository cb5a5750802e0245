"""`/diagnostics` after REP-107: one status for each part of a node.

Published at 1 Hz on a steady clock, independent of simulated time: with `use_sim_time` and no
`/clock` ordinary timers never fire.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vljepa_ros import ros
from vljepa_ros.nodes.topics import RESULTS

OK, WARN, ERROR = 0, 1, 2
MOST_CAUSES = 50  # of warnings of one part at a time; a text that always differs floods no log


@dataclass(frozen=True)
class Part:
    """State of one part of a node.

    Attributes:
        name: Of the part.
        level: OK, WARN or ERROR.
        message: What is wrong, or what it does.
        values: Key-value pairs of the status.
    """

    name: str
    level: int
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


def checked(
    name: str, trouble: str, fine: str, values: Mapping[str, object], level: int = WARN
) -> Part:
    """A part that is OK, which `fine` describes, unless there is trouble of some level."""
    return Part(name, level if trouble else OK, trouble or fine, values)


class Warnings:
    """Throttled warnings, each cause separately.

    A throttle of the logger would be shared by all cameras: of three faulty ones only the first
    would ever be reported.
    """

    def __init__(self, node: ros.Node) -> None:
        self._node = node
        self._silent_until: dict[str, float] = {}

    def warn(self, text: str, cause: str = "", interval: float = 10.0) -> None:
        """Log a text, unless its cause was logged less than `interval` seconds ago; in any thread.

        Args:
            text: What is wrong.
            cause: Of it; empty: the text up to its first colon.
            interval: Seconds.
        """
        now, cause = time.monotonic(), cause or text.partition(":")[0]
        known = list(self._silent_until.items())
        self._silent_until = {known_cause: end for known_cause, end in known if end > now}
        if cause not in self._silent_until and len(self._silent_until) < MOST_CAUSES:
            self._silent_until[cause] = now + interval
            self._node.get_logger().warning(text)


class Diagnostics:
    """Publishes the diagnostics of a node until it is destroyed.

    Args:
        node: The node to report.
        parts: Called once a second in the executor's thread.
    """

    def __init__(self, node: ros.Node, parts: Callable[[], Sequence[Part]]) -> None:
        self._node = node
        self._parts = parts
        self._array = ros.interface("diagnostic_msgs/msg/DiagnosticArray")
        self._status = ros.interface("diagnostic_msgs/msg/DiagnosticStatus")
        self._pair = ros.interface("diagnostic_msgs/msg/KeyValue")
        self._levels = (self._status.OK, self._status.WARN, self._status.ERROR)
        self._publisher = node.create_publisher(self._array, "/diagnostics", RESULTS)
        self._timer = node.create_timer(1.0, self.publish, clock=ros.steady_clock())

    def publish(self) -> None:
        """Publish now."""
        message = self._array()
        message.header.stamp = self._node.get_clock().now().to_msg()
        node = self._node.get_fully_qualified_name().lstrip("/")
        message.status = [
            self._status(
                level=self._levels[part.level],
                name=f"{node}: {part.name}",
                message=part.message,
                hardware_id=node,
                values=[self._pair(key=key, value=_text(v)) for key, v in part.values.items()],
            )
            for part in self._parts()
        ]
        self._publisher.publish(message)


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
