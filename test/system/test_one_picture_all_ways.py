"""The same pictures, in every way in which they can reach the model, give the same embedding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from colour_bag import BEGIN, LATE, SECOND, T, header, write_messages
from graph import MODEL

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.bags.indexing import IndexPlan, embed_bag
from vljepa_ros.perception.bags.reading import COMPRESSED, RAW
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.image_source import ImageFolder, VideoFile, demo_clip
from vljepa_ros.resources import model_dir

VIEWS = [(0, (0, 0, 0, 0)), (180, (0, 0, 0, 0)), (90, (40, 20, 500, 0))]
TOPIC = "/front/image_raw"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = load_engine(model_dir(MODEL), threads=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def pictures(engine: Engine) -> list[np.ndarray]:
    """One clip, [H, W, 3] uint8 RGB each, larger than the model's input."""
    config = engine.config
    video = VideoFile(demo_clip())
    shots = list(video.shots())[60 :: round(config.frame_interval * video.rate)]
    shots = shots[: config.clip_frames]
    return [
        cv2.resize(shot.bgr, (640, 480), interpolation=cv2.INTER_CUBIC)[..., ::-1] for shot in shots
    ]


def raw(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Any:
    """A message of [H, W, C] pixels, with bytes of rubbish after each row."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    return T[RAW](header(0), height, width, encoding, int(big), rows.shape[1], rows.reshape(-1))


def packed(pixels: np.ndarray, suffix: str, format: str, quality: int = 95) -> Any:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    _, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    return T[COMPRESSED](header(0), format, np.append(data.reshape(-1), np.zeros(99, np.uint8)))


def messages(rgb: np.ndarray) -> dict[str, Any]:
    bgr, alpha = rgb[..., ::-1], np.full_like(rgb[..., :1], 9)
    wide = np.asarray(bgr, np.uint16) * 257
    return {
        "rgb8": raw(rgb, "rgb8"),
        "rgb8 padded": raw(rgb, "rgb8", 13),
        "bgr8": raw(bgr, "bgr8", 1),
        "rgba8": raw(np.concatenate([rgb, alpha], 2), "rgba8"),
        "bgra8": raw(np.concatenate([bgr, alpha], 2), "bgra8", 4),
        "8UC3": raw(bgr, "8UC3"),
        "bgr16": raw(wide, "bgr16"),
        "rgb16 big endian": raw(wide[..., ::-1].astype(">u2"), "rgb16", 6, big=True),
        "png": packed(bgr, ".png", "rgb8; png compressed bgr8"),
        "png of 16 bits": packed(wide, ".png", "rgb16; png compressed bgr16"),
        "jpeg": packed(bgr, ".jpg", "rgb8; jpeg compressed bgr8"),
        "jpeg of a driver": packed(bgr, ".jpg", "jpeg", 80),
    }


def least(way: str) -> float:
    return 0.99 if "jpeg" in way else 0.999


def embedding(engine: Engine, frames: list[np.ndarray]) -> np.ndarray:
    (encoded,) = engine.encode([Clip(np.stack(frames), tuple(range(len(frames))))], [None])
    return engine.embed([encoded.tokens], engine.config.default_query)[0]


def decoder(engine: Engine, rotate: int, crop: tuple[int, ...]) -> FrameDecoder:
    config = engine.config
    return FrameDecoder(config.input_size, rotate, config.preprocessing, crop=crop)


def live(engine: Engine, pictures: list[np.ndarray], view: Any) -> np.ndarray:
    decode = decoder(engine, *view)
    return embedding(engine, [decode(raw(rgb, "rgb8")) for rgb in pictures])


@pytest.mark.parametrize("view", VIEWS)
def test_messages(engine: Engine, pictures: list[np.ndarray], view: Any) -> None:
    expected = live(engine, pictures, view)
    by_way = [messages(rgb) for rgb in pictures]
    for way in by_way[0]:
        decode = decoder(engine, *view)
        got = embedding(engine, [decode(ways[way]) for ways in by_way])
        print(f"{way}, view {view}: {got @ expected:.5f}")
        assert got @ expected >= least(way), way


@pytest.mark.parametrize("view", VIEWS)
def test_files(engine: Engine, pictures: list[np.ndarray], view: Any, tmp_path: Path) -> None:
    expected = live(engine, pictures, view)
    for number, rgb in enumerate(pictures, 8):  # 8, 9, 10, 11
        cv2.imwrite(str(tmp_path / f"{number}.png"), rgb[..., ::-1])
    decode = decoder(engine, *view)
    shots = ImageFolder(tmp_path).shots()
    got = embedding(engine, [decode(raw(shot.bgr, "bgr8")) for shot in shots])
    assert got @ expected >= 0.999


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("way", ["rgb8 padded", "rgb16 big endian", "png", "jpeg"])
def test_bags_and_the_rows_of_their_clips(
    engine: Engine, pictures: list[np.ndarray], view: Any, way: str, tmp_path: Path
) -> None:
    pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")
    from vljepa_ros.perception.memory.reindex import reindex
    from vljepa_ros.perception.memory.row import SAMPLE, Row
    from vljepa_ros.perception.memory.store import open_store

    expected = live(engine, pictures, view)
    recorded = []
    for number, rgb in enumerate(pictures):
        stamp = BEGIN + round(number * engine.config.frame_interval * SECOND)
        message = messages(rgb)[way]
        message.header = header(stamp)
        recorded.append((stamp + LATE, message))
    kind = RAW if hasattr(recorded[0][1], "encoding") else COMPRESSED
    bag = write_messages(tmp_path / "bag", {(TOPIC, kind): recorded})
    rotate, crop = view
    plan = ClipPlan(1.0, 1024, {"front": rotate}, {"": crop})
    records = embed_bag(bag, engine, IndexPlan(plan), tmp_path).records
    (clip,) = records.clips
    records.close(remove=True)
    assert clip.vector @ expected >= least(way)
    row = Row(SAMPLE, "front", clip.start, clip.stamp, clip.stamp, clip.vector)
    row = Row(**vars(row) | {"thumbnail": clip.thumbnail, "thumbnail_frames": clip.frames})
    model, dim = engine.config.model_id, engine.config.dim
    old, new = (open_store(tmp_path / name, model, dim, create=True) for name in ("old", "new"))
    old.append([row])
    assert reindex(old, engine, new).done == 1
    (again,) = new.rows()
    print(
        f"bag {way}, view {view}: {clip.vector @ expected:.5f}, row {again.vector @ expected:.5f}"
    )
    assert again.vector @ clip.vector >= 0.99
