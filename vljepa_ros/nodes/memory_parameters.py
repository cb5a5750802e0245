"""Parameters of the memory node."""

from __future__ import annotations

from dataclasses import dataclass

from vljepa_ros.nodes.parameters import fixed, live
from vljepa_ros.nodes.pose_input import POSE_TYPES, TF
from vljepa_ros.nodes.worker_node import WorkerParameters


@dataclass(frozen=True)
class MemoryParameters(WorkerParameters):
    """Parameters beside the common ones and those of each camera."""

    location: str = fixed(
        "~/.vljepa/memory", "Directory of the store, or an object storage address (s3://...)."
    )
    batch_rows: int = fixed(512, "Rows that are written together at most.", 1, 4096)
    batch_seconds: float = fixed(
        30.0, "Seconds after which rows are written; a crash loses no more.", 0.1, 3600.0
    )
    upkeep_period: float = fixed(
        600.0, "Seconds between two rounds of forgetting and compaction.", 1.0, 86400.0
    )
    pose_topic: str = fixed(
        "", "Topic of the robot's pose; empty: no poses are kept, unless pose_type is tf."
    )
    pose_type: str = fixed(
        "odometry",
        "Kind of the pose topic; tf: from /tf and /tf_static, without a pose topic.",
        choices=(*POSE_TYPES, TF),
    )
    pose_frame: str = fixed("map", "With tf: the frame in which poses are told.")
    base_frame: str = fixed("base_link", "With tf: the robot's frame, whose pose is kept.")
    thumbnail: int = fixed(96, "Side of a thumbnail's images, pixels.", 16, 1024)
    sample_interval: float = live(
        1.0, "Seconds between two samples that are kept beside the segments; 0: none.", 0.0, 3600.0
    )
    longest_segment: float = live(
        60.0, "Seconds after which a segment is kept though nothing changed.", 1.0, 86400.0
    )
    max_age_hours: float = live(0.0, "Age at which rows are forgotten; 0: never.", 0.0, 1e6)
    max_sample_age_hours: float = live(
        0.0, "Age at which samples are forgotten; their segments stay; 0: never.", 0.0, 1e6
    )
    max_megabytes: int = live(
        10000, "Size on the disk above which the oldest rows are forgotten; 0: none.", 0, 10**9
    )
    merge_gap: float = live(2.0, "Seconds between hits that are one moment.", 0.0, 3600.0)
    longest_moment: float = live(120.0, "Seconds that a moment lasts at most.", 1.0, 86400.0)
