"""Bags of the test world come back as they were written, and their truth with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench_bags import BEGIN, FORMATS, PAUSE_S, SECOND, scene_images, write_image_bag

from vljepa_lab.evaluation.quality.scenes import SceneVideo
from vljepa_ros.perception.bags.reading import COMPRESSED, RAW, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics
from vljepa_ros.perception.frames import image_to_rgb


def scene(seed: int, frames: int) -> SceneVideo:
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 255, (frames, 1, 1, 3))
    pictures = np.broadcast_to(level, (frames, 32, 32, 3)).astype(np.uint8)
    stamps = tuple(0.25 + 0.5 * i for i in range(frames))
    return SceneVideo(f"test_a/{seed}", "test_a", pictures, stamps, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("storage", "coding"), FORMATS)
def test_images_and_stamps_come_back(tmp_path: Path, storage: str, coding: str) -> None:
    scenes = [scene(1, 6), scene(2, 4)]
    begins: list[int] = []
    count = write_image_bag(tmp_path / "bag", scene_images(scenes, begins), storage, coding)
    assert count == 10
    assert begins == [BEGIN, BEGIN + (2 + PAUSE_S) * SECOND]
    with BagReader(tmp_path / "bag") as reader:
        (topic,), _ = choose_topics(reader)
        assert topic.camera == "front"
        assert topic.type == (COMPRESSED if coding == "jpeg" else RAW)
        images = list(reader.images([topic], {"front": ImageCounts()}))
    wanted = [
        (begin + round(stamp * SECOND), frame)
        for one, begin in zip(scenes, begins, strict=True)
        for stamp, frame in zip(one.stamps, one.frames, strict=True)
    ]
    assert [image.stamp for image in images] == [stamp for stamp, _ in wanted]
    for image, (_, frame) in zip(images, wanted, strict=True):
        difference = image_to_rgb(image.message).astype(int) - frame
        assert np.abs(difference).max() <= (0 if coding == "raw" else 4)


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format is mcap png, allowed"):
        write_image_bag(tmp_path / "bag", [], "mcap", "png")
