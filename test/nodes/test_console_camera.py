"""Pictures for a page: their size, side and colours, whatever the camera sends."""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
import pytest
from graph import COLOURS, image, two_colours

from vljepa_ros.nodes import console_camera
from vljepa_ros.nodes.console_camera import CameraView, ConsoleCamera
from vljepa_ros.nodes.topics import image_message
from vljepa_ros.perception.image_encodings import FrameError


class Node:
    """As much of a node as a camera needs; it keeps the callback of its subscription."""

    def create_subscription(self, kind: Any, topic: str, callback: Any, *_: Any, **__: Any) -> None:
        self.send = callback

    def create_timer(self, *_: Any, **__: Any) -> None:
        """None is due: the test sends what the gate would let through."""

    def destroy_timer(self, _: Any) -> None:
        """There is none."""

    def destroy_subscription(self, _: Any) -> None:
        self.send = None

    def resolve_topic_name(self, topic: str) -> str:
        return topic


def camera(node: Node, **view: Any) -> ConsoleCamera:
    fields = {"topic": "/c", "transport": "raw", "crop": (0, 0, 0, 0), "rotate": 0} | view
    return ConsoleCamera(node, CameraView("front", **fields), 64, 1e9)


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
@pytest.mark.parametrize(
    ("view", "shape", "at"),
    [
        ({}, (48, 64), (24, 8)),
        ({"crop": (0, 0, 40, 60)}, (60, 40), (30, 20)),
        ({"rotate": 90}, (80, 60), (8, 30)),
        ({"rotate": 180}, (48, 64), (24, 56)),
        ({"rotate": 270}, (80, 60), (72, 30)),
    ],
)
def test_size_side_and_colour(encoding: str, view: Any, shape: Any, at: Any) -> None:
    node = Node()
    seen = camera(node, **view)
    message = image("red", 0, **two_colours("red", "blue"), encoding=encoding)
    node.send(message)
    number, jpeg = seen.picture(0) or (0, b"")
    assert number == 1
    picture = decoded(jpeg)
    assert picture.shape[:2] == shape
    expected = COLOURS["red"] if encoding == "rgb8" else COLOURS["red"][::-1]
    assert np.allclose(picture[at], expected, atol=15)


@pytest.mark.parametrize(
    ("size", "rotate", "expected"),
    [
        ((300, 401), 0, (48, 64)),
        ((128, 129), 90, (64, 64)),
        ((1, 1000), 0, (1, 64)),
        ((1000, 1), 90, (1, 64)),
        ((40, 65), 0, (39, 64)),
        ((9, 20), 0, (9, 20)),
    ],
)
def test_every_size_becomes_narrow_enough(size: Any, rotate: int, expected: Any) -> None:
    node = Node()
    seen = camera(node, rotate=rotate)
    node.send(image_message(image("red", 0).header, np.full((*size, 3), COLOURS["red"], np.uint8)))
    picture = decoded(seen.picture(0)[1])
    assert picture.shape[:2] == expected
    assert np.allclose(picture, COLOURS["red"], atol=12)


def test_a_page_gets_each_picture_once_and_waits_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console_camera, "WAIT_S", 0.05)
    node = Node()
    seen = camera(node)
    assert seen.picture(0) is None
    node.send(image("red", 0))
    number, first = seen.picture(0) or (0, b"")
    assert seen.picture(number) is None
    assert seen.picture(number + 5) == (number, first), "of a console that has ended"
    node.send(image("green", 0))
    assert (seen.picture(number) or (0,))[0] == number + 1


def test_an_image_that_cannot_be_drawn_is_said_and_the_next_one_is_drawn() -> None:
    node = Node()
    seen = camera(node)
    node.send(image("red", 0, encoding="nothing"))
    with pytest.raises(FrameError, match="nothing"):
        seen.picture(0)
    node.send(image("red", 0))
    assert seen.picture(1)


def test_all_pictures_are_encoded_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV loses memory with each thread that has used it; each request of a page has its own."""
    node, encode = Node(), cv2.imencode
    seen = camera(node)
    used = set()

    def observed(*arguments: Any) -> Any:
        used.add(threading.get_ident())
        return encode(*arguments)

    monkeypatch.setattr(cv2, "imencode", observed)
    for number in range(3):
        node.send(image("red", number))
        asking = threading.Thread(target=seen.picture, args=(number,))
        asking.start()
        asking.join()
    assert len(used) == 1
    assert seen.picture(2)[0] == 3
