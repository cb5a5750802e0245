from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vljepa_ros.cli.demo_record import Answer, DemoRecord, PublishedText, Truth
from vljepa_ros.cli.demo_timeline import RIGHT, WRONG, draw_timeline


def record(right: bool) -> DemoRecord:
    made = DemoRecord(threshold=0.25, latencies=[0.05] * 200)
    for tenth in range(400):
        text = "the door opens" if tenth >= 200 else "a person comes in"
        made.truths.append(Truth(50 + tenth / 10, text, "", (text,)))
        made.drifts.append((50 + tenth / 10, 0.3 * (tenth % 200) / 200))
    texts = ["a person comes in", "the door opens"]
    for index, text in enumerate(texts if right else reversed(texts)):
        start = 50.0 + 20 * index
        made.texts.append(PublishedText(start, start - 0.5, start, text, index == 0))
    made.answers.append(Answer(63.0, "is the door open?", "no", 0.9, 0.01, "yes"))
    return made


def share_of(colour: str, path: Path) -> float:
    image = cv2.imread(str(path))[:, :, ::-1]
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(image.astype(int) - wanted).max(axis=2) <= 2).mean())


def test_green_where_the_text_is_true_and_red_where_it_is_not(tmp_path: Path):
    draw_timeline(record(True), tmp_path / "right.png")
    draw_timeline(record(False), tmp_path / "wrong.png")
    for name, much, little in (("right", RIGHT, WRONG), ("wrong", WRONG, RIGHT)):
        assert share_of(much, tmp_path / f"{name}.png") > 0.08
        assert share_of(little, tmp_path / f"{name}.png") < 0.01  # the legend's patch
    height, width = cv2.imread(str(tmp_path / "right.png")).shape[:2]
    assert width >= 1600
    assert height >= 700


def test_an_empty_record_still_gives_a_picture(tmp_path: Path):
    draw_timeline(DemoRecord(), tmp_path / "deep" / "empty.png")
    assert cv2.imread(str(tmp_path / "deep" / "empty.png")) is not None


def test_images_in_a_row_with_one_event_are_one_stretch():
    parts = record(True).stretches()
    assert [part[2].event for part in parts] == ["a person comes in", "the door opens"]
    assert parts[0][1] == parts[1][0] == 70.0
