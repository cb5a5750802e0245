"""The camera node: videos, folders, loops, ground truth, compressed images, sources that fail."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from graph import SECOND, Graph, nanoseconds, status
from variable_video import write_video

from vljepa_ros.nodes.camera_node import CameraNode

IMAGE = "sensor_msgs/msg/Image"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Eight frames at 20 per second, from dark to bright, and what is true in them."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20.0, (64, 48))
    facts = []
    for i in range(8):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
        begin = 0.0 if i < 4 else 0.2
        facts.append(
            {
                "stamp": i / 20,
                "event": "nothing" if i < 4 else "door opens",
                "object": "",
                "event_start": begin,
                "caption": f"frame {i}",
                "valid_texts": [f"frame {i}", "a room"],
                "state": {"index": i},
            }
        )
    writer.release()
    lines = "\n".join(json.dumps(fact) for fact in facts)
    (tmp_path / "ground_truth.jsonl").write_text(lines + "\n", encoding="utf-8")
    return path


def test_a_video_plays_in_a_loop_with_its_ground_truth(graph: Graph, video: Path) -> None:
    images = graph.listen(IMAGE, "image")
    facts = graph.listen("std_msgs/msg/String", "ground_truth")
    graph.add(CameraNode, source=str(video), frame_id="cam")
    assert graph.spin(lambda: len(images) >= 20 and len(facts) >= 20)
    stamps = [nanoseconds(message.header.stamp) for message in images]
    backwards = sum(later <= earlier for earlier, later in pairwise(stamps))
    assert backwards <= 1, "stamps go on through the loop, unless the host's clock is set back"
    assert images[0].header.frame_id == "cam"
    assert (images[0].height, images[0].width, images[0].encoding) == (48, 64, "rgb8")
    levels = {stamp: int(m.data[0]) for stamp, m in zip(stamps, images, strict=True)}
    for fact in (json.loads(message.data) for message in facts):
        stamp = fact["stamp"]
        if stamp not in levels:
            continue
        index = fact["state"]["index"]
        assert abs(levels[stamp] - 20 * index) <= 6, "the truth is that of this image"
        assert fact["valid_texts"] == [f"frame {index}", "a room"]
        assert fact["event_start"] <= stamp


def test_it_stops_at_the_end_where_it_shall_not_loop(graph: Graph, video: Path) -> None:
    images = graph.listen(IMAGE, "image")
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    node = graph.add(CameraNode, source=str(video), loop=False)
    assert graph.spin(lambda: (s := status(diagnostics, "source")) and "ended" in s.message)
    assert graph.spin(lambda: len(images) == 8), "reliable, and each frame once"
    assert graph.set(node, "loop", True).successful
    assert graph.spin(lambda: len(images) > 10)
    assert graph.spin(lambda: (s := status(diagnostics, "source")).level == s.OK)


def test_a_folder_of_images_in_another_size_as_jpeg(graph: Graph, tmp_path: Path) -> None:
    for name, level in (("b.png", 200), ("a.jpg", 50)):
        cv2.imwrite(str(tmp_path / name), np.full((40, 30, 3), level, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image", encoding="utf-8")
    heard = graph.listen("sensor_msgs/msg/CompressedImage", "image/compressed")
    graph.add(
        CameraNode,
        source=str(tmp_path),
        transport="compressed",
        rate=20.0,
        width=20,
        height=10,
        loop=False,
    )
    assert graph.spin(lambda: len(heard) == 2)
    decoded = [cv2.imdecode(np.frombuffer(m.data, np.uint8), 1) for m in heard]
    assert [d.shape for d in decoded] == [(10, 20, 3)] * 2
    assert [round(float(d.mean()), -1) for d in decoded] == [50, 200]


def test_colours_come_in_the_order_that_the_encoding_says(graph: Graph, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 3), (10, 20, 200), np.uint8))  # BGR
    images = graph.listen(IMAGE, "image")
    node = graph.add(CameraNode, source=str(tmp_path), rate=50.0)
    assert graph.spin(lambda: images)
    assert list(images[-1].data[:3]) == [200, 20, 10]
    assert graph.set(node, "encoding", "bgr8").successful
    assert graph.spin(lambda: images[-1].encoding == "bgr8")
    assert list(images[-1].data[:3]) == [10, 20, 200]


def test_a_video_of_variable_rate_is_played_at_its_own_times(graph: Graph, tmp_path: Path) -> None:
    times = [k / 30 for k in range(30)] + [1.0, 1.5, 2.0]
    video = write_video(tmp_path / "v.mp4", times)
    images = graph.listen(IMAGE, "image")
    graph.add(CameraNode, source=str(video), loop=False)
    assert graph.spin(lambda: len(images) == len(times))
    stamps = np.array([nanoseconds(message.header.stamp) for message in images]) / SECOND
    assert np.median(np.abs(stamps - stamps[0] - times)) < 0.2, "14.6 s by the index of the frame"


def test_what_a_folder_leaves_out_is_said(graph: Graph, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "b.jpg").write_bytes(b"nothing")
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    graph.add(CameraNode, source=str(tmp_path), rate=20.0)
    assert graph.spin(lambda: any("1 of 2 images left out" in m.msg for m in log))


@pytest.mark.parametrize("source", ["nowhere.mp4", "", "99", "/dev/null"])
def test_a_source_that_fails_is_named_and_the_node_lives_on(graph: Graph, source: str) -> None:
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    graph.add(CameraNode, source=source)
    assert graph.spin(lambda: (s := status(diagnostics, "source")) and s.message)
    found = status(diagnostics, "source")
    assert found.level == type(found).ERROR
    assert "allowed: demo, world, a video file" in found.message
