"""The robot's newest pose, from odometry, localisation or tf."""

from __future__ import annotations

import math
import time

from vljepa_ros import ros
from vljepa_ros.nodes.topics import IMAGES, Endpoints
from vljepa_ros.perception.memory.row import Pose

TF = "tf"
POSE_TYPES = {
    "odometry": "nav_msgs/msg/Odometry",
    "pose": "geometry_msgs/msg/PoseStamped",
    "pose_with_covariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
}
_TF_TYPE = "tf2_msgs/msg/TFMessage"
FRESH_POSE_S = 5.0  # maximum age of a pose; localisation may pause that long
_DYNAMIC = ros.QoSProfile(depth=100, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
_STATIC = ros.QoSProfile(
    depth=100,
    reliability=ros.ReliabilityPolicy.RELIABLE,
    durability=ros.DurabilityPolicy.TRANSIENT_LOCAL,
)


def pose_interface(kind: str) -> str:
    """Name of the message type for a kind of pose."""
    return _TF_TYPE if kind == TF else POSE_TYPES[kind]


class PoseInput(Endpoints):
    """Subscribes to a pose topic until `close`; best effort is compatible with any publisher.

    Attributes:
        missing: Why there is no pose, while `newest` has none.
    """

    def __init__(self, node: ros.Node, topic: str, kind: str) -> None:
        super().__init__(node)
        self.missing = f"no finite pose on '{topic}' for {FRESH_POSE_S:g} s: rows have none"
        self._pose: Pose | None = None
        self._arrived = 0.0
        self.subscribe(POSE_TYPES[kind], topic, self._on_pose, IMAGES)

    def newest(self) -> Pose | None:
        """The newest pose; None if it is too old."""
        return self._pose if time.monotonic() - self._arrived < FRESH_POSE_S else None

    def _on_pose(self, message: ros.Message) -> None:
        pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
        p, q = pose.position, pose.orientation
        position, orientation = (p.x, p.y, p.z), (q.x, q.y, q.z, q.w)
        if not all(math.isfinite(value) for value in position + orientation):
            return
        self._pose = Pose(position, orientation, str(message.header.frame_id))
        self._arrived = time.monotonic()


class TfPoseInput(Endpoints):
    """Listens to /tf and /tf_static until `close`.

    Args:
        node: A ROS node.
        frame: Frame in which the pose is given, e.g. map.
        base: Frame whose pose it is, e.g. base_link.

    Attributes:
        missing: As of PoseInput.
    """

    def __init__(self, node: ros.Node, frame: str, base: str) -> None:
        from vljepa_ros.perception.transforms import Transform, TransformTree

        super().__init__(node)
        self._frame, self._base = frame, base
        self.missing = (
            f"no transforms from '{frame}' to '{base}' for {FRESH_POSE_S:g} s: rows have no pose"
        )
        self._tree, self._transform = TransformTree(), Transform
        self.subscribe(_TF_TYPE, "/tf", lambda m: self._put(m, time.monotonic()), _DYNAMIC)
        self.subscribe(_TF_TYPE, "/tf_static", lambda m: self._put(m, math.inf), _STATIC)

    def newest(self) -> Pose | None:
        """The newest pose; None if there is no transform between the frames, or an old one."""
        found = self._tree.find(self._frame, self._base)
        if found is None or time.monotonic() - found[1] > FRESH_POSE_S:
            return None
        return Pose(found[0].translation, found[0].rotation, self._frame)

    def _put(self, message: ros.Message, arrived: float) -> None:
        for entry in message.transforms:
            t, q = entry.transform.translation, entry.transform.rotation
            transform = self._transform((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
            self._tree.put(entry.header.frame_id, entry.child_frame_id, transform, arrived)
