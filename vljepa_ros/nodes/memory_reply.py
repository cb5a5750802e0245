"""srv/FindMoments to and from the memory's own terms."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.memory_input import nanoseconds
from vljepa_ros.perception.memory.moments import Moment
from vljepa_ros.perception.memory.row import Pose
from vljepa_ros.perception.memory.search import MomentQuery


def query_of(request: Any, *, gap: float, longest: float) -> MomentQuery:
    """A request as a query; times of 0 are no bounds. gap, longest: seconds."""
    return MomentQuery(
        text=str(request.text),
        camera=str(request.camera),
        start=nanoseconds(request.start) or None,
        end=nanoseconds(request.end) or None,
        limit=int(request.limit),
        min_score=float(request.min_score),
        gap=round(gap * 1e9),
        longest=round(longest * 1e9),
    )


def fill_reply(response: Any, moments: Sequence[Moment]) -> Any:
    """Write moments into a response.

    poses stays empty where no moment has one; else a moment without one gets NaN as position.
    """
    response.success = True
    response.cameras = [moment.camera for moment in moments]
    response.starts = [ros.Time(nanoseconds=moment.start).to_msg() for moment in moments]
    response.ends = [ros.Time(nanoseconds=moment.end).to_msg() for moment in moments]
    response.stamps = [ros.Time(nanoseconds=moment.stamp).to_msg() for moment in moments]
    response.scores = array("f", [moment.score for moment in moments])
    response.texts = [moment.text for moment in moments]
    if any(moment.pose is not None for moment in moments):
        response.poses = [_pose(moment.pose) for moment in moments]
    return response


def _pose(pose: Pose | None) -> Any:
    message = ros.interface("geometry_msgs/msg/Pose")()
    p, q = message.position, message.orientation
    if pose is None:
        p.x = p.y = p.z = math.nan
        return message
    p.x, p.y, p.z = pose.position
    q.x, q.y, q.z, q.w = pose.orientation
    return message
