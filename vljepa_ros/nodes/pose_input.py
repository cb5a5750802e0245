"""The robot's newest pose, from odometry or localisation."""

from __future__ import annotations

import math
import time
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.qos import IMAGES
from vljepa_ros.perception.memory.row import Pose

__all__ = ["POSE_TYPES", "PoseInput"]

POSE_TYPES = {
    "odometry": "nav_msgs/msg/Odometry",
    "pose": "geometry_msgs/msg/PoseStamped",
    "pose_with_covariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
}
_FRESH = 5.0
"""Seconds for which a pose counts."""


class PoseInput:
    """Subscribes until `close`; best effort, so that every publisher fits."""

    def __init__(self, node: Any, topic: str, kind: str) -> None:
        self._node = node
        self._pose: Pose | None = None
        self._arrived = 0.0
        self._subscription = node.create_subscription(
            ros.interface(POSE_TYPES[kind]), topic, self._on_pose, IMAGES
        )

    def newest(self) -> Pose | None:
        """The newest pose; None where none came lately."""
        return self._pose if time.monotonic() - self._arrived < _FRESH else None

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_pose(self, message: Any) -> None:
        pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
        p, q = pose.position, pose.orientation
        position, orientation = (p.x, p.y, p.z), (q.x, q.y, q.z, q.w)
        if not all(math.isfinite(value) for value in position + orientation):
            return
        self._pose = Pose(position, orientation, str(message.header.frame_id))
        self._arrived = time.monotonic()
