"""Topics are chosen by what they hold, and what is left out has its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_bag import images, write_bag, write_messages

from vljepa_ros.perception.bags.reading import COMPRESSED, RAW, BagError, BagReader
from vljepa_ros.perception.bags.topics import camera_of, choose_topics

DEPTH = np.zeros(2 * 24 * 32, np.uint8)


def chosen(
    bag: Path, wanted: dict[str, str] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """topic -> camera, and topic -> reason."""
    with BagReader(bag) as reader:
        topics, left_out = choose_topics(reader, wanted)
    return {t.topic: t.camera for t in topics}, {
        one.topic: f"({one.messages} images): {one.reason}" for one in left_out
    }


def test_names_of_cameras_and_topics_that_are_wanted(tmp_path: Path) -> None:
    bag = write_bag(
        tmp_path / "bag", (("red", 1.0),), topics=("/left/image_raw", "/right/image_raw")
    )
    assert chosen(bag) == ({"/left/image_raw": "left", "/right/image_raw": "right"}, {})
    assert chosen(bag, {"/right/image_raw": "wrist"}) == ({"/right/image_raw": "wrist"}, {})
    with pytest.raises(BagError, match=r"has no images in topic /up; its topics: /chatter"):
        chosen(bag, {"/up": "up", "/left/image_raw": "left"})
    with pytest.raises(
        BagError,
        match=r"no images in topic /chatter; its topics: /chatter \(std_msgs/msg/String, 1\)",
    ):
        chosen(bag, {"/chatter": "x"})


@pytest.mark.parametrize(
    ("topic", "camera"),
    [
        ("/front/image_raw", "front"),
        ("/camera/color/image_raw/compressed", "camera_color"),
        ("/image_raw", "image_raw"),
        ("/wrist", "wrist"),
    ],
)
def test_camera_names(topic: str, camera: str) -> None:
    assert camera_of(topic) == camera


RAW_TOPIC, JPEG_TOPIC = ("/front/image_raw", RAW), ("/front/image_raw/compressed", COMPRESSED)


@pytest.mark.parametrize(
    ("raw", "jpeg", "taken", "reason"),
    [
        ([], images(20, compressed=True), JPEG_TOPIC, "(0 images): it holds no messages"),
        (images(20), [], RAW_TOPIC, "(0 images): it holds no messages"),
        (images(20), images(20, compressed=True), RAW_TOPIC, "same camera as /front/image_raw "),
        (images(3), images(20, compressed=True), JPEG_TOPIC, "(20 images)"),
        (images(20), images(3, compressed=True), RAW_TOPIC, "(3 images): it shows the same camera"),
        # the raw images are of a kind, or in a state, that cannot be shown
        (images(20, encoding="64FC4"), images(20, compressed=True), JPEG_TOPIC, "(20 images)"),
        (images(20, step=0), images(18, compressed=True), JPEG_TOPIC, "(20 images)"),
        ([(t, b"\0\1\0\0") for t, _ in images(20)], images(9, compressed=True), JPEG_TOPIC, "20"),
        (images(20), images(22, compressed=True, data=DEPTH), RAW_TOPIC, "(22 images)"),
    ],
)
@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_the_topic_with_images_is_taken(
    tmp_path: Path, raw: Any, jpeg: Any, taken: Any, reason: str, storage: str
) -> None:
    bag = write_messages(tmp_path / "bag", {RAW_TOPIC: raw, JPEG_TOPIC: jpeg}, storage=storage)
    topics, left_out = chosen(bag)
    assert topics == {taken[0]: "front"}
    (said,) = left_out.values()
    assert reason in said


def test_depth_is_left_out_with_the_reason(tmp_path: Path) -> None:
    depth = images(20, encoding="16UC1", step=64, data=DEPTH)
    metres = images(20, encoding="32FC1")
    packed = images(20, compressed=True, format="16UC1; compressedDepth png", data=DEPTH)
    png = images(20, compressed=True, format="16UC1; png compressed ")
    bag = write_messages(
        tmp_path / "bag",
        {
            ("/cam/color/image_raw", RAW): images(20),
            ("/cam/depth/image_rect_raw", RAW): depth,
            ("/cam/depth/metres", RAW): metres,
            ("/cam/depth/image_rect_raw/compressedDepth", COMPRESSED): packed,
            ("/cam/depth/image_rect_raw/compressed", COMPRESSED): png,
        },
    )
    topics, left_out = chosen(bag)
    assert topics == {"/cam/color/image_raw": "cam_color"}
    assert len(left_out) == 4
    assert all("(20 images): depth, no picture (" in reason for reason in left_out.values())
    # who asks for it gets it, and the images are refused one by one
    assert chosen(bag, {"/cam/depth/metres": "d"})[0] == {"/cam/depth/metres": "d"}


def test_no_topic_can_be_used(tmp_path: Path) -> None:
    depth = images(20, encoding="16UC1", step=64, data=DEPTH)
    bag = write_messages(tmp_path / "bag", {("/depth", RAW): depth, ("/front", RAW): []})
    used = r"no image topic of .* can be used: "
    with pytest.raises(
        BagError, match=used + r"/depth: depth, no picture \(16UC1\), /front: it holds no messages"
    ):
        chosen(bag)
    with pytest.raises(
        BagError, match=used + r"/front: it .*; its topics: /depth \(sensor_msgs/msg/Image, 20\)"
    ):
        chosen(bag, {"/front": "front"})


def test_cameras_of_one_name_stay_apart(tmp_path: Path) -> None:
    topics = ("/a/image_raw", "/a/image_rect", "/a_b", "/a/b", "/a/c/image_raw")
    bag = write_messages(tmp_path / "bag", {(topic, RAW): images(5) for topic in topics})
    names, _ = chosen(bag)
    assert names["/a/c/image_raw"] == "a_c"
    assert names["/a/image_raw"] == "a_image_raw"
    assert len(set(names.values())) == len(topics)
    # an empty one takes no name away
    two = {("/a/image_raw", RAW): [], ("/a/image_rect", RAW): images(5)}
    assert chosen(write_messages(tmp_path / "two", two))[0] == {"/a/image_rect": "a"}


def test_other_types_under_an_image_topics_name(tmp_path: Path) -> None:
    text = b"\0\1\0\0\2\0\0\0a\0"
    both = {
        ("/front/image_raw", "std_msgs/msg/String"): [(time, text) for time, _ in images(20)],
        ("/rear/image_raw", RAW): images(20),
        ("/rear/image_raw", "std_msgs/msg/String"): [(time, text) for time, _ in images(20)],
    }
    bag = write_messages(tmp_path / "bag", both)
    assert chosen(bag) == ({"/rear/image_raw": "rear"}, {})
