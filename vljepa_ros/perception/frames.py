"""Decodes images to RGB, as views where the layout allows it, and makes the model's input of them.

Live messages, bags, files and thumbnails all pass here. A message is any object with the fields of
sensor_msgs/Image or CompressedImage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.files import JsonMapping
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.preprocessing import preprocess
from vljepa_ros.models.resize import resize_area
from vljepa_ros.perception.image_encodings import (
    ENCODINGS,
    FrameError,
    LevelRange,
    Pixels,
    as_uint8,
    bytes_of,
    check_size,
    grey,
    layout_of,
    to_rgb,
)

ROTATIONS = (0, 90, 180, 270)
DARK = 12  # level below which the colour of a picture is only noise
COMPRESSED = "JPEG and PNG, with 8 bits or a format as image_transport writes it"
_CODEC = re.compile(r"jpe?g|png", re.IGNORECASE)
_TYPE = re.compile(r"(8|16|32|64)[USF]C\d*")  # OpenCV's, which sensor_msgs takes for encodings
_JPEG_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # not markers inside the image data
_JPEG_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers that height and width follow
_AS_STORED = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass
class FrameDecoder:
    """Makes model inputs of the images of one camera.

    Attributes:
        size: Side of the model's input, pixels.
        rotate: Degrees clockwise, one of ROTATIONS; may be changed at any time.
        preprocessing: The model's own, see `model_input`.
        levels: Scale of the camera's 16-bit values; its `note` describes it.
        crop: Part of the image that is used: x, y, width, height in pixels, before rotation;
            width or height 0: up to the edge. May be changed at any time.
    """

    size: int
    rotate: int = 0
    preprocessing: Mapping[str, Any] | None = None
    levels: LevelRange = field(default_factory=LevelRange)
    crop: tuple[int, ...] = (0, 0, 0, 0)

    def __call__(self, message: object) -> Pixels:
        """[size, size, 3] uint8 RGB of an image message, or of a SharedImage.

        Raises:
            FrameError: The image cannot be used.
        """
        return model_input(self.view(message), self.size, self.rotate, self.preprocessing)

    def view(self, message: Any) -> Pixels:
        """[H, W, 3] uint8 RGB: an image after `crop`, before `rotate`.

        Raises:
            FrameError: The image cannot be used, or `crop` is not inside it.
        """
        shared = isinstance(message, SharedImage)
        image: Pixels = message.rgb(self.levels) if shared else image_to_rgb(message, self.levels)
        x, y, width, height = self.crop
        part = image[y : y + height if height else None, x : x + width if width else None]
        if part.size == 0 or part.shape[0] < height or part.shape[1] < width:
            raise FrameError(
                f"crop is {list(self.crop)} (x, y, width, height), allowed: within the image of "
                f"{image.shape[1]} x {image.shape[0]} pixels"
            )
        return part


class SharedImage:
    """An image message for several cameras, decoded once by the first of them.

    Args:
        message: An Image or CompressedImage.
    """

    def __init__(self, message: object) -> None:
        self._message = message
        self._image: Pixels | FrameError | None = None

    def rgb(self, levels: LevelRange) -> Pixels:
        """[H, W, 3] uint8 RGB, see `image_to_rgb`; in the worker's thread only."""
        if self._image is None:
            try:
                self._image = image_to_rgb(self._message, levels)
            except FrameError as error:
                self._image = error
            self._message = None
        if isinstance(self._image, FrameError):
            raise self._image
        return self._image


def image_to_rgb(message: Any, levels: LevelRange | None = None) -> Pixels:
    """[H, W, 3] uint8 RGB of an Image or CompressedImage.

    Args:
        message: The message.
        levels: Levels of its camera, for 16 bits; None: those of this image alone.

    Raises:
        FrameError: The image is damaged, or its encoding or layout is not allowed.
    """
    if not hasattr(message, "encoding"):
        return compressed_to_rgb(message.data, str(message.format), levels)
    m = message
    return to_rgb(m.height, m.width, m.encoding, bool(m.is_bigendian), m.step, m.data, levels)


