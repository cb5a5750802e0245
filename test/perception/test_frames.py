"""Compressed images as image_transport and drivers write them; then the model's own input."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tracemalloc
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.frames import (
    FrameDecoder,
    compressed_to_rgb,
    model_input,
    picture_to_rgb,
)
from vljepa_ros.perception.image_encodings import (
    ENCODINGS,
    FrameError,
    LevelRange,
    UnknownEncodingError,
)

SIZES = st.tuples(st.integers(1, 24).map(lambda n: 2 * n), st.integers(1, 24).map(lambda n: 2 * n))
REFUSED = ("16UC1", "32FC1", "8UC2", "16SC1", "32SC1", "64FC1", "yuv420")


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def coded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


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
        (b"\x89PNG\r\n\x1a\n" + bytes(16) + b"IEND\xaeB`\x82", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 20 + b"IEND\xaeB`\x82", "truncated"),
    ],
)
def test_undecodable_images_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        compressed_to_rgb(data)


def claiming(suffix: str, width: int, height: int) -> bytes:
    """A small image whose header claims another size."""
    data = bytearray(coded(pixels(1, 8, 8, 3), suffix))
    if suffix == ".png":
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    elif suffix == ".jpg":
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    elif suffix == ".bmp":
        data[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    else:  # WebP without loss
        at = data.find(b"VP8L") + 9
        bits = int.from_bytes(data[at : at + 4], "little") >> 28 << 28
        data[at : at + 4] = (bits | width - 1 | height - 1 << 14).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("width", "height"), [(65000, 65000), (8001, 8001), (20000, 1), (1, 65000), (16385, 2)]
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_huge_size_is_refused_before_decoding(suffix: str, width: int, height: int) -> None:
    data = claiming(suffix, width, height)
    reason = f"is {width}x{height} pixels, allowed: at most 64 megapixels and 16384 on a side"
    with pytest.raises(FrameError, match=reason):
        compressed_to_rgb(data)
    with pytest.raises(FrameError, match=f"'photo' {reason}"):
        picture_to_rgb(data, "photo")
    rows = SimpleNamespace(height=height, width=width, encoding="mono8", is_bigendian=0, step=width)
    rows.data = b""
    with pytest.raises(FrameError, match=f"image {reason}"):
        FrameDecoder(8)(rows)


def test_a_chunk_of_a_png_cannot_claim_what_is_not_there() -> None:
    data = bytearray(coded(pixels(1, 8, 8, 3)))
    data[33:37] = (0x7D000000).to_bytes(4, "big")
    for decode in (compressed_to_rgb, lambda png: picture_to_rgb(png, "photo")):
        with pytest.raises(FrameError, match="truncated: its chunks do not lead to an end"):
            decode(bytes(data))


@pytest.mark.parametrize("suffix", [".bmp", ".webp"])
def test_opencv_refuses_the_huge_sizes_of_other_files(suffix: str) -> None:
    script = (
        "import sys; from vljepa_ros.perception.frames import *;"
        "picture_to_rgb(sys.stdin.buffer.read(), 'photo')"
    )
    data = claiming(suffix, 16000, 16000)
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)
    assert b"FrameError: 'photo' is damaged or too large" in done.stderr
    assert b"PIXELS" in done.stderr


@pytest.mark.parametrize("how", [{"resize": "exact"}, {"resize": "shortest_edge", "crop": 64}])
@pytest.mark.parametrize("size", [(1, 16000), (9000, 2)])
def test_a_long_thin_image_takes_little_memory(how: dict, size: tuple[int, int]) -> None:
    tracemalloc.start()
    try:
        image = model_input(np.full((*size, 3), 7, np.uint8), 64, 0, {"size": 64, **how})
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert image.shape == (64, 64, 3)
    assert (image == 7).all()


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


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("padding", [bytes(5000), b"\xff" * 5000, b"\x00\x11" * 2500])
def test_what_follows_the_end_of_an_image_is_ignored(suffix: str, padding: bytes) -> None:
    data = coded(pixels(1, 40, 60, 3), suffix)
    assert np.array_equal(compressed_to_rgb(data + padding), compressed_to_rgb(data))
    with pytest.raises(FrameError, match="truncated"):
        compressed_to_rgb(data[:-30] + padding.replace(b"\xff", b"\x00"))


def test_the_end_of_a_thumbnail_inside_a_jpeg_is_not_its_own() -> None:
    small, large = coded(pixels(1, 8, 8, 3), ".jpg"), coded(pixels(2, 40, 60, 3), ".jpg")
    exif = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    whole = large[:2] + exif + large[2:]
    assert compressed_to_rgb(whole).shape == (40, 60, 3)
    with pytest.raises(FrameError, match="truncated"):
        compressed_to_rgb(whole[:-30])


@pytest.mark.parametrize("encoding", REFUSED)
@pytest.mark.parametrize(
    "coding", ["png compressed ", "jpeg compressed mono8", "compressedDepth png"]
)
def test_what_raw_refuses_compressed_refuses_too(encoding: str, coding: str) -> None:
    data = coded(np.full((8, 8), 1500, np.uint16))
    with pytest.raises(UnknownEncodingError, match=f"'{encoding}', allowed: rgb8"):
        compressed_to_rgb(data, f"{encoding}; {coding}")


def test_depth_and_16_bits_without_a_name_are_refused() -> None:
    data = coded(np.full((8, 8), 1500, np.uint16))
    for format in ("", "png", "rgb8; png compressed bgr8", "mono8; png compressed "):
        with pytest.raises(FrameError, match=r"one channel of 16 bits.*allowed for such: mono16"):
            compressed_to_rgb(data, format)
    with pytest.raises(FrameError, match=r"depth; allowed: JPEG and PNG"):
        compressed_to_rgb(bytes(12) + data, "mono16; compressedDepth png")
    with pytest.raises(UnknownEncodingError, match="'16UC1', allowed"):
        compressed_to_rgb(data, "16UC1")


def test_formats_of_image_transport() -> None:
    rgb = pixels(4, 12, 16, 3)
    bgr, grey = rgb[..., ::-1], rgb[..., 0]
    for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "yuv422", "nv24", "8UC3"):
        assert np.array_equal(
            compressed_to_rgb(coded(bgr), f"{encoding}; png compressed bgr8"), rgb
        )
    swapped = compressed_to_rgb(coded(rgb), "rgb8; png compressed rgb8")
    assert np.array_equal(swapped, rgb)
    for format in ("", "png", "image/png", "8UC1", "mono8", "mono8; png compressed ", "jpeg; q=80"):
        got = compressed_to_rgb(coded(grey), format)
        assert np.array_equal(got, np.stack([grey] * 3, 2)), format
    levels = LevelRange()
    ten_bits = grey.astype(np.uint16) * 4
    got = compressed_to_rgb(coded(ten_bits), "mono16; png compressed ", levels)
    assert np.array_equal(got[..., 1], grey)
    assert "1023 as white" in levels.note
    wide = bgr.astype(np.uint16) * 4
    assert np.array_equal(compressed_to_rgb(coded(wide), "rgb16; png compressed bgr16"), rgb)


def test_a_mosaic_stays_a_mosaic_in_a_png() -> None:
    mosaic = np.zeros((12, 16), np.uint8)
    mosaic[::2, ::2], mosaic[::2, 1::2], mosaic[1::2, ::2], mosaic[1::2, 1::2] = 200, 90, 90, 30
    got = compressed_to_rgb(coded(mosaic), "bayer_rggb8; png compressed ")
    assert np.abs(got.astype(int) - (200, 90, 30)).max() <= 1
    got = compressed_to_rgb(coded(mosaic), "bayer_rggb8; png compressed mono8")
    assert np.array_equal(got[..., 0], mosaic)


FORMATS = st.one_of(
    st.text(max_size=20),
    st.builds(
        "{}; {} {}{}".format,
        st.sampled_from([*ENCODINGS, *REFUSED, "", "jpeg"]),
        st.sampled_from(["png", "jpeg", "tiff", ""]),
        st.sampled_from(["compressed ", "compressedDepth ", ""]),
        st.sampled_from(["bgr8", "rgb8", "mono8", "bgr16", "png", "rvl", ""]),
    ),
)


@given(
    FORMATS,
    st.sampled_from([".png", ".jpg"]),
    st.sampled_from([(), (3,), (4,)]),
    st.booleans(),
    SIZES,
    st.integers(-200, 200),
    st.integers(0, 99),
)
@settings(max_examples=300, deadline=None)
def test_any_format_gives_an_image_or_a_refusal(
    format, suffix, channels, wide, size, extra, seed
) -> None:
    image = pixels(seed, *size, *channels)
    if wide and suffix == ".png":
        image = image.astype(np.uint16) * 9
    data = coded(image, suffix)
    data = data[:extra] if extra < 0 else data + bytes(extra)
    refusal = ""
    try:
        assert compressed_to_rgb(data, format).shape == (*size, 3)
    except FrameError as error:
        refusal = str(error)
    assert not refusal or any(word in refusal for word in ("allowed", "truncated", "damaged"))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_flipped_bytes_give_an_image_or_a_refusal(data) -> None:
    image = bytearray(coded(pixels(3, 20, 20, 3), data.draw(st.sampled_from([".png", ".jpg"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        image[data.draw(st.integers(8, len(image) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FrameError):
        assert compressed_to_rgb(bytes(image)).ndim == 3


def test_a_decoder_keeps_its_cameras_range() -> None:
    decoder = FrameDecoder(4)
    shown = []
    for level in (1000, 100):
        values = np.full((8, 8), level, "<u2")
        values[:2] = 8
        message = SimpleNamespace(
            height=8, width=8, encoding="mono16", is_bigendian=0, step=16, data=values.tobytes()
        )
        shown.append(int(decoder(message).max()))
    assert shown == [250, 25]
    assert "1000" in decoder.levels.note
