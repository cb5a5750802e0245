"""Shards: what they hold, and that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from vljepa_lab.world import dataset
from vljepa_lab.world.dataset import (
    Plan,
    generate,
    open_shards,
    shard_paths,
    texture_seed,
    write_shard,
)
from vljepa_lab.world.records import SPLITS, Record


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    plan = Plan("val", 3, tmp_path_factory.mktemp("data"), size=32, shard=2, frames=6)
    generate(plan)
    return plan, plan.out


def test_shards_hold_frames_and_records(made: tuple[Plan, Path]) -> None:
    shards = list(open_shards(made[1]))
    assert [a.shape for a, _ in shards] == [(2, 6, 32, 32, 3), (1, 6, 32, 32, 3)]
    for array, records in shards:
        assert array.dtype == np.uint8
        assert array.std() > 5
        for r in records:
            assert len(r["states"]) == len(r["stamps"]) == 6
            assert np.diff(r["stamps"]) == pytest.approx([0.5] * 5, abs=1e-3)
            assert 0 <= r["stamps"][0] < 0.5
            assert Record.from_dict(r).states[2].stamp == r["stamps"][2]
    assert [r["seed"] for _, records in shards for r in records] == [0, 1, 2]


def test_a_finished_shard_is_left_alone_and_a_lost_one_made_again_alike(
    made: tuple[Plan, Path],
) -> None:
    plan, out = made
    first, second = shard_paths(out, 0), shard_paths(out, 1)
    kept = first[0].stat().st_mtime_ns
    before = second[0].read_bytes(), second[1].read_text()
    second[0].unlink()
    generate(plan)
    assert first[0].stat().st_mtime_ns == kept
    assert (second[0].read_bytes(), second[1].read_text()) == before
    assert not list(out.glob("*.tmp"))


def test_an_interrupted_shard_does_not_count_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("train", 2, tmp_path, size=32, shard=2, frames=2)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as m:
        m.setattr(np, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            generate(plan)
    assert list(open_shards(tmp_path)) == []
    generate(plan)
    assert len(list(open_shards(tmp_path))) == 1


def test_no_two_splits_share_textures_and_a_training_set_has_many() -> None:
    sets = {split: {texture_seed(split, i) for i in range(5000)} for split in SPLITS}
    assert len(set.union(*sets.values())) == sum(len(s) for s in sets.values())
    assert len(sets["train"]) >= 60


def test_the_command_makes_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = dataset.main(
        ["--split", "test_b", "--scenes", "1", "--out", str(tmp_path), "--size", "16"]
    )
    assert code == 0
    assert "1/1 scenes to make" in capsys.readouterr().err
    line = json.loads((tmp_path / "shard_00000.jsonl").read_text())
    assert line["split"] == "test_b"
    with pytest.raises(SystemExit):
        dataset.main(["--split", "test_b", "--scenes", "0", "--out", str(tmp_path)])


def test_a_renderer_that_crashes_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan("train", 2, tmp_path, size=32, shard=1, frames=2)
    asked: list[int] = []

    def crash_once(plan: Plan, jobs: list[tuple[int, int]], *_: object) -> None:
        asked.append(len(jobs))
        write_shard(plan, *jobs[0])
        if len(asked) == 1:
            raise BrokenProcessPool("a worker died")

    monkeypatch.setattr(dataset, "_in_processes", crash_once)
    assert generate(plan, workers=2)
    assert asked == [2, 1]  # what was finished before the crash is not made again
    assert "a renderer crashed, going on" in capsys.readouterr().err

    def always(*_: object) -> None:
        raise BrokenProcessPool("a worker died")

    shard_paths(tmp_path, 0)[0].unlink()
    monkeypatch.setattr(dataset, "_in_processes", always)
    with pytest.raises(BrokenProcessPool):
        generate(plan, workers=2)


def test_no_shard_is_begun_after_the_deadline(tmp_path: Path) -> None:
    plan = Plan("train", 2, tmp_path, size=32, shard=1, frames=2)
    for workers in (1, 2):
        assert not generate(plan, workers, until=time.monotonic())
    assert not list(tmp_path.iterdir())
    assert generate(plan, until=time.monotonic() + 3600)


def test_furnished_scenes_have_their_own_seeds(tmp_path: Path) -> None:
    plan = Plan("train", 2, tmp_path, size=32, shard=2, frames=2, first=100_000, furnished=True)
    assert generate(plan)
    ((_, records),) = open_shards(tmp_path)
    assert [r["seed"] for r in records] == [100_000, 100_001]
    assert {r["textures"] for r in records} == {2000}
