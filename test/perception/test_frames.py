"""Every encoding against a plain reference; bad images refused with what is allowed."""

from __future__ import annotations

import array
import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.frames import (
    ENCODINGS,
    FrameError,
    UnknownEncodingError,
    compressed_to_rgb,
    model_input,
    to_rgb,
)

SIZES = st.tuples(st.integers(1, 24).map(lambda n: 2 * n), st.integers(1, 24).map(lambda n: 2 * n))
BAYER = {"rggb": "RGGB", "bggr": "BGGR", "gbrg": "GBRG", "grbg": "GRBG"}


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def padded(rows: np.ndarray, padding: int) -> tuple[int, bytes]:
    """Rows [H, bytes] with `padding` bytes of rubbish after each: (step, data)."""
    filled = np.full((rows.shape[0], rows.shape[1] + padding), 0xAB, np.uint8)
    filled[:, : rows.shape[1]] = rows
    return filled.shape[1], filled.tobytes()


@given(SIZES, st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_interleaved_encodings_only_reorder_channels(size, padding: int, seed: int) -> None:
    height, width = size
    rgb = pixels(seed, height, width, 3)
    alpha = pixels(seed + 1, height, width, 1)
    stored = {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "8UC3": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], 2),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], 2),
    }
    for encoding, image in stored.items():
        step, data = padded(np.ascontiguousarray(image).reshape(height, -1), padding)
        for buffer in (data, array.array("B", data), np.frombuffer(data, np.uint8)):
            got = to_rgb(height, width, encoding, False, step, buffer)
            assert np.array_equal(got, rgb), encoding


