"""Image messages to RGB arrays, views where the layout allows it; then the model's own input.

The names of the encodings are those of sensor_msgs/image_encodings.h. A message
is any object with the fields of sensor_msgs/Image or CompressedImage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.preprocessing import preprocess

Pixels = NDArray[np.uint8]

ROTATIONS = (0, 90, 180, 270)
COMPRESSED = ("JPEG", "PNG")


class FrameError(ValueError):
    """An image that cannot be used: the message names what was wrong and what is allowed."""


class UnknownEncodingError(FrameError):
    """The encoding is none of ENCODINGS."""


@dataclass
class FrameDecoder:
    """Turns image messages into model inputs.

    Attributes:
        size: Side of the model's input, pixels.
        rotate: Degrees clockwise, one of ROTATIONS; may be changed at any time.
        preprocessing: The model's own, see `model_input`.
    """

    size: int
    rotate: int = 0
    preprocessing: Mapping[str, Any] | None = None

    def __call__(self, message: Any) -> Pixels:
        """[size, size, 3] uint8 RGB of an image message.

        Raises:
            FrameError: The image cannot be used.
        """
        return model_input(image_to_rgb(message), self.size, self.rotate, self.preprocessing)


def image_to_rgb(message: Any) -> Pixels:
    """[H, W, 3] uint8 RGB of an Image or CompressedImage; unknown encodings go to cv_bridge.

    Raises:
        FrameError: The image is damaged or its layout is not allowed.
        UnknownEncodingError: The encoding is unknown, and cv_bridge is missing or refuses it.
    """
    if not hasattr(message, "encoding"):
        return compressed_to_rgb(message.data)
    m = message
    try:
        return to_rgb(m.height, m.width, m.encoding, bool(m.is_bigendian), m.step, m.data)
    except UnknownEncodingError as error:
        return _by_cv_bridge(message, error)


def _by_cv_bridge(message: Any, error: UnknownEncodingError) -> Pixels:
    try:
        from cv_bridge import CvBridge
    except Exception:  # not installed, or broken by another numpy or OpenCV
        raise error from None
    try:
        return _as_uint8(CvBridge().imgmsg_to_cv2(message, "rgb8"))
    except Exception as second:  # cv_bridge raises whatever lies below it
        raise UnknownEncodingError(f"{error} (cv_bridge refuses it, too: {second})") from second


def to_rgb(
    height: int, width: int, encoding: str, is_bigendian: bool, step: int, data: Any
) -> Pixels:
    """Decode the fields of a sensor_msgs/Image.

    Args:
        height: Rows of pixels.
        width: Pixels in a row.
        encoding: One of ENCODINGS.
        is_bigendian: Byte order of encodings with 16 bits.
        step: Bytes from one row to the next.
        data: Any contiguous buffer of bytes.

    Returns:
        [height, width, 3] uint8 RGB; for rgb8, bgr8, rgba8 and bgra8 a view of `data`.

    Raises:
        UnknownEncodingError: An encoding that is not in ENCODINGS.
        FrameError: Zero size, a step too small for the width, too few bytes, or an odd size where
            pixels share colour.
    """
    if encoding not in _READERS:
        raise UnknownEncodingError(
            f"image encoding is '{encoding}', allowed: {', '.join(ENCODINGS)}"
        )
    if height <= 0 or width <= 0:
        raise FrameError(f"image is {width}x{height} pixels, allowed: at least 1x1")
    read, pixel_bytes, even_width, even_height = _READERS[encoding]
    if (even_width and width % 2) or (even_height and height % 2):
        raise FrameError(f"image is {width}x{height} pixels, allowed for {encoding}: even sizes")
    row = width * pixel_bytes
    if step < row:
        raise FrameError(
            f"step is {step} bytes, allowed for {encoding} of width {width}: at least {row}"
        )
    rows = height + height // 2 if even_height else height
    needed = step * (rows - 1) + row
    flat = _bytes_of(data)
    if flat.size < needed:
        raise FrameError(
            f"image data is truncated: {flat.size} bytes, "
            f"{width}x{height} {encoding} with step {step} needs {needed}"
        )
    lines = np.lib.stride_tricks.as_strided(flat, (rows, row), (step, 1), writeable=False)
    return read(lines, bool(is_bigendian))


def compressed_to_rgb(data: Any) -> Pixels:
    """Decode the data of a sensor_msgs/CompressedImage; the content decides, not its `format`.

    Returns:
        [H, W, 3] uint8 RGB. Orientation tags are ignored, as for raw images.

    Raises:
        FrameError: Empty, neither JPEG nor PNG, truncated or damaged.
    """
    raw = _bytes_of(data)
    allowed = " and ".join(COMPRESSED)
    if raw.size == 0:
        raise FrameError(f"compressed image is empty, allowed: {allowed}")
    head, tail = raw[:8].tobytes(), raw[-1024:].tobytes()
    if head.startswith(b"\xff\xd8\xff"):
        kind, complete = "JPEG", b"\xff\xd9" in tail
    elif head == b"\x89PNG\r\n\x1a\n":
        kind, complete = "PNG", b"IEND" in tail
    else:
        raise FrameError(
            f"compressed image begins with {head[:4].hex(' ')}, allowed: {allowed} (8 bits)"
        )
    if not complete:
        raise FrameError(f"{kind} image is truncated: {raw.size} bytes without its end marker")
    try:
        bgr = cv2.imdecode(raw, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(f"{kind} image of {raw.size} bytes is damaged: {error}") from error
    if bgr is None or bgr.size == 0:
        raise FrameError(f"{kind} image of {raw.size} bytes is damaged and cannot be decoded")
    return _as_uint8(bgr)[..., ::-1]


def model_input(
    image: Pixels, size: int, rotate: int = 0, preprocessing: Mapping[str, Any] | None = None
) -> Pixels:
    """Crop the largest centred square, average it down to `size`, then rotate it.

    Area averaging, because sampling would alias; a smaller image is enlarged bilinearly. Rotating
    last is the same for a square and cheaper.

    Args:
        image: [H, W, 3] uint8 RGB.
        size: Side of the result, pixels.
        rotate: Degrees clockwise, one of ROTATIONS.
        preprocessing: The model's own, if it was trained with another one.

    Returns:
        [size, size, 3] uint8 RGB, contiguous.

    Raises:
        FrameError: A rotation that is not in ROTATIONS.
    """
    if rotate not in ROTATIONS:
        raise FrameError(f"rotation is {rotate}, allowed: {', '.join(map(str, ROTATIONS))}")
    if preprocessing is not None and "resize" in preprocessing:
        fitted = preprocess(image, preprocessing)
        return np.ascontiguousarray(np.rot90(fitted, k=-(rotate // 90)))
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    reversed_channels = square.strides[2] < 0
    if reversed_channels:  # OpenCV would copy the whole square; turn the small result instead
        square = square[..., ::-1]
    if side != size:
        how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        square = _as_uint8(cv2.resize(square, (size, size), interpolation=how))
    if reversed_channels:
        square = square[..., ::-1]
    return np.ascontiguousarray(np.rot90(square, k=-(rotate // 90)))


def _bytes_of(data: Any) -> Pixels:
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError) as error:
        raise FrameError(f"image data is not a buffer of bytes: {error}") from error


def _as_uint8(image: Any) -> Pixels:
    return np.asarray(image, dtype=np.uint8)


def _channels(order: slice, count: int) -> Callable[[Pixels, bool], Pixels]:
    def read(lines: Pixels, _: bool) -> Pixels:
        return lines.reshape(lines.shape[0], -1, count)[..., order]

    return read


def _mono16(lines: Pixels, big: bool) -> Pixels:
    """The high byte: mono16 spans 0..65535."""
    return np.repeat(lines[:, (0 if big else 1) :: 2, None], 3, axis=2)


def _mono8(lines: Pixels, _: bool) -> Pixels:
    return np.repeat(lines[:, :, None], 3, axis=2)


def _converted(code: int, channels: int) -> Callable[[Pixels, bool], Pixels]:
    def read(lines: Pixels, _: bool) -> Pixels:
        pixels = np.ascontiguousarray(lines)
        if channels > 1:
            pixels = pixels.reshape(lines.shape[0], -1, channels)
        return _as_uint8(cv2.cvtColor(pixels, code))

    return read


# encoding: (reader of [rows, bytes] lines, bytes per pixel in a line, even width, even height)
_READERS: dict[str, tuple[Callable[[Pixels, bool], Pixels], int, bool, bool]] = {
    "rgb8": (_channels(slice(None), 3), 3, False, False),
    "bgr8": (_channels(slice(None, None, -1), 3), 3, False, False),
    "rgba8": (_channels(slice(0, 3), 4), 4, False, False),
    "bgra8": (_channels(slice(2, None, -1), 4), 4, False, False),
    "8UC3": (_channels(slice(None, None, -1), 3), 3, False, False),
    "mono8": (_mono8, 1, False, False),
    "8UC1": (_mono8, 1, False, False),
    "mono16": (_mono16, 2, False, False),
    "yuv422": (_converted(cv2.COLOR_YUV2RGB_UYVY, 2), 2, True, False),
    "uyvy": (_converted(cv2.COLOR_YUV2RGB_UYVY, 2), 2, True, False),
    "yuv422_yuy2": (_converted(cv2.COLOR_YUV2RGB_YUY2, 2), 2, True, False),
    "yuyv": (_converted(cv2.COLOR_YUV2RGB_YUY2, 2), 2, True, False),
    "nv12": (_converted(cv2.COLOR_YUV2RGB_NV12, 1), 1, True, True),
    "nv21": (_converted(cv2.COLOR_YUV2RGB_NV21, 1), 1, True, True),
    # OpenCV names a Bayer pattern by the second row: its BG is the RGGB of everyone else
    "bayer_rggb8": (_converted(cv2.COLOR_BayerBG2RGB, 1), 1, True, False),
    "bayer_bggr8": (_converted(cv2.COLOR_BayerRG2RGB, 1), 1, True, False),
    "bayer_gbrg8": (_converted(cv2.COLOR_BayerGR2RGB, 1), 1, True, False),
    "bayer_grbg8": (_converted(cv2.COLOR_BayerGB2RGB, 1), 1, True, False),
}
ENCODINGS = tuple(_READERS)
