from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402

from vljepa_lab.training.losses import dense_loss, info_nce, locate_loss  # noqa: E402

SCALE = torch.tensor(2.0)


def batch(seed: int, rows: int = 6, columns: int = 5, keys: int = 3):
    generator = torch.Generator().manual_seed(seed)
    predicted = normalize(torch.randn(rows, 8, generator=generator), dim=1)
    answers = normalize(torch.randn(columns, 8, generator=generator), dim=1)
    column_keys = torch.arange(columns) % keys
    row_keys = torch.randint(0, keys, (rows,), generator=generator)
    return predicted, answers, row_keys, column_keys


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30))
def test_order_does_not_matter(seed: int) -> None:
    predicted, answers, rows, columns = batch(seed)
    loss = info_nce(predicted, answers, rows, columns, SCALE)
    r, c = torch.randperm(6), torch.randperm(5)
    shuffled = info_nce(predicted[r], answers[c], rows[r], columns[c], SCALE)
    torch.testing.assert_close(loss, shuffled)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30))
def test_names_of_keys_do_not_matter(seed: int) -> None:
    predicted, answers, rows, columns = batch(seed)
    loss = info_nce(predicted, answers, rows, columns, SCALE)
    torch.testing.assert_close(
        loss, info_nce(predicted, answers, rows * 7 + 1, columns * 7 + 1, SCALE)
    )


def test_one_positive_each_is_plain_info_nce() -> None:
    predicted, answers, _, _ = batch(1, rows=4, columns=4)
    keys = torch.arange(4)
    logits = SCALE.exp() * predicted @ answers.T
    plain = 0.5 * (
        torch.nn.functional.cross_entropy(logits, keys)
        + torch.nn.functional.cross_entropy(logits.T, keys)
    )
    torch.testing.assert_close(info_nce(predicted, answers, keys, keys, SCALE), plain)


def test_a_paraphrase_is_no_negative() -> None:
    answers = normalize(torch.randn(3, 8), dim=1)
    predicted = answers[:1]
    keys = torch.tensor([0])
    apart = info_nce(predicted, answers, keys, torch.tensor([0, 1, 2]), SCALE)
    same = info_nce(predicted, answers, keys, torch.tensor([0, 0, 2]), SCALE)
    assert same < apart
    # With nothing but positives there is nothing to tell apart in the rows' direction.
    only = info_nce(predicted, answers[:1].expand(3, -1), keys, torch.zeros(3).long(), SCALE)
    assert float(only) == pytest.approx(0, abs=1e-5)


def test_ignored_pairs_do_not_count() -> None:
    predicted, answers, rows, columns = batch(3)
    ignored = torch.zeros(6, 5, dtype=torch.bool)
    ignored[:, 4] = columns[4] != rows
    # Where the fifth column is no answer it is ignored, and where it is one it still is.
    rows = torch.where(rows == columns[4], (rows + 1) % 3, rows)
    ignored[:, 4] = True
    with_it = info_nce(predicted, answers, rows, torch.tensor([0, 1, 2, 0, 9]), SCALE, ignored)
    without = info_nce(predicted, answers[:4], rows, torch.tensor([0, 1, 2, 0]), SCALE)
    torch.testing.assert_close(with_it, without)


def test_hard_candidates_of_the_same_kind_weigh_more() -> None:
    predicted, answers, rows, columns = batch(4)
    kind = columns[None] == columns[None].T[:1]
    same_kind = torch.ones(6, 5, dtype=torch.bool)
    full = info_nce(predicted, answers, rows, columns, SCALE, same_kind=same_kind)
    torch.testing.assert_close(full, info_nce(predicted, answers, rows, columns, SCALE))
    nothing_else = info_nce(
        predicted, answers, rows, columns, SCALE, same_kind=torch.zeros_like(same_kind)
    )
    assert nothing_else < full
    assert kind.shape == (1, 5)


def test_slots_are_asked_only_where_there_is_an_answer() -> None:
    where = torch.zeros(3, 2, 65, requires_grad=True)
    nothing = locate_loss(where, torch.full((3, 2), -1))
    assert float(nothing.detach()) == 0
    nothing.backward()
    cells = torch.tensor([[64, -1], [-1, -1], [-1, 3]])
    assert float(locate_loss(where, cells).detach()) == pytest.approx(math.log(65))
    sure = torch.zeros(3, 2, 65)
    sure[0, 0, 64] = sure[2, 1, 3] = 50.0
    assert float(locate_loss(sure, cells)) == pytest.approx(0, abs=1e-6)


def test_empty_cells_weigh_little_and_unknown_ones_nothing() -> None:
    logits = {"shape": torch.zeros(1, 4, 3), "lights": torch.zeros(1, 2)}
    truth = {"shape": torch.tensor([[0, 0, 2, -1]]), "lights": torch.tensor([-1])}
    loss, accuracy = dense_loss(logits, truth)
    assert float(loss) == pytest.approx(math.log(3))
    assert set(accuracy) == {"shape"}
    logits["shape"][0, 3] = torch.tensor([9.0, 0.0, 0.0])
    assert float(dense_loss(logits, truth)[0]) == pytest.approx(math.log(3))
