"""Image messages, raw and compressed: decoded to the model's input, or refused with FrameError."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from vljepa_ros.perception.frames import ENCODINGS, FrameDecoder, FrameError

SIDE = 16
ODD_ENCODINGS = ("", "RGB8", "rgb16", "16UC1", "32FC1", "8UC4", "64FC4", "bayer_rggb16", "nv24")
FORMATS = (
    *("jpeg", "png", "rgb8; jpeg compressed bgr8", "bgr8; png compressed ", "", ";", "webp"),
    *("16UC1; png compressed ", "16UC1; compressedDepth png", "32FC1; compressedDepth rvl"),
)


def outcome(message: Any) -> str:
    try:
        image = FrameDecoder(SIDE)(message)
    except FrameError as error:
        return "refused" if str(error) else "refused without a reason"
    assert image.shape == (SIDE, SIDE, 3), image.shape
    assert image.dtype == np.uint8
    return "decoded"


def raw(random: Random) -> str:
    """Sizes, steps and lengths that fit, nearly fit or do not fit."""
    encoding = random.choice(random.choice((ENCODINGS, ENCODINGS, ODD_ENCODINGS)))
    height, width = (random.choice((0, 1, 31, 30, 30, 30, 64, 64)) for _ in range(2))
    step = max(0, width * random.choice((1, 2, 3, 4, 4)) + random.choice((0, 0, 0, -1, 1, 4096)))
    size = 3 * height * step // random.choice((1, 2, 3))
    size = random.choice((size, size, size, size, 0, size - 1, size // 2, size + 5))
    data = random.randbytes(max(0, size))
    return outcome(
        SimpleNamespace(
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=random.choice((0, 1)),
            step=random.choice((step, step, step, 0, 2**32 - 1)),
            data=random.choice((data, bytearray(data), np.frombuffer(data, np.uint8))),
        )
    )


def compressed(random: Random) -> str:
    """A JPEG or PNG of 8 or 16 bits, cut, overwritten, padded or as it is; and plain rubbish."""
    shape = random.choice(((24, 32), (24, 32, 3), (1, 1, 3), (25, 33, 4)))
    kind = random.choice((".jpg", ".jpg", ".png", ".png", ".png16", ".webp"))
    dtype = np.uint16 if kind == ".png16" else np.uint8
    noise = np.random.default_rng(random.randrange(2**32))
    pixels = noise.integers(0, np.iinfo(dtype).max, shape, dtype)
    _, encoded = cv2.imencode(kind[:4] if "png" in kind else kind, pixels)
    data = bytearray(encoded.tobytes())
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        data[random.randrange(len(data))] = random.randrange(256)
    what = random.choice(("as is", "as is", "as is", "padded", "cut", "rubbish", "headed", "empty"))
    if what == "cut":
        del data[random.randrange(len(data)) :]
    elif what == "padded":
        data += bytes(random.choice((1, 1000, 5000)))
    elif what == "rubbish":
        data = bytearray(random.randbytes(random.randrange(200)))
    elif what == "headed":  # compressedDepth puts 12 bytes before the PNG
        data = bytearray(random.randbytes(12)) + data
    elif what == "empty":
        data = bytearray()
    return outcome(SimpleNamespace(format=random.choice(FORMATS), data=bytes(data)))


TARGETS = {"raw image": raw, "compressed image": compressed}
