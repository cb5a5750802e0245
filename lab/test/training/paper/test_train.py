"""`vljepa train full` on a tiny configuration: two processes, two stages, interrupted and
resumed."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_hub import image
from tiny_paper import converted
from torch.nn import functional
from variable_video import VARIABLE, level_of, write_video

from vljepa_lab.training.paper.samples import DataOrder, evenly_spaced, load_clip, read_samples
from vljepa_lab.training.paper.train import main
from vljepa_lab.training.paper.trainee import gathered_loss, number_keys
from vljepa_ros.engines.load import load_engine
from vljepa_ros.models.folder import load_config
from vljepa_ros.perception.frames import model_input

# Every process imports torch and transformers, which takes its time on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips whose brightness says what is seen: something that can be learnt."""
    place = tmp_path_factory.mktemp("data")
    captions = ("a red cup", "the door is open", "a person walking", "a blue table")
    lines = []
    for i in range(12):
        kind = i % 4
        clip = np.full((5, 32, 32, 3), 20 + 60 * kind, np.uint8)
        clip[:, :, :16] //= 1 + kind
        clip += np.random.default_rng(i).integers(0, 9, clip.shape).astype(np.uint8)
        np.save(place / f"{i}.npy", clip)
        lines.append({"clip": f"{i}.npy", "caption": captions[kind]})
        answer = "yes" if kind % 2 else "no"
        lines.append({"clip": f"{i}.npy", "question": "is the door open ?", "answer": answer})
    (place / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return place / "data.jsonl"


def arguments(folder: Path, data: Path, out: Path, stage1: int, stage2: int) -> list[str]:
    return [
        "--model", str(folder), "--data", str(data), "--out", str(out),
        "--steps", str(stage1), str(stage2), "--batch", "8", "--rate", "3e-3", "--warmup", "2",
        "--frames", "2", "--every", "3",
    ]  # fmt: skip


def log_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def two_processes(options: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for rank in range(2):
        env = os.environ | {
            "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        line = [sys.executable, "-m", "vljepa_lab.training.paper.train", *options]
        running.append(subprocess.Popen(line, env=env, stderr=subprocess.PIPE, text=True))
    try:
        for process in running:
            _, errors = process.communicate(timeout=500)
            assert process.returncode == 0, errors
    finally:
        for process in running:
            process.kill()


@pytest.mark.check
@pytest.mark.timeout(600)  # four processes import torch
def test_two_processes_equal_one_and_resume_exactly(
    folder: Path, data: Path, tmp_path: Path
) -> None:
    """One run of 12 steps in one process; the same in two processes, stopped after 6 and
    resumed."""
    assert main(arguments(folder, data, tmp_path / "one", 8, 4)) == 0
    one = log_of(tmp_path / "one")
    assert [entry["stage"] for entry in one] == [1] * 8 + [2] * 4
    assert np.mean([e["loss"] for e in one[5:8]]) < 0.9 * one[0]["loss"]

    two = tmp_path / "two"
    interrupted = arguments(folder, data, two, 8, 4)
    two_processes([*interrupted, "--stop-after", "6"])
    assert len(log_of(two)) == 6
    two_processes(interrupted)
    pair = log_of(two)
    assert [e["samples"] for e in pair] == [e["samples"] for e in one]
    np.testing.assert_allclose(
        [e["loss"] for e in pair], [e["loss"] for e in one], rtol=2e-3, atol=2e-4
    )

    trained = load_engine(two / "model", "torch:fp32@cpu")
    assert trained.config.model_id != load_config(folder).model_id
    trained.config.verify()


def test_resuming_in_one_process_is_bit_for_bit(folder: Path, data: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(arguments(folder, data, whole, 5, 0)) == 0
    assert main([*arguments(folder, data, parts, 5, 0), "--stop-after", "3"]) == 0
    with (parts / "train.jsonl").open("a") as file:  # died after a step that no checkpoint holds
        file.write('{"step": 3, "loss": 9}\n')
    assert main(arguments(folder, data, parts, 5, 0)) == 0
    assert log_of(parts) == log_of(whole)
    names = ("predictor.safetensors", "y_encoder.safetensors")
    for name in names:
        assert (whole / "model" / name).read_bytes() == (parts / "model" / name).read_bytes()


def test_gradient_checkpointing_changes_nothing(folder: Path, data: Path, tmp_path: Path) -> None:
    assert main(arguments(folder, data, tmp_path / "plain", 2, 0)) == 0
    line = [*arguments(folder, data, tmp_path / "less", 2, 0), "--gradient-checkpointing"]
    assert main(line) == 0
    losses = [[e["loss"] for e in log_of(tmp_path / name)] for name in ("plain", "less")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_equal_answers_are_no_negatives() -> None:
    torch.manual_seed(0)
    predicted = functional.normalize(torch.randn(4, 8), dim=-1)
    answers = functional.normalize(torch.randn(4, 8), dim=-1)
    answers[3] = answers[0]
    scale = torch.tensor(2.0)
    loss = gathered_loss(predicted, answers, number_keys(["a", "b", "c", "a"]), scale)
    logits = 2.0**0 * scale.exp() * predicted @ answers[:3].T
    rows = functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0]))
    both = torch.logsumexp(logits[[0, 3], 0], 0)
    columns = torch.logsumexp(logits, 0) - torch.stack([both, logits[1, 1], logits[2, 2]])
    torch.testing.assert_close(loss, 0.5 * (rows + columns.mean()))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 60), st.sampled_from([2, 4]), st.integers(0, 99), st.integers(0, 30))
