"""Thumbnails of the memory: which images are kept with a row, fit to be embedded again."""

from __future__ import annotations

import array
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from graph import MODEL, SECOND, Graph, status
from memory_robot import PATIENCE, Robot

from vljepa_ros import ros
from vljepa_ros.nodes.memory_node import MemoryNode
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.perception.image_source import VideoFile, demo_clip
from vljepa_ros.perception.memory.reindex import reindex
from vljepa_ros.perception.memory.row import SAMPLE
from vljepa_ros.perception.memory.store import open_store

pytestmark = pytest.mark.skipif(
    find_spec("lancedb") is None, reason="the memory needs the extra [memory]"
)


def test_thumbnails_show_what_the_camera_saw(graph: Graph, tmp_path: Path) -> None:
    from vljepa_ros.perception.memory.row import jpeg_to_frames

    robot = Robot(graph, tmp_path / "memory", front__image_topic="/front/image_raw", thumbnail=32)
    received = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    silent = "no thumbnails: no image on '/front/image_raw'"
    assert graph.spin(
        lambda: (s := status(received, "memory_node: camera front")) and s.message == silent,
        again=lambda: robot.go_on(0, 0.2),
    )
    camera = graph.camera("/front/image_raw")
    kept: list[Any] = []
    end = time.monotonic() + 2 * PATIENCE
    while not kept and time.monotonic() < end:
        count = robot.node.memory.status().written
        graph.show(camera, "green", 1.0)
        robot.see(0, 0.4)
        assert robot.written(count + 1)
        kept = [row for row in open_store(tmp_path / "memory").rows() if row.thumbnail]
    assert kept
    frames = jpeg_to_frames(kept[-1].thumbnail or b"", kept[-1].thumbnail_frames, 32)
    assert np.allclose(frames[-1].mean(axis=(0, 1)), (30, 200, 30), atol=12)
    assert not any(moment.thumbnail.data for moment in robot.find().moments)
    shown = [m.thumbnail for m in robot.find(thumbnails=True).moments if m.thumbnail.data]
    assert shown
    assert {thumbnail.format for thumbnail in shown} == {"jpeg"}
    assert jpeg_to_frames(bytes(shown[0].data), kept[-1].thumbnail_frames, 32).shape[1] == 32


def test_a_camera_upside_down_is_kept_so_that_it_can_be_embedded_again(
    graph: Graph, tmp_path: Path
) -> None:
    """Thumbnails of the model's size, of the very clip of their row: cropped and turned alike."""
    view = {"front__rotate": 180, "front__crop": [40, 0, 560, 480]}
    view["front__image_topic"] = "/front/image_raw"
    perception = graph.add(PerceptionNode, model=MODEL, always_on=True, max_rate=20.0, **view)
    place = tmp_path / "memory"
    settings = {"batch_seconds": 0.2, "sample_interval": 0.3, "thumbnail": 1024}
    node = graph.add(MemoryNode, model=MODEL, location=str(place), **settings, **view)
    camera = graph.camera("/front/image_raw")
    assert graph.spin(lambda: camera.get_subscription_count() == 2)
    engine = perception.engine
    shots = list(VideoFile(demo_clip()).shots())[60:130]
    for shot in shots:
        turned = np.rot90(shot.bgr[..., ::-1], 2)
        pixels = np.ascontiguousarray(cv2.resize(np.ascontiguousarray(turned), (640, 480)))
        data = array.array("B", pixels.tobytes())
        graph.show_one(camera, height=480, width=640, step=1920, data=data)
        graph.spin_for(0.05)  # about the pace of the clip: a busy machine still embeds some of them
    graph.remove(node)
    old = open_store(place)
    rows = [row for row in old.rows() if row.kind == SAMPLE and row.thumbnail]
    assert len(rows) > 3
    new = open_store(tmp_path / "again", engine.config.model_id, engine.config.dim, create=True)
    reindex(old, engine, new)
    again = {row.stamp: row.vector for row in new.rows() if row.kind == SAMPLE}
    cosines = [float(row.vector @ again[row.stamp]) for row in rows]
    print(f"a row's own clip: {len(rows)} rows, cosine {np.min(cosines):.4f} at least")
    assert min(cosines) > 0.98


def test_images_without_stamp_make_thumbnails_by_their_time_of_arrival(
    graph: Graph, tmp_path: Path
) -> None:
    robot = Robot(graph, tmp_path / "memory", front__image_topic="/front/image_raw")
    camera = graph.camera("/front/image_raw")
    header = ros.interface("std_msgs/msg/Header")

    def thumbnails() -> list[Any]:
        return [row for row in open_store(tmp_path / "memory").rows() if row.thumbnail]

    def see() -> None:
        for _ in range(10):
            graph.show_one(camera, "green", header=header())
            graph.spin_for(0.1)
        graph.stamp = time.time_ns() - SECOND // 5
        count = robot.node.memory.status().written
        robot.see(0, 0.2)
        assert robot.written(count + 1)

    see()
    assert graph.spin(thumbnails, 2 * PATIENCE, again=see)
