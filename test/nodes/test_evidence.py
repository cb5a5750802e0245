"""The picture that decided an event: the part that the camera looks at, with the event's id."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from graph import COLOURS, MODEL, Graph, image, nanoseconds, status, two_colours, value

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode

EVIDENCE = "vljepa_ros/msg/Evidence"
SNAPSHOT = "rosbag2_interfaces/srv/Snapshot"
# A robot without rosbag2 has no such service; the built-in runtime brings the definition.
RECORDER = ros.RUNTIME == "builtin" or find_spec("rosbag2_interfaces") is not None


def test_events_and_rising_triggers_come_with_their_picture(graph: Graph) -> None:
    snapshots: list[Any] = []

    def snapshot(request: Any, response: Any) -> Any:
        snapshots.append(request)
        return response

    service = "/recorder/snapshot" if RECORDER else ""
    if service:
        graph.client.create_service(ros.interface(SNAPSHOT), service, snapshot)
    node = graph.add(
        PerceptionNode, model=MODEL, max_rate=1000.0, always_on=True, evidence=True,
        snapshot_service=service,
        **{"front.crop": [40, 10, 30, 50], "front.rotate": 90},
    )  # fmt: skip
    embeddings = graph.listen("vljepa_ros/msg/Embedding", "front/embeddings")
    shown = graph.listen(EVIDENCE, "evidence")
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    events = graph.connect(graph.publisher("vljepa_ros/msg/SceneEvent", "events"))
    triggers = graph.connect(graph.publisher("vljepa_ros/msg/TriggerEvent", "triggers"))
    camera = graph.camera()
    graph.show(camera, **two_colours("red", "blue"))
    assert graph.spin(lambda: embeddings)
    deciding = embeddings[-1].header
    event = ros.interface("vljepa_ros/msg/SceneEvent")(
        header=deciding, camera="front", event_id="scene/front/1", text="it is blue"
    )
    events.publish(event)
    assert graph.spin(lambda: shown)
    found = shown[0]
    assert (found.event_id, found.camera, found.cause) == ("scene/front/1", "front", "it is blue")
    assert found.header == deciding
    picture = cv2.imdecode(np.frombuffer(found.image.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert picture.shape == (30, 50, 3), "cropped, then turned"
    assert np.abs(picture.astype(int) - COLOURS["blue"]).max() < 30
    assert graph.spin(lambda: len(snapshots) == RECORDER)

    status_kind = ros.interface("vljepa_ros/msg/TriggerStatus")
    for state in (status_kind.STATE_FALSE, status_kind.STATE_TRUE):
        change = ros.interface("vljepa_ros/msg/TriggerEvent")(
            header=deciding,
            event_id=f"trigger/{state}",
            trigger=status_kind(owner="me", id="blue", camera="front", text="blue!", state=state),
        )
        triggers.publish(change)
    assert graph.spin(lambda: len(shown) == 2)
    true = status_kind.STATE_TRUE
    assert (shown[1].event_id, shown[1].cause) == (f"trigger/{true}", "me/blue: blue!")

    event.header = image("red", nanoseconds(deciding.stamp) - 1).header
    events.publish(event)
    assert graph.spin(
        lambda: (s := status(diagnostics, "evidence")) and "is no longer kept" in s.message
    )
    assert value(status(diagnostics, "evidence"), "published") == "2"
    assert graph.set(node, "evidence", False).successful
    assert graph.spin(lambda: events.get_subscription_count() == 0)
