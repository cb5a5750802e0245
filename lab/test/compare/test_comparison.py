"""What the model is compared with: heads trained on the same batches."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from tiny_scenes import HELD_OUT, TRAINED, scene, write_split

from vljepa_lab.compare.blind import train_blind
from vljepa_lab.compare.comparison import compare, main, table_of
from vljepa_lab.compare.heads import GeneratingHead, GeneratingSizes, Setting
from vljepa_ros.resources import model_dir

SMALL = GeneratingSizes(dim=16, depth=2, heads=2, answer=6)


def test_writing_with_kept_keys_is_what_teacher_forcing_says():
    torch.manual_seed(0)
    head = GeneratingHead(SMALL, visual_dim=8, query_dim=12, words=9).eval()
    visual, query = torch.randn(3, 5, 8), torch.randn(3, 4, 12)
    written = head.write(visual, query)
    assert all(len(ids) == len(written[0]) <= SMALL.answer for ids in written)
    ids = torch.tensor(written)
    logits = head(visual, query, torch.ones(3, 4), ids)
    for row, best in zip(written, logits.argmax(-1).tolist(), strict=True):
        end = row.index(1) + 1 if 1 in row else len(row)
        assert row[:end] == best[:end]


def test_an_answer_does_not_see_what_follows_nor_padding():
    torch.manual_seed(0)
    head = GeneratingHead(SMALL, visual_dim=8, query_dim=12, words=9).eval()
    visual, query = torch.randn(1, 5, 8), torch.randn(1, 4, 12)
    short, long = torch.tensor([[3, 4, 1]]), torch.tensor([[3, 4, 7, 8, 1]])
    one = head(visual, query, torch.ones(1, 4), short)
    more = head(visual, query, torch.ones(1, 4), long)
    assert torch.allclose(one[:, :3], more[:, :3], atol=1e-5)
    padded = torch.cat([query, torch.randn(1, 3, 12)], 1)
    valid = torch.tensor([[1.0, 1, 1, 1, 0, 0, 0]])
    assert torch.allclose(head(visual, padded, valid, short), one, atol=1e-5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_split(folder / "train", [scene("train", TRAINED, 3)], 128)
    write_split(folder / "test_a", [scene("test_a", TRAINED, 1)], 128)
    write_split(folder / "test_b", [scene("test_b", HELD_OUT, 2)], 128)
    return folder


def test_all_heads_are_judged_on_the_same_questions(data: Path):
    setting = Setting(steps=1, clips=1, questions=2)
    result = compare(model_dir("nano"), data, 1, 1, setting, True, ("door", "colour"))
    heads = result["heads"]
    assert set(heads) == {
        "VL-JEPA",
        "VL-JEPA with object slots",
        "writing head",
        "VL-JEPA, prefix",
        "VL-JEPA, joint",
    }
    ratio = heads["writing head"]["parameters"] / heads["VL-JEPA"]["parameters"]
    assert 2.0 <= ratio < 2.4
    tasks = {tuple(row["tasks"]) for row in heads.values()}
    assert len(tasks) == 1
    for row in heads.values():
        assert 0 <= row["macro_vqa"] <= 1
        assert row["ms_per_answer"] > 0
    assert table_of(result).count("\n| VL-JEPA") == 4


def test_missing_scenes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--data", str(tmp_path), "--save", str(tmp_path / "c.json")]) == 1
    assert "no scenes" in capsys.readouterr().err


def test_the_blind_predictor_is_judged_for_each_task(data: Path):
    setting = Setting(steps=1, clips=1, questions=2)
    found = train_blind(model_dir("nano"), data, 1, 1, setting, ("door", "held_out_pairs"))
    assert set(found["tasks"]) == {"door", "held_out_pairs"}
    assert all(0 <= value <= 1 for value in found["tasks"].values())
    assert found["n"]["door"] > 0
