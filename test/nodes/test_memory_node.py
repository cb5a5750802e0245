"""The memory node on the real middleware: remembers, finds, refuses, survives a bad disk."""

from __future__ import annotations

import array
import math
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from graph import MODEL, SECOND, Graph, accepted, nanoseconds, status, value
from memory_robot import PATIENCE, TEXTS, Robot

from vljepa_ros import ros
from vljepa_ros.nodes.memory_node import MemoryNode, pose_message
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT
from vljepa_ros.perception.memory.store import Filter, open_store

pytestmark = pytest.mark.skipif(
    find_spec("lancedb") is None, reason="the memory needs the extra [memory]"
)

DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


def test_what_was_seen_is_found_with_its_time_text_and_pose(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory", pose_topic="/odom")
    received = graph.listen(DIAGNOSTICS, "/diagnostics")
    assert graph.spin(lambda: "no finite pose on '/odom'" in _message(received, "pose"), PATIENCE)
    kind = ros.interface("nav_msgs/msg/Odometry")
    odometry = graph.client.create_publisher(kind, "/odom", 5)
    here = kind()
    here.header.frame_id = "map"
    here.pose.pose.position.x = 2.5
    node = robot.node
    again = graph.client.create_timer(0.1, lambda: odometry.publish(here), clock=ros.steady_clock())
    assert graph.spin(lambda: node._pose.newest() is not None, PATIENCE)
    assert graph.spin(lambda: _message(received, "pose") == "kept with each row", PATIENCE)
    robot.see(0, 4.0)
    change = graph.stamp
    robot.see(1, 4.0)
    assert robot.written(12)
    graph.client.destroy_timer(again)
    reply = robot.find()
    assert accepted(reply), reply.result.message
    found = reply.moments[0]
    assert (found.camera, found.text, found.source) == ("front", TEXTS[0], "")
    start, end, best = (nanoseconds(s) for s in (found.start, found.end, found.header.stamp))
    assert start <= best <= end
    assert robot.begin - 2 * SECOND <= start
    assert best <= change
    assert found.score == max(moment.score for moment in reply.moments)
    assert found.localised
    assert (found.pose.header.frame_id, found.pose.header.stamp) == ("map", found.header.stamp)
    assert found.pose.pose.position.x == 2.5
    assert reply.model_id == robot.model_id
    # the other text, and only what came after the change
    since = ros.Time(nanoseconds=change + SECOND).to_msg()
    later = robot.find(TEXTS[1], start=since)
    assert later.moments[0].text == TEXTS[1]
    assert all(nanoseconds(moment.end) > change for moment in later.moments)


def test_a_moment_is_found_by_another(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory")
    stamps = []
    for which in (0, 1, 0):
        robot.see(which, 4.0)
        stamps.append(graph.stamp)
    assert robot.written(15)
    like = ros.Time(nanoseconds=stamps[1] - SECOND).to_msg()
    reply = robot.find("", like_camera="front", like_stamp=like)
    assert accepted(reply), reply.result.message
    best = reply.moments[0]
    assert best.text == TEXTS[1]
    assert best.score == pytest.approx(1.0, abs=1e-3)
    assert not best.localised
    assert math.isnan(best.pose.pose.position.x)
    nothing = robot.find("", like_camera="front", like_stamp=ros.Time(nanoseconds=5).to_msg())
    assert nothing.result.code == nothing.result.UNKNOWN_ID
    assert "nothing is remembered of camera 'front' at 0.000 s" in nothing.result.message


@pytest.mark.skipif(
    ros.find_interface("tf2_msgs/msg/TFMessage") is None, reason="tf2_msgs is not installed"
)
def test_poses_come_from_tf(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory", pose_type="tf", pose_frame="map")
    kind = ros.interface("tf2_msgs/msg/TFMessage")
    latched = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
    dynamic = graph.publisher("tf2_msgs/msg/TFMessage", "/tf")
    static = graph.publisher("tf2_msgs/msg/TFMessage", "/tf_static", latched)

    def link(parent: str, child: str, x: float, yaw: float = 0.0) -> Any:
        made = ros.interface("geometry_msgs/msg/TransformStamped")(child_frame_id=child)
        made.header.frame_id = parent
        made.transform.translation.x = x
        made.transform.rotation.z = math.sin(yaw / 2)
        made.transform.rotation.w = math.cos(yaw / 2)
        return made

    static.publish(kind(transforms=[link("map", "odom", 1.0, math.pi / 2)]))
    moving = kind(transforms=[link("odom", "base_link", 2.0)])
    again = graph.client.create_timer(
        0.1, lambda: dynamic.publish(moving), clock=ros.steady_clock()
    )
    assert graph.spin(lambda: robot.node._pose.newest() is not None, PATIENCE)
    robot.see(0, 2.0)
    graph.client.destroy_timer(again)
    assert robot.written(3)
    pose = robot.find().moments[0].pose.pose
    assert (pose.position.x, pose.position.y) == pytest.approx((1.0, 2.0))
    assert pose.orientation.z == pytest.approx(math.sqrt(0.5))


def test_segments_are_written_at_deactivation_and_found_after_a_restart(
    graph: Graph, tmp_path: Path
) -> None:
    robot = Robot(graph, tmp_path / "memory")
    robot.see(0, 2.0)
    robot.see(1, 2.0)
    assert robot.node.trigger_deactivate() == ros.TransitionCallbackReturn.SUCCESS
    assert robot.node.trigger_cleanup() == ros.TransitionCallbackReturn.SUCCESS
    store = open_store(tmp_path / "memory")
    segments = [row for row in store.rows() if row.kind == SEGMENT]
    assert [row.text for row in segments] == list(TEXTS)
    assert store.count(Filter(kind=SAMPLE)) >= 6
    refused = robot.find()
    assert not accepted(refused)
    assert "is not configured; try: ros2 lifecycle set" in refused.result.message
    robot.node.autostart()
    assert robot.find().moments[0].text == TEXTS[0]


def test_the_text_in_force_is_known_after_a_restart(graph: Graph, tmp_path: Path) -> None:
    """Its event came while the node was away; the decoder repeats the state."""
    robot = Robot(graph, tmp_path / "memory")
    scene = ros.interface("vljepa_ros/msg/SceneEvent")
    stamp = ros.Time(nanoseconds=graph.stamp).to_msg()
    state = scene(camera="front", model_id=robot.model_id, reason=scene.HEARTBEAT, text=TEXTS[1])
    state.onset = state.header.stamp = stamp
    events = robot.count("events")
    robot.scene.publish(state)
    assert graph.spin(lambda: robot.count("events") > events, PATIENCE)
    robot.go_on(1, 1.0)
    robot.see(0, 1.0)
    robot.scene.publish(state)  # older than the event: on its way when that came
    graph.spin_for(0.3)
    assert robot.count("events") == events + 2
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    rows = open_store(tmp_path / "memory").rows(Filter(kind=SEGMENT))
    assert [row.text for row in rows] == [TEXTS[1], TEXTS[0]]


def test_senseless_requests_are_answered(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory")
    nothing = robot.find()
    assert not accepted(nothing)
    assert "there is no memory at" in nothing.result.message
    robot.see(0, 2.0)
    assert robot.written(3)
    early, late = (ros.Time(nanoseconds=n * SECOND).to_msg() for n in (5, 9))
    for fields, message in (
        ({"text": "  "}, "the text is empty"),
        ({"cameras": ["front", "left"]}, "knows no camera 'left'; it has: front"),
        ({"start": late, "end": early}, "is before start"),
        ({"limit": 0}, "limit is 0, allowed: 1 to 1000"),
        ({"min_score": 2.0}, "min_score is 2.0, allowed: 0 to 1"),
    ):
        reply = robot.find(**fields)
        assert not accepted(reply)
        assert message in reply.result.message
    assert accepted(robot.find())


def test_without_a_perception_node_the_reply_says_so(graph: Graph, tmp_path: Path) -> None:
    graph.add(MemoryNode, model=MODEL, location=str(tmp_path / "memory"))
    reply = graph.call("vljepa_ros/srv/FindMoments", "find_moments", text="a door", limit=3)
    assert not accepted(reply)
    assert "service '/vljepa/encode_text'" in reply.result.message


def test_another_models_embeddings_are_refused(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory")
    received = graph.listen(DIAGNOSTICS, "/diagnostics")
    robot.see(0, 1.0, model_id="nano-ffffffff")
    assert graph.spin(
        lambda: "come from model nano-ffffffff" in _message(received, "camera front"), PATIENCE
    )
    robot.see(0, 1.0, vector=array.array("f", [1.0, 0.0]))
    robot.see(0, 2.0)
    assert robot.written(3)
    assert graph.spin(lambda: _message(received, "camera front") == "embeddings arrive", PATIENCE)
    assert int(value(status(received, "camera front"), "refused")) == 5


def test_another_models_store_is_an_error_and_left_alone(graph: Graph, tmp_path: Path) -> None:
    open_store(tmp_path / "memory", "other-1", 16, create=True)
    robot = Robot(graph, tmp_path / "memory")
    received = graph.listen(DIAGNOSTICS, "/diagnostics")
    assert graph.spin(
        lambda: "holds embeddings of model 'other-1'" in _message(received, "memory_node: memory"),
        PATIENCE,
    )
    robot.see(0, 1.0)
    reply = robot.find()
    assert not accepted(reply)
    assert "holds embeddings of model 'other-1'" in reply.result.message
    assert open_store(tmp_path / "memory").count() == 0


def test_a_disk_that_comes_back_is_used(graph: Graph, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.write_text("not mounted")
    robot = Robot(graph, place / "memory")
    received = graph.listen(DIAGNOSTICS, "/diagnostics")
    robot.see(0, 2.0)
    name = "memory_node: memory"
    assert graph.spin(lambda: "cannot open the memory" in _message(received, name), PATIENCE)
    assert status(received, name).level in (2, b"\x02")
    place.unlink()
    assert robot.written(3)
    assert graph.spin(lambda: _message(received, name) == "remembers", PATIENCE)


def test_a_damaged_file_is_reported_until_it_is_mended(graph: Graph, tmp_path: Path) -> None:
    """Rows can still be written, so that is no sign that it can be read."""
    robot = Robot(graph, tmp_path / "memory")
    received = graph.listen(DIAGNOSTICS, "/diagnostics")
    robot.see(0, 2.0)
    assert robot.written(3)
    files = list((tmp_path / "memory").rglob("*.lance/data/*"))
    kept = {file: file.read_bytes() for file in files}
    for file in files:
        file.write_bytes(bytes(len(kept[file])))
    assert not accepted(robot.find())
    name = "memory_node: memory"
    assert graph.spin(lambda: "cannot search the memory" in _message(received, name), PATIENCE)
    before = robot.node.memory.status().written
    robot.see(1, 2.0)
    assert robot.written(before + 1)
    del received[:]
    assert graph.spin(lambda: "cannot search the memory" in _message(received, name), PATIENCE)
    for file, content in kept.items():
        file.write_bytes(content)
    assert graph.spin(lambda: _message(received, name) == "remembers", PATIENCE)
    assert accepted(robot.find())


def test_parameters_are_live_or_refused(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory", sample_interval=0.0)
    robot.see(0, 2.0)
    graph.spin_for(0.5)
    assert robot.node.memory.status().written == 0
    assert graph.set(robot.node, "sample_interval", 0.4).successful
    robot.see(0, 2.0)
    assert robot.written(4)
    for name, good in (
        ("longest_segment", 5.0),
        ("max_age_hours", 1.0),
        ("max_sample_age_hours", 1.0),
        ("max_megabytes", 7),
        ("merge_gap", 0.5),
        ("longest_moment", 3.0),
        ("request_timeout", 4.0),
    ):
        assert graph.set(robot.node, name, good).successful
    assert robot.node.memory.retention.max_bytes == 7_000_000
    assert robot.node._inputs["front"].recorder.settings.longest == 5.0
    for name, other in (
        ("location", "/elsewhere"),
        ("batch_rows", 7),
        ("batch_seconds", 1.0),
        ("upkeep_period", 5.0),
        ("model", "x"),
        ("pose_topic", "x"),
        ("pose_type", "pose"),
        ("pose_frame", "odom"),
        ("base_frame", "gripper"),
        ("thumbnail", 32),
    ):
        assert not graph.set(robot.node, name, other).successful
    assert not graph.set(robot.node, "merge_gap", -1.0).successful


def test_a_moment_without_a_pose_beside_one_with_it_gets_nan() -> None:
    assert math.isnan(pose_message(None).position.x)


def _message(received: list[Any], name: str) -> str:
    found = status(received, name)
    return "" if found is None else str(found.message)


def test_a_label_is_taught_by_the_memory_and_found_in_it(graph: Graph, tmp_path: Path) -> None:
    robot = Robot(graph, tmp_path / "memory", sample_interval=0.2)
    main = robot.perception.main
    main.value = replace(main.value, memory=str(tmp_path / "memory"))
    ranges = []
    for which in (0, 1):
        begin = graph.stamp
        robot.see(which, 5.0)
        ranges.append((begin + SECOND // 10, graph.stamp))
    assert robot.written(50)

    kind = ros.interface("vljepa_ros/srv/Teach")

    def taught(begin: int, end: int, showing_other: bool) -> Any:
        return graph.call(
            "vljepa_ros/srv/Teach",
            "teach",
            operation=kind.Request.FROM_MEMORY,
            name="it is picked up",
            other="a door opens",
            showing_other=showing_other,
            start=ros.Time(nanoseconds=begin).to_msg(),
            end=ros.Time(nanoseconds=end).to_msg(),
        )

    (begin, end), result = ranges[0], ros.interface("vljepa_ros/msg/Result")
    nothing = taught(end + 60 * SECOND, end + 61 * SECOND, False).result
    assert nothing.code == result.UNKNOWN_ID
    assert "has no samples of camera 'front'" in nothing.message
    assert taught(end, begin, False).result.code == result.BAD_REQUEST
    one = taught(*ranges[0], False).result
    assert one.code == result.PENDING
    assert "0 frames show 'a door opens'" in one.message
    both = taught(*ranges[1], True)
    assert (both.result.code, both.result.message) == (result.OK, "")
    assert both.labels[0].other_frames >= 20
    found = robot.find("it is picked up", min_score=0.5)
    (moment,) = found.moments
    assert begin <= nanoseconds(moment.header.stamp) <= end
    assert moment.score > 0.9
