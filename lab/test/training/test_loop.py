from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vljepa_lab.training.augmentation import augment
from vljepa_lab.training.batches import prefetched
from vljepa_lab.training.dense import DenseConfig, train_dense
from vljepa_lab.training.loop import (
    Budget,
    RunContext,
    load_checkpoint,
    load_into,
    make_optimizer,
    save_checkpoint,
    set_rate,
)
from vljepa_lab.training.nano import train_nano
from vljepa_lab.training.nano_config import NanoConfig
from vljepa_lab.training.store import SceneStore
from vljepa_ros.models.vl_jepa.nano_config import Architecture, FrameSizes
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA

SMALL = Architecture(frame=FrameSizes(input_size=128, widths=(8, 8), dim=16, heads=2))


def small_store(shards: Path) -> SceneStore:
    import numpy as np

    frames = np.load(shards / "shard_00000.npy")
    np.save(shards / "shard_00000.npy", frames.repeat(4, 2).repeat(4, 3))
    store = SceneStore([shards])
    store.refresh()
    return store


def test_dense_training_learns_resumes_and_ends(shards: Path, tmp_path: Path, capfd) -> None:
    store = small_store(shards)
    torch.manual_seed(0)
    model = VLJEPA(SMALL)
    empty = SceneStore([tmp_path / "none"])
    config = DenseConfig(minutes=0.05, batch=8, warmup=2, save_every=0.01)
    train_dense(model, store, empty, config, RunContext(tmp_path))
    done = load_checkpoint(tmp_path / "dense.pt")
    assert done is not None
    assert done["done"]
    assert not any(m.training for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))

    # As if it had been stopped half-way: it goes on with the rest of its budget.
    parts = {name: _State(state) for name, state in done["parts"].items()}
    save_checkpoint(tmp_path / "dense.pt", parts, 0.03, False)
    again = VLJEPA(SMALL)
    train_dense(again, store, empty, config, RunContext(tmp_path))
    ended = load_checkpoint(tmp_path / "dense.pt")
    assert ended is not None
    assert ended["done"]
    assert ended["spent"] >= 0.05

    # Done: nothing is trained any more, the weights are loaded.
    third = VLJEPA(SMALL)
    train_dense(third, store, empty, config, RunContext(tmp_path))
    for a, b in zip(third.frame.parameters(), again.frame.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class _State:
    def __init__(self, state) -> None:
        self._state = state

    def state_dict(self):
        return self._state


def test_a_checkpoint_is_whole_or_absent(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "phase.pt"
    assert load_checkpoint(file) is None
    layer = torch.nn.Linear(2, 2)
    save_checkpoint(file, {"layer": layer}, 1.5, False)
    other = torch.nn.Linear(2, 2)
    saved = load_checkpoint(file)
    assert saved is not None
    assert (saved["spent"], saved["done"]) == (1.5, False)
    load_into(saved, {"layer": other, "unknown": torch.nn.Linear(1, 1)})
    torch.testing.assert_close(other.weight, layer.weight)
    assert list(file.parent.iterdir()) == [file]
    bigger = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    save_checkpoint(file, {"layer": bigger}, 0, True)
    saved = load_checkpoint(file)
    assert saved is not None
    with pytest.raises(RuntimeError):
        load_into(saved, {"layer": layer}, partial=True)


def test_an_unknown_phase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown phase sleep; allowed: data, text, dense"):
        train_nano(NanoConfig(data=tmp_path, run=tmp_path, phases=("sleep",)))


def test_batches_are_made_ahead_and_errors_reach_the_loop() -> None:
    made = iter(range(3))
    batches = prefetched(lambda: next(made), ahead=2)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(batches)


def test_augmentation_treats_all_frames_of_a_clip_alike_but_one_now_and_then() -> None:
    clips = torch.randint(60, 180, (80, 1, 32, 32, 3), dtype=torch.uint8).expand(-1, 5, -1, -1, -1)
    changed = augment(clips, torch.Generator().manual_seed(1))
    assert changed.shape == clips.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (changed - clips).abs().mean() > 4
    # Only the noise differs from frame to frame, but for one frame of about a quarter of the clips.
    usual = changed.median(dim=1, keepdim=True).values
    off = ((changed - usual).abs().mean((2, 3, 4)) > 8).sum(1)
    assert set(off.tolist()) == {0, 1}
    assert 8 <= (off == 1).sum() <= 32


def test_the_rate_rises_and_falls_and_budgets_count_earlier_runs() -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = make_optimizer([(layer, 0.5)], 1.0)
    rates = []
    for step, share in ((0, 0.0), (9, 0.0), (50, 0.5), (99, 1.0)):
        set_rate(optimizer, 1.0, step, share, warmup=10)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.5, 0.255, 0.01])
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.04, 0.0]
    assert Budget(10, spent_before=5).share == pytest.approx(0.5, abs=0.01)
    assert Budget(10, spent_before=50).share == 1
