"""Every encoding against a plain reference; bad images refused with what is allowed."""

from __future__ import annotations

import array
import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.image_encodings import (
    ENCODINGS,
    FrameError,
    LevelRange,
    UnknownEncodingError,
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
    stored["8UC4"] = stored["bgra8"]
    for encoding, image in stored.items():
        step, data = padded(np.ascontiguousarray(image).reshape(height, -1), padding)
        for buffer in (data, array.array("B", data), np.frombuffer(data, np.uint8)):
            got = to_rgb(height, width, encoding, False, step, buffer)
            assert np.array_equal(got, rgb), encoding
    wide = {"rgb16": "rgb8", "bgr16": "bgr8", "rgba16": "rgba8", "bgra16": "bgra8"}
    wide |= {"16UC3": "8UC3", "16UC4": "8UC4"}
    for encoding, narrow in wide.items():
        for big in (False, True):
            values = stored[narrow].astype("u2") * 256 + padding
            lines = values.astype(">u2" if big else "<u2", order="C").view(np.uint8)
            lines = lines.reshape(height, -1)
            step, data = padded(lines, padding)
            got = to_rgb(height, width, encoding, big, step, data, full_range())
            assert np.array_equal(got, rgb), encoding


def full_range() -> LevelRange:
    levels = LevelRange()
    levels.to_8_bits(np.array([[0, 0, 0, 0, 0, 65535]], np.uint16))
    return levels


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
    got = to_rgb(height, width, "mono16", big, step, data, full_range())
    assert np.array_equal(got, expected)


@given(SIZES, st.integers(0, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_yuv_agrees_with_bt601(size, padding: int, seed: int) -> None:
    height, width = size
    luma = pixels(seed, height, width)
    u, v = pixels(seed + 1, 2, height, width)
    rest = np.stack([u, v], 2).reshape(height, 2 * width)
    tight = np.pad(luma, ((0, 0), (0, padding))), np.pad(rest, ((0, 0), (0, 2 * padding)))
    data = b"".join(plane.tobytes() for plane in tight)
    got = to_rgb(height, width, "nv24", False, width + padding, data)
    assert np.abs(got.astype(int) - bt601(luma, u, v)).max() <= 2
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
    step, data = padded((mosaic.astype("<u2") * 256).view(np.uint8), 3)
    got = to_rgb(height, width, f"bayer_{pattern}16", False, step, data, full_range())
    assert np.abs(got.astype(int) - colour).max() <= 1


def test_common_encodings_are_views() -> None:
    data = np.zeros(4 * 6 * 4, np.uint8)
    for encoding, count in {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}.items():
        assert np.shares_memory(to_rgb(4, 6, encoding, False, 6 * count, data), data)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_truncated_data_is_refused_with_the_size_needed(encoding: str) -> None:
    step = 8 * 8
    lines = {"nv12": 6, "nv21": 6, "nv24": 12}.get(encoding, 4)
    full = bytes(step * lines)
    assert to_rgb(4, 8, encoding, False, step, full).shape == (4, 8, 3)
    with pytest.raises(FrameError, match=r"truncated: 10 bytes.*needs"):
        to_rgb(4, 8, encoding, False, step, full[:10])
    with pytest.raises(FrameError, match="truncated: 0 bytes"):
        to_rgb(4, 8, encoding, False, step, b"")


def test_bad_fields_are_refused_and_name_what_is_allowed() -> None:
    with pytest.raises(UnknownEncodingError, match=r"'32FC1', allowed: rgb8, bgr8.*bayer_grbg8"):
        to_rgb(4, 4, "32FC1", False, 16, bytes(64))
    for encoding in ("16UC1", "8UC2", "8SC3", "16SC1", "32SC1", "64FC1", "", "RGB8", "h264"):
        with pytest.raises(UnknownEncodingError, match=f"'{encoding}', allowed: .*are depth"):
            to_rgb(4, 4, encoding, False, 64, bytes(256))
    for height, width in ((0, 4), (4, 0), (-1, 4)):
        with pytest.raises(FrameError, match="allowed: at least 1x1"):
            to_rgb(height, width, "rgb8", False, 12, bytes(64))
    with pytest.raises(FrameError, match=r"step is 11 bytes.*at least 12"):
        to_rgb(4, 4, "rgb8", False, 11, bytes(64))
    with pytest.raises(FrameError, match="even widths"):
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


@pytest.mark.parametrize(
    ("low", "high", "shown", "said"),
    [
        (0, 1023, (0, 255), "from 0 to 1023: 0 is shown as black, 1023 as white"),  # 10 bits
        (64, 3800, (4, 237), "4095 as white"),  # 12 bits with a black level
        (0, 60, (0, 60), "255 as white"),  # at night: noise is not blown up
        (29000, 31000, (3, 252), "28976 is shown as black, 31023 as white"),  # a thermal camera
        (0, 65535, (0, 255), ""),
    ],
)
def test_16_bits_are_scaled_by_the_values_seen_and_say_so(low, high, shown, said) -> None:
    levels = LevelRange()
    ramp = np.linspace(high, low, 64 * 64).reshape(64, 64).round().astype("<u2")
    ramp[:4], ramp[-4:] = high, low
    got = to_rgb(64, 64, "mono16", False, 128, ramp.tobytes(), levels)
    assert np.abs(np.subtract((got.min(), got.max()), shown)).max() <= 1
    assert np.corrcoef(got[..., 0].ravel(), ramp.ravel())[0, 1] > 0.99
    assert said in levels.note


def test_the_range_of_16_bits_widens_and_never_narrows() -> None:
    levels = LevelRange()
    assert levels.note == ""
    seen = [levels.to_8_bits(np.full((8, 8), value, np.uint16)).max() for value in (9, 1000, 9)]
    assert seen == [9, 250, 2], "a dark picture stays dark after a bright one"


def test_hot_pixels_do_not_darken_the_rest() -> None:
    picture = np.full((120, 160), 500, np.uint16)
    picture[60, 60] = 65535
    picture[:60, :80] = 100
    assert np.median(LevelRange().to_8_bits(picture)) == 250


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
