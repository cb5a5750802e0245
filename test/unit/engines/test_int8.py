"""The nano form in int8: quantised on clips, compared on others, written as a model folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vljepa_ros.cli.main import main
from vljepa_ros.engines.clip_parity import ClipParity, embed_clips, gate_clips, measure_clips
from vljepa_ros.engines.int8_folder import write_int8_folder
from vljepa_ros.engines.load import load_engine
from vljepa_ros.evaluation.real_clips import read_clips
from vljepa_ros.models.config import ModelError, load_config

# Quantising takes its time on a busy machine.
pytestmark = pytest.mark.timeout(600)


NANO = Path(__file__).parents[3] / "models" / "nano"


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    """Of the size that the shipped model takes: grey levels under noise."""
    config = load_config(NANO)
    rng = np.random.default_rng(0)
    shape = (72, config.clip_frames, config.input_size, config.input_size, 3)
    low = rng.integers(0, 200, (72, 1, 1, 1, 3), dtype=np.uint8)
    return low + rng.integers(0, 56, shape, dtype=np.uint8)


def test_an_int8_folder_runs_and_names_itself(clips: np.ndarray, tmp_path: Path) -> None:
    config = load_config(NANO)
    out, parity = write_int8_folder(config, tmp_path / "int8", clips, gated=False)
    assert parity.clips == 72 - 64
    engine = load_engine(out, "auto")
    assert engine.info.precision == "int8"
    assert engine.config.model_id != config.model_id
    own = load_engine(NANO, "onnxruntime")
    prompts = [config.default_query]
    expected, seen = (embed_clips(e, clips[:4], prompts)[prompts[0]] for e in (own, engine))
    assert 0 < np.abs(expected - seen).max() < 0.5  # not the same graphs, and not nonsense
    assert len(engine.generate(seen)) == 4
    note = json.loads((out / "int8.json").read_text())
    assert note["parity"]["clips"] == parity.clips
    with pytest.raises(ModelError, match=r"holds graphs only \(int8\); allowed: onnxruntime"):
        load_engine(out, "torch@cpu")
    with pytest.raises(ModelError, match="does not run in fp32 by itself; allowed: int8"):
        load_engine(out, "onnxruntime:fp32")
    with pytest.raises(ModelError, match="is not empty: choose a new folder"):
        write_int8_folder(config, out, clips)


def test_what_is_not_near_enough_is_not_written(clips: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"int8 of window is refused, fp32 ships: 8 clips: error"):
        write_int8_folder(load_config(NANO), tmp_path / "o", clips, graphs=["window"])
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_quantised_is_named(clips: np.ndarray, tmp_path: Path) -> None:
    config = load_config(NANO)
    with pytest.raises(ModelError, match="unknown graph text; allowed: frame, window, predictor"):
        write_int8_folder(config, tmp_path / "o", clips, graphs=["text"])
    with pytest.raises(ModelError, match="10 clips, allowed: 66 or more"):
        write_int8_folder(config, tmp_path / "o", clips[:10])
    with pytest.raises(ModelError, match=r"clips are uint8 .*allowed: uint8 \[N, "):
        write_int8_folder(config, tmp_path / "o", clips[:, :1])


def test_the_error_is_a_share_of_the_distance_between_clips() -> None:
    rng = np.random.default_rng(0)
    own = rng.standard_normal((300, 32)).astype(np.float32)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    moved = own + 0.01 * np.sqrt(2.0) * np.eye(32, dtype=np.float32)[0]
    labels = own[:5]
    parity = measure_clips({"p": own}, {"p": moved}, {"p": labels})
    assert parity.error == pytest.approx(0.01, rel=0.05)  # random vectors are sqrt(2) apart
    assert parity.agreement > 0.9
    same = measure_clips({"p": own}, {"p": own}, {"p": labels})
    assert (same.error, same.agreement, same.passed) == (0.0, 1.0, True)
    swapped = measure_clips({"p": own}, {"p": own[::-1]}, {"p": labels})
    assert swapped.error == pytest.approx(1.0, rel=0.1)
    assert swapped.agreement < 0.5
    with pytest.raises(ModelError, match="1 clips, allowed: 2 or more"):
        measure_clips({"p": own[:1]}, {"p": own[:1]}, {})


@pytest.mark.parametrize(
    ("clips", "error", "agreement", "passes"),
    [(256, 0.02, 0.99, True), (255, 0.0, 1.0, False), (300, 0.021, 1.0, False),
     (300, 0.0, 0.98, False)],
)  # fmt: skip
def test_the_gate(clips: int, error: float, agreement: float, passes: bool) -> None:
    parity = ClipParity(clips, error, error, agreement, 1.0)
    assert parity.passed == passes
    if passes:
        gate_clips(parity, "int8")
    else:
        with pytest.raises(ModelError, match=r"int8 is refused, fp32 ships: .*at least 256"):
            gate_clips(parity, "int8")


def test_clips_come_from_shards_and_videos(tmp_path: Path) -> None:
    import cv2

    config = load_config(NANO)
    size = config.input_size
    scenes = np.arange(3, dtype=np.uint8)[:, None, None, None, None] * 50
    scenes = np.broadcast_to(scenes, (3, 6, size, size, 3)).copy()
    np.save(tmp_path / "shard_00000.npy", scenes)
    (tmp_path / "shard_00000.jsonl").write_text("{}\n" * 3)
    found = read_clips(tmp_path, config, 9)
    assert found.shape == (9, config.clip_frames, size, size, 3)
    assert sorted(set(found[:, 0, 0, 0, 0].tolist())) == [0, 50, 100]
    assert len(read_clips(tmp_path, config, 2)) == 2
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(videos / name), code, 2, (64, 48))
        for level in range(12):
            writer.write(np.full((48, 64, 3), level * 20, np.uint8))
        writer.release()
    assert len(read_clips(videos, config, 6)) == 6
    with pytest.raises(ModelError, match=r"no clips at .*; allowed: a video"):
        read_clips(tmp_path / "none", config, 5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no clips in .*; allowed: \.mp4"):
        read_clips(tmp_path / "empty", config, 5)


def test_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["export", str(NANO), "--precision", "int8"]) == 1
    assert "needs --out FOLDER and --calibration DIR" in capsys.readouterr().err
    assert main(["export", str(NANO), "--out", str(tmp_path / "o")]) == 1
    assert "go with --precision int8 only" in capsys.readouterr().err
    line = ["export", str(NANO), "--precision", "int8", "--out", str(tmp_path / "o")]
    assert main([*line, "--calibration", str(tmp_path / "nowhere")]) == 1
    assert "no clips at" in capsys.readouterr().err
