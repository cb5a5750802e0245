"""The loss on texts alone: what it pulls together, what it leaves alone, that it teaches."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn.functional import normalize

from vljepa_lab.training.losses import Columns, dense_loss
from vljepa_lab.training.paraphrases import Paraphrases, contrastive_loss, text_ceiling
from vljepa_lab.training.question_sampling import Row
from vljepa_lab.world.records import COLORS, NEVER_TRAINED, SHAPES
from vljepa_ros.models.vl_jepa.nano_config import TextSizes
from vljepa_ros.models.vl_jepa.nano_heads import TextHead

SCALE = torch.tensor(10.0)


class Bags:
    """Stands where the frozen trunk does: a text is the mean of random vectors of its words."""

    def __init__(self, dim: int = 64) -> None:
        self._dim, self._words, self.texts = dim, {}, set()

    def _word(self, word: str) -> torch.Tensor:
        if word not in self._words:
            generator = torch.Generator().manual_seed(sum(map(ord, word)) * 977 + len(word))
            self._words[word] = torch.randn(self._dim, generator=generator)
        return self._words[word]

    def add_answers(self, texts) -> None:
        self.texts |= set(texts)

    def answers(self, texts) -> torch.Tensor:
        rows = [torch.stack([self._word(w) for w in text.split()]).mean(0) for text in texts]
        return normalize(torch.stack(rows), dim=1)


def test_equal_meanings_together_cost_nothing_and_apart_much() -> None:
    meanings = ["door:open"] * 2 + ["door:closed"] * 2
    a, b = torch.eye(4)[0], torch.eye(4)[1]
    good = contrastive_loss(torch.stack([a, a, b, b]), meanings, SCALE)
    bad = contrastive_loss(torch.stack([a, b, a, b]), meanings, SCALE)
    assert float(good) < 0.01
    assert float(bad) > 5


def test_saying_less_is_neither_right_nor_wrong() -> None:
    a, b = torch.eye(4)[0], torch.eye(4)[1]
    vectors = torch.stack([a, a, b, b])  # the second pair says the same as the first, with more
    meanings = ["event:roll"] * 2 + ["event:roll:red ball"] * 2
    near = contrastive_loss(torch.stack([a, a, a, a]), meanings, SCALE)
    far = contrastive_loss(vectors, meanings, SCALE)
    assert float(near) == pytest.approx(float(far), abs=1e-5)


def test_the_loss_teaches_wordings_that_were_not_trained() -> None:
    torch.manual_seed(0)
    table = Bags()
    paraphrases = Paraphrases(table, named=200, noise=0.2, dropped=0)
    head = TextHead(TextSizes(words=10, dim=64, heads=2, head_hidden=64), 64)
    before = text_ceiling(head, table)
    optimizer = torch.optim.Adam(head.parameters(), 2e-3)
    rng, first = random.Random(0), 0.0
    for _ in range(120):
        loss = paraphrases.loss(head, SCALE, rng)
        first = first or float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.8 * first
    after = text_ceiling(head, table)
    assert after["action"] > before["action"]


def test_a_pair_that_was_never_met_is_no_wrong_answer() -> None:
    rows = [
        Row("colour", "what color is the mug?", "blue", "color:blue", (0, -1)),
        Row("colour", "what color is the toy car?", "blue", "color:blue", (0, -1)),
        Row("count", "how many objects are on the table?", "two", "count:2", (-1, -1)),
    ]
    columns = Columns(rows, random.Random(0))
    for row, shape in ((0, "mug"), (1, "toy car")):
        for colour in COLORS:
            at = columns.texts.index(colour)
            assert bool(columns.ignored[row, at]) == ((colour, shape) in NEVER_TRAINED)
    assert not columns.ignored[2, [columns.texts.index(c) for c in COLORS]].any()

    mug, red = 1 + list(SHAPES).index("mug"), 1 + list(COLORS).index("red")
    truth = {
        "shape": torch.tensor([[mug, 0]]),
        "colour": torch.tensor([[1 + list(COLORS).index("blue"), 0]]),
    }
    logits = {
        "shape": torch.zeros(1, 2, 1 + len(SHAPES)),
        "colour": torch.zeros(1, 2, 1 + len(COLORS), requires_grad=True),
    }
    dense_loss(logits, truth)[0].backward()
    gradient = logits["colour"].grad[0, 0]
    assert float(gradient[red]) == 0
    assert (gradient[[c for c in range(9) if c != red]] != 0).all()
    # Where such a pair is the truth (only in tests), it counts as usual.
    truth["colour"] = torch.tensor([[red, 0]])
    logits["colour"] = torch.zeros(1, 2, 1 + len(COLORS))
    logits["colour"][0, 0, red] = 9
    assert dense_loss(logits, truth)[1]["colour"] == 1