def test_order_does_not_depend_on_the_processes(
    count: int, batch: int, seed: int, step: int
) -> None:
    order = DataOrder(count, batch, seed, 1)
    whole = order.indices(step)
    assert whole == [i for rank in range(2) for i in order.indices(step, rank, 2)]
    epoch = step // order.per_epoch * order.per_epoch
    seen = [i for s in range(epoch, epoch + order.per_epoch) for i in order.indices(s)]
    assert len(set(seen)) == len(seen)
    assert whole == DataOrder(count, batch, seed, 1).indices(step)


def test_webdataset_and_jsonl_give_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.stack([image(40, 48, i) for i in range(6)]))
    (tmp_path / "d.jsonl").write_text('{"clip": "c.npy", "caption": "A cup."}\n')
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(tmp_path / "c.npy", "000/c.npy")
        text = json.dumps({"caption": "A cup."}).encode()
        member = tarfile.TarInfo("000/c.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    spec = {"resize": "shortest_edge", "size": 32, "crop": 32}
    plain, packed = (read_samples([tmp_path / name])[0] for name in ("d.jsonl", "d.tar"))
    assert (plain.answer, plain.key, plain.stage) == (packed.answer, packed.key, packed.stage)
    one, other = load_clip(plain, 4, 32, spec), load_clip(packed, 4, 32, spec)
    np.testing.assert_array_equal(one, other)
    assert one.shape == (4, 32, 32, 3)
    assert evenly_spaced(6, 4).tolist() == [0, 2, 3, 5]


def test_frames_are_spread_over_the_time_of_a_video_of_variable_rate(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mkv", VARIABLE)
    (tmp_path / "d.jsonl").write_text('{"clip": "v.mkv", "caption": "x"}')
    (video,) = read_samples([tmp_path / "d.jsonl"])
    spec = {"resize": "shortest_edge", "size": 32, "crop": 32}
    levels = load_clip(video, 5, 32, spec).mean(axis=(1, 2, 3))
    seconds = np.linspace(0, VARIABLE[-1], 5)  # 60 frames in the first two seconds, then one each
    shown = [int(np.abs(np.array(VARIABLE) - t).argmin()) for t in seconds]
    np.testing.assert_allclose(levels, [level_of(index) for index in shown], atol=6)


def test_videos_and_images(tmp_path: Path) -> None:
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "v.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for level in range(0, 250, 25):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    cv2.imwrite(str(tmp_path / "i.png"), np.full((40, 40, 3), (0, 0, 200), np.uint8))
    lines = [{"clip": "v.mp4", "caption": "x"}, {"clip": "i.png", "caption": "y"}]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, lines)))
    video, still = read_samples([tmp_path / "d.jsonl"])
    spec = {"resize": "shortest_edge", "size": 32, "crop": 32}
    levels = load_clip(video, 4, 32, spec).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, [0, 75, 150, 225], atol=6)
    assert load_clip(still, 2, 32, spec)[1, 5, 5].tolist() == [200, 0, 0]
    picture = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "i.png"), picture[..., ::-1])
    for chosen in (spec, {}):
        seen = model_input(picture, 32, preprocessing=chosen)
        assert np.array_equal(load_clip(still, 1, 32, chosen)[0], seen), "as a robot sees it"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"clip": "a.npy"}', "line 1: allowed: 'caption', or 'question' and 'answer'"),
        ('{"caption": "x"}', "line 1: not a sample with a 'clip'"),
        ('{"clip": "a.npy", "caption": " "}', "line 1: the caption or answer is empty"),
        ('{"clip": "a.gif", "caption": "x"}', "allowed: .mp4"),
    ],
)
def test_bad_data_is_named(
    line: str, says: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF")
    (tmp_path / "d.jsonl").write_text(line)
    options = arguments(folder, tmp_path / "d.jsonl", tmp_path / "o", 1, 0)
    options[options.index("--batch") + 1] = "1"
    assert main(options) == 1
    assert says in capsys.readouterr().err


def test_impossible_runs_are_named(
    folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, tmp_path / "none.jsonl", tmp_path / "o", 1, 0)) == 1
    assert "no training data at" in capsys.readouterr().err
    options = arguments(folder, data, tmp_path / "o", 1, 0)
    options[options.index("--batch") + 1] = "64"
    assert main(options) == 1
    assert "stage 1 has 12 samples, the global batch is 64" in capsys.readouterr().err
    with pytest.raises(ValueError, match="the global batch 8 is no multiple of 3"):
        DataOrder(12, 8, 0, 1).indices(0, 0, 3)