def compressed_to_rgb(data: object, format: str = "", levels: LevelRange | None = None) -> Pixels:
    """Decode the fields of a sensor_msgs/CompressedImage.

    Args:
        data: JPEG or PNG. What follows its end is ignored: some cameras send fixed buffers.
        format: `ENCODING; CODEC compressed [PIXELS]` as image_transport writes it, where ENCODING
            is refused exactly if it is refused of a raw image; or the name of the codec, or empty.
        levels: Levels of the camera, for 16 bits; None: those of this image alone.

    Returns:
        [H, W, 3] uint8 RGB. Orientation tags are ignored, as for raw images.

    Raises:
        UnknownEncodingError: `format` names an encoding that is not allowed.
        FrameError: Depth, neither JPEG nor PNG, truncated, damaged, or 16 bits of unknown meaning.
    """
    encoding, semicolon, coding = (part.strip() for part in format.partition(";"))
    stated = semicolon or encoding in ENCODINGS or _TYPE.fullmatch(encoding)
    if encoding and stated and not _CODEC.search(encoding):
        layout_of(encoding)
    else:  # a driver's own word, mostly the codec: the content decides
        encoding = ""
    if "compressedDepth" in coding:
        raise FrameError(
            f"compressed image has the format '{format}', depth; allowed: {COMPRESSED}"
        )
    raw = bytes_of(data)
    what = f"{_codec(raw)} image of {raw.size} bytes"
    return _as_rgb(_decoded(raw, what, _AS_STORED), encoding, coding, levels)