@given(SIZES, st.integers(0, 5), st.booleans(), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_grey_encodings_repeat_the_level(size, padding: int, big: bool, seed: int) -> None:
    height, width = size
    level = pixels(seed, height, width)
    step, data = padded(level, padding)
    expected = np.stack([level] * 3, 2)
    assert np.array_equal(to_rgb(height, width, "mono8", big, step, data), expected)
    wide = level.astype(np.uint16) * 256 + pixels(seed + 1, height, width)
    stored = wide.astype(">u2" if big else "<u2").view(np.uint8).reshape(height, -1)
    step, data = padded(stored, padding)
    assert np.array_equal(to_rgb(height, width, "mono16", big, step, data), expected)


@given(SIZES, st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_yuv_agrees_with_bt601(size, padding: int, seed: int) -> None:
    height, width = size
    luma = pixels(seed, height, width)
    for chroma_rows in (1, 2):
        u, v = pixels(seed + 1, 2, height // chroma_rows, width // 2)
        full_u = u.repeat(2, 1).repeat(chroma_rows, 0)
        full_v = v.repeat(2, 1).repeat(chroma_rows, 0)
        expected = bt601(luma, full_u, full_v)
        if chroma_rows == 1:
            pairs = {
                "yuv422": (u, luma[:, ::2], v, luma[:, 1::2]),
                "yuv422_yuy2": (luma[:, ::2], u, luma[:, 1::2], v),
            }
            stored = {name: np.stack(p, 2).reshape(height, -1) for name, p in pairs.items()}
            stored |= {"uyvy": stored["yuv422"], "yuyv": stored["yuv422_yuy2"]}
        else:
            stored = {
                "nv12": np.concatenate([luma, np.stack([u, v], 2).reshape(height // 2, -1)]),
                "nv21": np.concatenate([luma, np.stack([v, u], 2).reshape(height // 2, -1)]),
            }
        for encoding, rows in stored.items():
            step, data = padded(rows, padding)
            got = to_rgb(height, width, encoding, False, step, data)
            assert np.abs(got.astype(int) - expected).max() <= 2, encoding


def bt601(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, limited range."""
    c, d, e = 1.164 * np.maximum(y.astype(float) - 16, 0), u - 128.0, v - 128.0
    rgb = np.stack([c + 1.596 * e, c - 0.813 * e - 0.391 * d, c + 2.018 * d], 2)
    return np.clip(np.rint(rgb), 0, 255).astype(int)


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("colour", [(200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 150, 30)])
def test_bayer_mosaics_of_one_colour_become_that_colour(pattern: str, colour) -> None:
    height, width = 12, 16
    mosaic = np.zeros((height, width), np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = colour["rgb".index(letter)]
    step, data = padded(mosaic, 3)
    got = to_rgb(height, width, f"bayer_{pattern}8", False, step, data)
    assert np.abs(got.astype(int) - colour).max() <= 1


def test_common_encodings_are_views() -> None:
    data = np.zeros(4 * 6 * 4, np.uint8)
    for encoding, count in {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}.items():
        assert np.shares_memory(to_rgb(4, 6, encoding, False, 6 * count, data), data)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_truncated_data_is_refused_with_the_size_needed(encoding: str) -> None:
    step = 4 * 8
    lines = 6 if encoding.startswith("nv") else 4
    full = bytes(step * lines)
    assert to_rgb(4, 8, encoding, False, step, full).shape == (4, 8, 3)
    with pytest.raises(FrameError, match=r"truncated: 10 bytes.*needs"):
        to_rgb(4, 8, encoding, False, step, full[:10])
    with pytest.raises(FrameError, match="truncated: 0 bytes"):
        to_rgb(4, 8, encoding, False, step, b"")


def test_bad_fields_are_refused_and_name_what_is_allowed() -> None:
    with pytest.raises(UnknownEncodingError, match=r"'32FC1', allowed: rgb8, bgr8.*bayer_grbg8"):
        to_rgb(4, 4, "32FC1", False, 16, bytes(64))
    for height, width in ((0, 4), (4, 0), (-1, 4)):
        with pytest.raises(FrameError, match="allowed: at least 1x1"):
            to_rgb(height, width, "rgb8", False, 12, bytes(64))
    with pytest.raises(FrameError, match=r"step is 11 bytes.*at least 12"):
        to_rgb(4, 4, "rgb8", False, 11, bytes(64))
    with pytest.raises(FrameError, match="even sizes"):
        to_rgb(4, 5, "yuv422", False, 10, bytes(64))
    with pytest.raises(FrameError, match="even sizes"):
        to_rgb(5, 4, "nv12", False, 4, bytes(64))
    with pytest.raises(FrameError, match="not a buffer"):
        to_rgb(1, 1, "rgb8", False, 3, [1, 2, 3])


@given(st.binary(max_size=64), st.integers(0, 9), st.integers(0, 9), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_rubbish_gives_an_image_or_a_frame_error(data, height, width, step) -> None:
    for encoding in ENCODINGS:
        with contextlib.suppress(FrameError):
            assert to_rgb(height, width, encoding, False, step, data).shape == (height, width, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(suffix: str) -> None:
    smooth = cv2.resize(pixels(3, 4, 5, 3), (60, 40), interpolation=cv2.INTER_LINEAR)
    ok, coded = cv2.imencode(suffix, smooth[..., ::-1])
    assert ok
    got = compressed_to_rgb(coded.tobytes())
    limit = 0 if suffix == ".png" else 60
    assert np.abs(got.astype(int) - smooth).max() <= limit
    assert np.abs(got.astype(int) - smooth).mean() <= limit / 10
    with pytest.raises(FrameError, match="truncated"):
        compressed_to_rgb(coded.tobytes()[: coded.size // 2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty, allowed: JPEG and PNG"),
        (b"GIF89a....", "begins with 47 49 46 38, allowed: JPEG and PNG"),
        (b"\xff\xd8\xff" + bytes(20) + b"\xff\xd9", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20) + b"IEND", "damaged"),
    ],
)
def test_undecodable_images_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        compressed_to_rgb(data)


@given(SIZES, st.sampled_from([0, 90, 180, 270]), st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_model_input_is_the_centred_square_averaged_and_turned(size, rotate, swap, seed) -> None:
    height, width = size
    image = pixels(seed, height * 4, width * 4, 3)
    side, target = min(height, width) * 4, min(height, width)
    top, left = (height * 4 - side) // 2, (width * 4 - side) // 2
    square = image[top : top + side, left : left + side].astype(float)
    mean = square.reshape(target, 4, target, 4, 3).mean((1, 3))
    if swap:
        image = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    got = model_input(image, target, rotate)
    assert got.flags.c_contiguous
    expected = np.rot90(mean, -rotate // 90)
    assert np.abs(got - expected).max() <= 0.5 + 1e-6


def test_turning_is_clockwise_and_only_by_right_angles() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[0, 0] = 255
    assert model_input(image, 4, 90)[0, 3, 0] == 255
    with pytest.raises(FrameError, match="rotation is 45, allowed: 0, 90, 180, 270"):
        model_input(image, 4, 45)


def test_an_image_smaller_than_the_input_is_enlarged() -> None:
    assert model_input(np.full((3, 2, 3), 7, np.uint8), 16).min() == 7


def test_agrees_with_cv_bridge_where_that_is_installed() -> None:
    bridge = pytest.importorskip("cv_bridge").CvBridge()
    message = pytest.importorskip("sensor_msgs.msg").Image
    for encoding in ("rgb8", "bgr8", "mono8", "yuv422", "yuv422_yuy2", "bayer_rggb8"):
        step = {"rgb8": 3, "bgr8": 3, "yuv422": 2, "yuv422_yuy2": 2}.get(encoding, 1) * 16
        fields = {"height": 12, "width": 16, "encoding": encoding, "step": step}
        image = message(**fields, data=pixels(1, 12 * step).tobytes())
        expected = bridge.imgmsg_to_cv2(image, "rgb8")
        got = to_rgb(**fields, is_bigendian=False, data=image.data)
        assert np.abs(got.astype(int) - expected).max() <= 2, encoding
