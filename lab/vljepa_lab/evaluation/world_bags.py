"""ROS 2 bags of the simulated world, for tests of what reads bags: every storage, raw and JPEG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.scenes import SceneVideo

FORMATS = (("sqlite3", "raw"), ("sqlite3", "jpeg"), ("mcap", "raw"), ("mcap", "jpeg"))
BEGIN = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
APART = 20
"""Seconds from the end of one scene to the begin of the next."""
JPEG_QUALITY = 95
BAG_VERSION: Literal[8] = 8
TOPIC = "/front/image_raw"


def write_image_bag(
    path: Path,
    images: Iterable[tuple[int, NDArray[np.uint8]]],
    storage: str,
    coding: str,
) -> int:
    """Write one image topic, recorded 5 ms after each stamp; returns the number of images.

    :param images: (stamp in nanoseconds, [H, W, 3] uint8 RGB), ascending.
    :param storage, coding: one of FORMATS.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    if (storage, coding) not in FORMATS:
        raise ValueError(f"format is {storage} {coding}, allowed: {FORMATS}")
    types = get_typestore(Stores.ROS2_JAZZY)
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    raw = coding == "raw"
    kind = "sensor_msgs/msg/Image" if raw else "sensor_msgs/msg/CompressedImage"
    topic = TOPIC if raw else f"{TOPIC}/compressed"
    count = 0
    with Writer(path, version=BAG_VERSION, storage_plugin=plugin) as writer:
        connection = writer.add_connection(topic, kind, typestore=types)
        for stamp, image in images:
            message = _raw(types, stamp, image) if raw else _jpeg(types, stamp, image)
            writer.write(connection, stamp + SECOND // 200, types.serialize_cdr(message, kind))
            count += 1
    return count


def scene_images(
    scenes: Iterable[SceneVideo], begins: list[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The pictures of scenes, one scene after the other.

    :param begins: filled with the stamp, nanoseconds, at which each scene's own time is 0.
    """
    begin = BEGIN
    for scene in scenes:
        begins.append(begin)
        for stamp, frame in zip(scene.stamps, scene.frames, strict=True):
            yield begin + round(stamp * SECOND), frame
        begin += (int(scene.stamps[-1]) + APART) * SECOND


def video_images(
    clip: Path, width: int, height: int, fps: float, seconds: float
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """A video's pictures, scaled, at a rate of their own; from the start again where it ends.

    :raises FileNotFoundError: OpenCV cannot read it.
    """
    video = cv2.VideoCapture(str(clip))
    try:
        for number in range(round(seconds * fps)):
            good, frame = video.read()
            if not good:
                video.set(cv2.CAP_PROP_POS_FRAMES, 0)
                good, frame = video.read()
            if not good:
                raise FileNotFoundError(f"no frame can be read from {clip}")
            scaled = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            image = np.ascontiguousarray(scaled[:, :, ::-1]).astype(np.uint8, copy=False)
            yield BEGIN + round(number * SECOND / fps), image
    finally:
        video.release()


def _header(types: Any, stamp: int) -> Any:
    seconds, rest = divmod(stamp, SECOND)
    time = types.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
    return types.types["std_msgs/msg/Header"](stamp=time, frame_id="front_optical")


def _raw(types: Any, stamp: int, image: NDArray[np.uint8]) -> Any:
    height, width = image.shape[:2]
    return types.types["sensor_msgs/msg/Image"](
        header=_header(types, stamp),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(image).reshape(-1),
    )


def _jpeg(types: Any, stamp: int, image: NDArray[np.uint8]) -> Any:
    bgr = np.ascontiguousarray(image[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return types.types["sensor_msgs/msg/CompressedImage"](
        header=_header(types, stamp), format="jpeg", data=data.reshape(-1)
    )
