"""Quality of service: four profiles, and what to say where two ends do not fit.

| profile | for | why |
|---|---|---|
| `IMAGES` | subscribing to images | best effort takes from every camera, reliable or not |
| `IMAGES_OUT` | publishing images | reliable is what RViz and rosbag ask for by default |
| `RESULTS` | embeddings, labels, events, diagnostics | nothing is lost in a burst of up to ten |
| `LATCHED` | vocabulary, model_info, scene | whoever comes late gets the newest at once |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vljepa_ros import ros

IMAGES = ros.sensor_data_qos
IMAGES_OUT = ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.RELIABLE)
RESULTS = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.RELIABLE)
LATCHED = ros.QoSProfile(
    depth=1,
    reliability=ros.ReliabilityPolicy.RELIABLE,
    durability=ros.DurabilityPolicy.TRANSIENT_LOCAL,
)


def mismatch_events(topic: str, kind: str, report: Callable[[str], None]) -> Any:
    """Event callbacks for create_publisher or create_subscription: tell of ends that do not fit.

    :param kind: `publisher` or `subscription`, our own end.
    :param report: given one line that names topic, policy and remedy.
    """

    def tell(info: Any) -> None:
        other = "subscriber" if kind == "publisher" else "publisher"
        report(
            f"incompatible QoS on '{topic}': a {other} was refused because of {info.policy}; "
            f"{info.remedy}"
        )

    return ros.incompatible_qos_events(tell, kind=kind)