def picture_to_rgb(data: bytes, name: str, levels: LevelRange | None = None) -> Pixels:
    """[H, W, 3] uint8 RGB of an image file's contents, turned as its orientation tag says.

    Args:
        data: Contents in any format that OpenCV reads.
        name: Name of the file, for errors.
        levels: Levels of its series, for 16 bits; None: those of this image alone.

    Raises:
        FrameError: Not an image, damaged, or 16 bits of unknown meaning.
    """
    stored = _decoded(bytes_of(data), f"'{name}'", cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    try:
        return _as_rgb(stored, "", "", levels)
    except FrameError as error:
        raise FrameError(f"'{name}': {error}") from error


def _codec(raw: Pixels) -> str:
    """JPEG or PNG; an empty, other or truncated image is refused."""
    if raw.size == 0:
        raise FrameError(f"compressed image is empty, allowed: {COMPRESSED}")
    content = raw.tobytes()
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if not content.startswith(b"\xff\xd8\xff"):
        raise FrameError(
            f"compressed image begins with {content[:4].hex(' ')}, allowed: {COMPRESSED}"
        )
    if all(marker != 0xD9 for marker, _ in _jpeg_segments(content)):
        raise FrameError(f"JPEG image is truncated: {raw.size} bytes without its end marker")
    return "JPEG"


def _png_ends(content: bytes) -> bool:
    """Whether the chunks of a PNG are all inside it and lead to its end.

    OpenCV allocates the size that a chunk claims.
    """
    at = 8
    while len(content) >= at + 12:
        kind = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        if kind == b"IEND":
            return at <= len(content)
    return False


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers of a JPEG, each with the bytes after it, up to its end marker.

    Markers of embedded thumbnails are left out.
    """
    at = 2
    while found := _JPEG_MARKER.search(content, at):
        at = found.end()
        yield content[at - 1], content[at : at + 7]
        at += int.from_bytes(content[at : at + 2], "big")  # the segment's length


def _check_claims(content: bytes, what: str) -> None:
    """Refuse a JPEG or PNG that claims a size larger than its data or the limits.

    OpenCV checks other codecs.
    """
    height, width = 1, 1
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        if not _png_ends(content):
            raise FrameError(f"{what} is truncated: its chunks do not lead to an end marker")
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    elif content.startswith(b"\xff\xd8"):
        sizes = (after for marker, after in _jpeg_segments(content) if marker in _JPEG_SIZE)
        _, _, _, *size = next(sizes, bytes((0, 0, 0, 0, 1, 0, 1)))
        height, width = (int.from_bytes(pair, "big") for pair in (size[:2], size[2:]))
    check_size(max(width, 1), max(height, 1), what)  # no size: damaged, which OpenCV will report


def _decoded(raw: Pixels, what: str, flags: int) -> NDArray[Any]:
    """[H, W] or [H, W, 3] BGR, uint8 or uint16."""
    _check_claims(raw.tobytes(), what)
    try:
        stored: NDArray[Any] | None = cv2.imdecode(raw, flags)
    except cv2.error as error:
        raise FrameError(f"{what} is damaged or too large: {error}") from error
    if stored is None or stored.size == 0 or stored.dtype not in (np.uint8, np.uint16):
        raise FrameError(f"{what} is damaged and cannot be decoded")
    check_size(stored.shape[1], stored.shape[0], what)
    return stored


def _as_rgb(stored: NDArray[Any], encoding: str, coding: str, levels: LevelRange | None) -> Pixels:
    """Convert the output of a codec: colour, grey, or a raw Bayer mosaic."""
    one_channel = stored.ndim == 2
    layout = layout_of(encoding or "mono8")
    if stored.dtype == np.uint16:
        if one_channel and (layout.depth, layout.channels) != (2, 1):
            raise FrameError(
                "image has one channel of 16 bits, which may be depth, and the encoding is "
                f"'{encoding}', allowed for such: mono16 and bayer_*16"
            )
        stored = (levels or LevelRange()).to_8_bits(stored)
    pixels = as_uint8(stored)
    if one_channel:
        mosaic = encoding.startswith("bayer") and not coding.endswith("mono8")
        return layout.read(pixels) if mosaic and pixels.shape[1] % 2 == 0 else grey(pixels)
    # `compressed rgb8`: red and blue were not swapped for the codec, which calls them B, G, R
    return pixels if "compressed rgb" in coding else pixels[..., ::-1]


def model_input(
    image: Pixels, size: int, rotate: int = 0, preprocessing: JsonMapping | None = None
) -> Pixels:
    """Crop the largest centred square, average it down to `size`, then rotate it.

    Area averaging, because sampling would alias; a smaller image is enlarged bilinearly. Rotating
    last is the same for a square and cheaper.

    Args:
        image: [H, W, 3] uint8 RGB.
        size: Side of the result, pixels.
        rotate: Degrees clockwise, one of ROTATIONS.
        preprocessing: The model's own, if it was trained with a different one.

    Returns:
        [size, size, 3] uint8 RGB, contiguous.

    Raises:
        FrameError: A rotation that is not in ROTATIONS, or an image that the model's own
            preprocessing cannot fit.
    """
    if rotate not in ROTATIONS:
        raise FrameError(f"rotation is {rotate}, allowed: {', '.join(map(str, ROTATIONS))}")
    if preprocessing is not None and "resize" in preprocessing:
        try:
            fitted = preprocess(image, preprocessing)
        except ModelError as error:
            raise FrameError(str(error)) from error
        return np.ascontiguousarray(np.rot90(fitted, k=-(rotate // 90)))
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side != size:
        square = resize_area(square, size, size)
    return np.ascontiguousarray(np.rot90(square, k=-(rotate // 90)))


def saturation(image: Pixels) -> float:
    """Mean saturation of [H, W, 3] uint8 RGB, weighted by brightness: 0 (grey) to 1.

    -1 where it is too dark to tell.
    """
    few = image[::4, ::4]
    bright = int(few.max(axis=2).sum(dtype=np.int64))
    if bright < DARK * few.shape[0] * few.shape[1]:
        return -1.0
    return 1.0 - int(few.min(axis=2).sum(dtype=np.int64)) / bright
