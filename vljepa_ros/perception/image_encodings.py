"""Converts the encodings of sensor_msgs/Image to RGB, and 16 bits to 8.

The names are those of sensor_msgs/image_encodings.hpp, and nv12. Refused are depth (16UC1 and
32FC1, REP 118) and values without a defined colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
MOST_PIXELS, LONGEST_SIDE = 64_000_000, 16_384


class FrameError(ValueError):
    """An image that cannot be used; the message says why and what is allowed."""


class UnknownEncodingError(FrameError):
    """The encoding is not in ENCODINGS."""


class LevelRange:
    """The range of 16-bit values that a camera uses, from the images so far; it never narrows.

    Cameras with 10 or 12 bits and thermal ones use a small part of 16 bits. The range is a power of
    two wide, so that it changes rarely. It starts at zero, or surrounds the values if they are far
    from zero and close together, as in a thermal image.
    """

    def __init__(self) -> None:
        self._seen = (65535, 0)
        self._low, self._bits = 0, 8

    def to_8_bits(self, values: NDArray[np.uint16]) -> Pixels:
        """8-bit levels of an image [H, W, ...]; values outside widen the range."""
        sample = values[::3, ::5]  # strides that fit the period of no mosaic or pixel
        low, high = np.percentile(sample, (0.1, 99.9), method="nearest")  # leaves out hot pixels
        seen = min(int(low), self._seen[0]), max(int(high), self._seen[1])
        if seen != self._seen:
            self._seen = seen
            self._widen(*seen)
        top = self._low + (1 << self._bits) - 1
        within = np.clip(values, self._low, top) - np.uint16(self._low)
        return (within >> np.uint16(self._bits - 8)).astype(np.uint8)

    def _widen(self, low: int, high: int) -> None:
        self._low, self._bits = 0, max(8, high.bit_length())
        spread = max(8, (high - low).bit_length())
        if spread < self._bits - 1:
            self._low, self._bits = max(0, (low + high) // 2 - (1 << (spread - 1))), spread

    @property
    def note(self) -> str:
        """How values are scaled; empty if only the high byte is used."""
        if self._bits == 16 or self._seen[0] > self._seen[1]:
            return ""
        low, high = self._low, self._low + (1 << self._bits) - 1
        return (
            f"16-bit values from {self._seen[0]} to {self._seen[1]}: {low} is shown as black, "
            f"{high} as white"
        )


def to_rgb(
    height: int,
    width: int,
    encoding: str,
    is_bigendian: bool,
    step: int,
    data: object,
    levels: LevelRange | None = None,
) -> Pixels:
    """Decode the fields of a sensor_msgs/Image.

    Args:
        height: Rows of pixels.
        width: Pixels in a row.
        encoding: One of ENCODINGS.
        is_bigendian: Byte order of encodings with 16 bits.
        step: Bytes from one row to the next; of nv12, nv21 and nv24, in the plane of brightness.
        data: Any contiguous buffer of bytes.
        levels: Levels of this camera, for 16 bits; None: those of this image alone.

    Returns:
        [height, width, 3] uint8 RGB; for rgb8, bgr8, rgba8 and bgra8 a view of `data`.

    Raises:
        UnknownEncodingError: An encoding that is not in ENCODINGS.
        FrameError: Zero or huge size, a step too small for the width, too few bytes, or an odd size
            where pixels share colour.
    """
    layout = layout_of(encoding)
    check_size(width, height)
    if width % layout.block[0] or height % layout.block[1]:
        raise FrameError(
            f"image is {width}x{height} pixels, allowed for {encoding}: even "
            + ("sizes" if layout.block[1] > 1 else "widths")
        )
    row = width * layout.channels * layout.depth
    if step < row:
        raise FrameError(
            f"step is {step} bytes, allowed for {encoding} of width {width}: at least {row}"
        )
    flat = bytes_of(data)
    needed, rows, steps = step * (height - 1) + row, 0, 0
    if layout.shared_rows:  # a second plane follows, of height / shared_rows pairs for each column
        rows, steps = height // layout.shared_rows, 2 // layout.shared_rows
        needed = step * height + steps * (step * (rows - 1) + row)
    if flat.size < needed:
        raise FrameError(
            f"image data is truncated: {flat.size} bytes, "
            f"{width}x{height} {encoding} with step {step} needs {needed}"
        )
    lines = _lines(flat, height, row, step)
    if rows:
        colour = _lines(flat[step * height :], rows, steps * row, steps * step)
        return layout.read(lines, colour.reshape(rows, -1, 2))
    if layout.depth == 2:
        values = lines.view(">u2" if is_bigendian else "<u2")
        lines = (levels or LevelRange()).to_8_bits(values)
    return layout.read(lines)


def check_size(width: int, height: int, what: str = "image") -> None:
    """Refuse sizes that would take seconds or gigabytes.

    Args:
        width: Pixels in a row.
        height: Rows of pixels.
        what: The image, for the message.

    Raises:
        FrameError: No pixel, over 64 megapixels, or a side that is too long.
    """
    if height <= 0 or width <= 0:
        raise FrameError(f"{what} is {width}x{height} pixels, allowed: at least 1x1")
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise FrameError(
            f"{what} is {width}x{height} pixels, allowed: at most {MOST_PIXELS // 1_000_000} "
            f"megapixels and {LONGEST_SIDE} on a side"
        )


def layout_of(encoding: str) -> Layout:
    """The memory layout of an encoding.

    Raises:
        UnknownEncodingError: An encoding that is not in ENCODINGS.
    """
    if encoding not in _LAYOUTS:
        raise UnknownEncodingError(
            f"image encoding is '{encoding}', allowed: {', '.join(ENCODINGS)}; "
            "16UC1 and 32FC1 are depth, not a picture"
        )
    return _LAYOUTS[encoding]


def bytes_of(data: Any) -> Pixels:
    """A buffer as [N] uint8, without a copy.

    Raises:
        FrameError: Not a contiguous buffer of bytes.
    """
    try:
        return np.frombuffer(data, np.uint8)
    except (TypeError, ValueError) as error:
        raise FrameError(f"image data is not a buffer of bytes: {error}") from error


@dataclass(frozen=True)
class Layout:
    """The memory layout of an encoding.

    Attributes:
        read: Makes [H, W, 3] RGB of [H, W * channels] levels of 8 bits; of two planes, brightness
            and colour [H / shared_rows, ..., 2].
        channels: Values of a pixel in a row.
        depth: Bytes of a value.
        block: Pixels across and down that share colour: sizes are multiples of them.
        shared_rows: Where colour has a plane of its own, rows of brightness to one of colour.
    """

    read: Callable[..., Pixels]
    channels: int
    depth: int = 1
    block: tuple[int, int] = (1, 1)
    shared_rows: int = 0


def _lines(flat: Pixels, rows: int, row: int, step: int) -> Pixels:
    return np.lib.stride_tricks.as_strided(flat, (rows, row), (step, 1), writeable=False)


def as_uint8(image: object) -> Pixels:
    """Cast the [H, W, ...] result of OpenCV, which has no static type."""
    return np.asarray(image, dtype=np.uint8)


def _picked(order: slice, count: int) -> Callable[[Pixels], Pixels]:
    return lambda lines: lines.reshape(lines.shape[0], -1, count)[..., order]


def grey(lines: Pixels) -> Pixels:
    """Repeat [H, W] to [H, W, 3]."""
    return np.repeat(lines[:, :, None], 3, axis=2)


def _converted(code: int, channels: int) -> Callable[[Pixels], Pixels]:
    def read(lines: Pixels) -> Pixels:
        pixels = np.ascontiguousarray(lines).reshape(lines.shape[0], -1, channels)
        return as_uint8(cv2.cvtColor(pixels, code))

    return read


def _two_planes(code: int, enlarged: int = 1) -> Callable[[Pixels, Pixels], Pixels]:
    """Readers of 4:2:0; `enlarged` 2: of 4:4:4, which is 4:2:0 of a picture twice as large."""

    def read(lines: Pixels, colour: Pixels) -> Pixels:
        luma = lines.repeat(enlarged, 0).repeat(enlarged, 1)
        rgb = cv2.cvtColorTwoPlane(luma, np.ascontiguousarray(colour), code)
        return as_uint8(rgb)[::enlarged, ::enlarged]

    return read


_BGR, _BGRA = _picked(slice(None, None, -1), 3), _picked(slice(2, None, -1), 4)
_NAMED = {
    "rgb": (_picked(slice(None), 3), 3),
    "bgr": (_BGR, 3),
    "rgba": (_picked(slice(0, 3), 4), 4),
    "bgra": (_BGRA, 4),
    "mono": (grey, 1),
}
# OpenCV names a Bayer pattern by the second row: its BG is the RGGB of everyone else
_BAYER = {
    "bayer_rggb": _converted(cv2.COLOR_BayerBG2RGB, 1),
    "bayer_bggr": _converted(cv2.COLOR_BayerRG2RGB, 1),
    "bayer_gbrg": _converted(cv2.COLOR_BayerGR2RGB, 1),
    "bayer_grbg": _converted(cv2.COLOR_BayerGB2RGB, 1),
}
_UYVY = Layout(_converted(cv2.COLOR_YUV2RGB_UYVY, 2), 2, block=(2, 1))
_YUY2 = Layout(_converted(cv2.COLOR_YUV2RGB_YUY2, 2), 2, block=(2, 1))
_LAYOUTS = {
    **{f"{n}{8 * d}": Layout(*how, d) for d in (1, 2) for n, how in _NAMED.items()},
    "8UC1": Layout(grey, 1),
    **{f"{8 * d}UC3": Layout(_BGR, 3, d) for d in (1, 2)},
    **{f"{8 * d}UC4": Layout(_BGRA, 4, d) for d in (1, 2)},
    **dict.fromkeys(("yuv422", "uyvy"), _UYVY),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), _YUY2),
    "nv12": Layout(_two_planes(cv2.COLOR_YUV2RGB_NV12), 1, 1, (2, 2), 2),
    "nv21": Layout(_two_planes(cv2.COLOR_YUV2RGB_NV21), 1, 1, (2, 2), 2),
    "nv24": Layout(_two_planes(cv2.COLOR_YUV2RGB_NV12, 2), 1, 1, (1, 1), 1),
    **{f"{n}{8 * d}": Layout(read, 1, d, (2, 1)) for d in (1, 2) for n, read in _BAYER.items()},
}
ENCODINGS = tuple(_LAYOUTS)
