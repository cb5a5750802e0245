"""Bad images: each gets a clear word that names what is allowed, and the node lives on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from bad_input import DIAGNOSTICS, EMBEDDING, Watch, second
from graph import MODEL, SECOND, Graph, image, nanoseconds, status

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode

ENCODINGS = "rgb8, bgr8, rgba8, bgra8"
LOST = "it has a publisher; if that sends more, they are lost in transport"


def test_no_camera_is_said_with_the_image_topics_that_exist(graph: Graph) -> None:
    graph.publisher("sensor_msgs/msg/CompressedImage", "/robot/camera/compressed", 5)
    graph.add(PerceptionNode, model=MODEL, image_timeout=0.5, front__image_topic="/no/camera")
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and "no image on" in s.message
    )
    assert "no image on '/no/camera' yet" in status(diagnostics, "camera front").message
    assert graph.spin(lambda: any("/robot/camera/compressed (compressed)" in m.msg for m in log))
    assert any("set front.image_topic and front.transport" in m.msg for m in log)


@pytest.mark.parametrize(("pause", "text"), [(1e9, "no image on"), (0.6, "only ")])
def test_images_that_are_lost_on_the_way(graph: Graph, pause: float, text: str) -> None:
    """A publisher is there, but nothing of what it sends arrives, or only now and then."""
    graph.add(PerceptionNode, model=MODEL, image_timeout=1.0, front__image_topic="/far/image")
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    camera, due = graph.camera("/far/image"), time.monotonic()

    def show() -> None:
        nonlocal due
        if pause < 10 and time.monotonic() >= due:
            graph.show_one(camera)
            due = time.monotonic() + pause

    remedies = (
        LOST,
        "qos_overrides./far/image.subscription.reliability to reliable",
        "net.core.rmem_max",
        '<SocketReceiveBufferSize min="4MB"/>',
    )

    def named(said: str) -> bool:
        return text in said and "'/far/image'" in said and all(r in said for r in remedies)

    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and s.level != s.OK and named(s.message),
        again=show,
    )
    assert graph.spin(lambda: any(named(m.msg) for m in log), again=show)
    assert not any("image_topic" in m.msg for m in log if "/far/image" in m.msg)


def test_a_camera_that_stops(
    graph: Graph, watch: Watch, started: PerceptionNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[None] = []
    assert watch.lives()
    monkeypatch.setattr(started.diagnostics, "publish", lambda: at_once.append(None))
    assert watch.says("no image on '/camera/image_raw' any more")
    assert graph.spin(lambda: bool(at_once)), "not only with the next round"
    assert watch.logs("any more", LOST)
    assert watch.lives()


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"encoding": "32FC1"}, ["image encoding is '32FC1', allowed:", ENCODINGS]),
        ({"encoding": ""}, ["image encoding is '', allowed:", ENCODINGS]),
        ({"data": b"123"}, ["truncated: 3 bytes, 80x60 rgb8 with step 240 needs 14400"]),
        ({"data": b""}, ["truncated: 0 bytes"]),
        ({"height": 0, "data": b""}, ["80x0 pixels, allowed: at least 1x1"]),
        ({"width": 0}, ["0x60 pixels, allowed: at least 1x1"]),
        ({"step": 7}, ["step is 7 bytes, allowed for rgb8 of width 80: at least 240"]),
    ],
)
def test_images_that_cannot_be_used(
    graph: Graph, watch: Watch, fields: dict[str, Any], texts: list[str]
) -> None:
    def show() -> None:
        graph.stamp += SECOND // 10
        message = image("red", graph.stamp)
        for name, value in fields.items():
            setattr(message, name, value)
        watch.camera.publish(message)
        graph.spin_once_all()

    assert watch.says("no usable image", *texts, again=show)
    assert watch.logs(*texts)
    assert watch.lives()


def test_truncated_images_in_mid_stream(graph: Graph, watch: Watch) -> None:
    assert watch.lives()

    def show() -> None:
        graph.show_one(watch.camera)
        graph.show_one(watch.camera, data=b"\x00" * 100)

    assert watch.logs("images could not be used", "truncated: 100 bytes", again=show)
    assert watch.lives()


def test_jpegs_that_are_none(graph: Graph) -> None:
    node = graph.add(second, model=MODEL, front__transport="compressed", front__image_topic="/jpeg")
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    camera = graph.camera("/jpeg", "sensor_msgs/msg/CompressedImage")
    message = ros.interface("sensor_msgs/msg/CompressedImage")(format="jpeg", data=b"GIF89a12")
    message.header.stamp = node.get_clock().now().to_msg()
    assert graph.spin(
        lambda: (
            (s := status(diagnostics, "second/vljepa/perception_node: camera front"))
            and "allowed: JPEG and PNG" in s.message
        ),
        again=lambda: camera.publish(message),
    )


def test_each_of_three_wrong_cameras_is_named_in_the_log(graph: Graph) -> None:
    encodings = {"one": "32FC1", "two": "16UC1", "three": "64FC2"}
    topics = {f"{name}__image_topic": f"/{name}" for name in encodings}
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    graph.add(second, model=MODEL, cameras=list(encodings), **topics)
    cameras = {name: graph.camera(f"/{name}") for name in encodings}

    def show() -> None:
        for name, encoding in encodings.items():
            graph.show_one(cameras[name], encoding=encoding)

    wanted = [f"camera '{name}': images cannot be used" for name in encodings]
    assert graph.spin(
        lambda: all(any(text in m.msg for m in log) for text in wanted), 8.0, again=show
    )


def test_images_of_16_bits_say_how_they_are_shown(graph: Graph, watch: Watch) -> None:
    fields = {"encoding": "mono16", "step": 160, "data": b"\xff\x03" * (60 * 80)}
    assert watch.logs(
        "camera 'front'", "16-bit values", again=lambda: graph.show_one(watch.camera, **fields)
    )
    assert watch.lives()


def test_another_resolution_in_mid_stream(graph: Graph, watch: Watch) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    graph.show(watch.camera, "red", 2.0)
    first = graph.stamp
    assert graph.spin(
        lambda: heard and nanoseconds(heard[-1].header.stamp) > first,
        again=lambda: graph.show_one(watch.camera, "blue", height=48, width=200),
    )
    assert watch.lives()


def test_time_jumping_back(graph: Graph, watch: Watch) -> None:
    assert watch.lives()
    graph.stamp -= 60 * SECOND
    assert watch.lives(), "embeddings with the new stamps"
    graph.stamp += 60 * SECOND
    assert watch.lives()


def test_a_clock_that_is_minutes_wrong_is_in_the_log(graph: Graph, watch: Watch) -> None:
    before, graph.stamp = graph.stamp, time.time_ns() - 600 * SECOND
    texts = (" s old: is this a bag?", "Set both clocks (chrony)")
    assert watch.logs(*texts, again=lambda: graph.show_one(watch.camera))
    graph.stamp = before
    assert watch.lives()


def test_stamps_far_from_the_clock_are_named(graph: Graph, watch: Watch) -> None:
    """Of a bag without simulated time, or of a machine whose clock is wrong."""
    before, graph.stamp = graph.stamp, time.time_ns() - 48 * 3600 * SECOND
    texts = ("48 h old: is this a bag?", "use_sim_time:=true")
    assert watch.says(*texts, again=lambda: graph.show_one(watch.camera))
    graph.stamp = before
    assert watch.lives()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [((0.0, 0.0), "the same stamp again and again"), ((0.0, 5.0), "stamps that jump back")],
)
def test_stamps_that_cannot_be_used_are_replaced_by_the_time_of_arrival(
    graph: Graph, watch: Watch, seconds: tuple[float, float], text: str
) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    frozen, number = graph.stamp, iter(range(10_000))

    def show() -> None:
        graph.stamp = frozen + round(seconds[next(number) % 2] * SECOND)
        graph.show_one(watch.camera)

    assert watch.says(text, "the time of arrival is taken", again=show)
    del heard[:]
    assert graph.spin(lambda: len(heard) >= 3, again=show)
    assert all(abs(nanoseconds(one.header.stamp) - time.time_ns()) < 60 * SECOND for one in heard)
    graph.stamp = frozen + 60 * SECOND
    assert watch.lives(), "its own stamps are used again"
    graph.stamp = frozen + 120 * SECOND


def test_one_image_with_a_negative_stamp_is_left_out_and_named(graph: Graph, watch: Watch) -> None:
    message = image("red", graph.stamp)
    message.header.stamp.sec = -5
    watch.camera.publish(message)
    assert watch.logs("an image is left out, it has a negative stamp")
    assert watch.lives()


def test_images_without_stamp_take_the_time_of_arrival(graph: Graph, watch: Watch) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    assert graph.spin(lambda: heard, again=lambda: watch.camera.publish(image("red", 0)))
    assert watch.logs("images have no stamp", "set header.stamp")
    assert abs(nanoseconds(heard[-1].header.stamp) - time.time_ns()) < 3600 * SECOND
