"""Cameras that can be unplugged, and whose stamps go wrong; and a clock that does."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from watch import Watch

from vljepa_lab.bench.camera import pictures
from vljepa_ros import ros
from vljepa_ros.nodes.topics import IMAGES_OUT, image_message, to_stamp
from vljepa_ros.perception.image_source import demo_clip

CLOCK_S = 0.005  # between two messages on /clock: two images shall not have the same stamp
SECOND = 1_000_000_000


class Clock:
    """Publishes /clock while the watch spins.

    Args:
        watch: Whose node publishes.
        speed: Of the simulated time.

    Attributes:
        offset: Seconds by which the clock is wrong.
    """

    def __init__(self, watch: Watch, speed: float = 1.0) -> None:
        self.offset = 0.0
        self._speed, self._begin, self._start = speed, time.monotonic(), time.time_ns()
        self._kind = ros.interface("rosgraph_msgs/msg/Clock")
        self._publisher = watch.client.create_publisher(self._kind, "/clock", 10)
        self._timer = watch.client.create_timer(CLOCK_S, self._tick, clock=ros.steady_clock())

    def now(self) -> int:
        """Nanoseconds."""
        passed = (time.monotonic() - self._begin) * self._speed + self.offset
        return self._start + round(passed * SECOND)

    def _tick(self) -> None:
        self._publisher.publish(self._kind(clock=to_stamp(self.now())))


class Cameras:
    """Cameras that publish the demo clip on `NAME/image` while the watch spins.

    Args:
        watch: Whose node publishes.
        names: Of the cameras.
        rate: Images a second of each.
        size: Width and height in pixels.

    Attributes:
        offset: Seconds by which their stamps are wrong.
    """

    def __init__(
        self, watch: Watch, names: Iterable[str], rate: float, size: tuple[int, int] = (320, 240)
    ) -> None:
        self.offset = 0.0
        self._node, self._shown = watch.client, 0
        self._header = ros.interface("std_msgs/msg/Header")
        self._kind = ros.interface("sensor_msgs/msg/Image")
        self._pictures = [image_message(self._header(), p) for p in pictures(demo_clip(), *size)]
        self._publishers: dict[str, Any] = {}
        for name in names:
            self.plug(name)
        self._timer = self._node.create_timer(1.0 / rate, self._show, clock=ros.steady_clock())

    def plug(self, name: str) -> None:
        """Let a camera begin."""
        topic = f"/vljepa/{name}/image"
        self._publishers[name] = self._node.create_publisher(self._kind, topic, IMAGES_OUT)

    def unplug(self, name: str) -> None:
        """Let a camera be gone."""
        self._node.destroy_publisher(self._publishers.pop(name))

    def _show(self) -> None:
        self._shown += 1
        stamp = to_stamp(time.time_ns() + round(self.offset * SECOND))
        for turn, (name, publisher) in enumerate(self._publishers.items()):
            picture = self._pictures[(self._shown // 4 + 7 * turn) % len(self._pictures)]
            picture.header = self._header(stamp=stamp, frame_id=f"{name}_optical")
            publisher.publish(picture)
