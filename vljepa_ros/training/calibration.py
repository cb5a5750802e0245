"""Phase 5: similarities to probabilities, fitted on validation questions by negative
log-likelihood.

Random sets of candidates, of which a third lack the right answer. Needs torch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from vljepa_ros.models.config import Calibration
from vljepa_ros.models.vl_jepa.text import DecoderWords
from vljepa_ros.models.vl_jepa.vl_jepa import VLJEPA
from vljepa_ros.training.asking import canonical_text
from vljepa_ros.training.decoder import decode_greedily
from vljepa_ros.training.pairs import Pair
from vljepa_ros.training.texts import TextTable

__all__ = ["calibrate", "fit_calibration"]

_MOST = 40


def fit_calibration(similarities: Sequence[Tensor], right: Sequence[int]) -> tuple[float, float]:
    """logit_scale and none_similarity for p_i = exp(a s_i) / (exp(a n) + sum_j exp(a s_j)).

    similarities: of one question's candidates each; right: index of the true one, or -1 for none of
    them.
    """
    longest = max(len(row) for row in similarities)
    padded = torch.full((len(similarities), longest), -1e3)
    for index, row in enumerate(similarities):
        padded[index, : len(row)] = row
    target = torch.tensor([longest if r < 0 else r for r in right])
    log_scale = torch.tensor(3.0, requires_grad=True)
    none = torch.tensor(0.4, requires_grad=True)
    optimizer = torch.optim.Adam([log_scale, none], lr=0.03)
    for _ in range(400):
        scale = log_scale.exp()
        logits = torch.cat([scale * padded, (scale * none).expand(len(padded), 1)], 1)
        loss = torch.nn.functional.cross_entropy(logits, target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return float(log_scale.detach().exp()), float(none.detach())


def _threshold(
    confidence: Sequence[float], decoded: Sequence[bool], nearest: Sequence[bool]
) -> float:
    """Confidence from which the decoder's text is right more often than the nearest known text."""
    best, best_right = 0.0, -1
    for threshold in [i / 20 for i in range(20)]:
        right = sum(
            d if c >= threshold else n for c, d, n in zip(confidence, decoded, nearest, strict=True)
        )
        if right > best_right:
            best, best_right = threshold, right
    return best


def calibrate(
    model: VLJEPA,
    table: TextTable,
    pairs: Sequence[Pair],
    words: DecoderWords,
    keys: Sequence[str],
    seed: int = 0,
) -> Calibration:
    """Fit on validation pairs. keys: of the known texts."""
    rng = random.Random(seed)
    similarities, right = [], []
    texts = sorted({c for p in pairs for c in p.question.candidates})
    with torch.no_grad():
        vectors = dict(zip(texts, model.text_head(table.answers(texts)), strict=True))
    for pair in pairs:
        question = pair.question
        options = list(zip(question.candidates, question.keys, strict=True))
        others = [o for o in options if o[1] != question.key]
        if not others:
            continue
        # Mostly as many as a caller would give; none of them right in a third of the larger sets.
        others = rng.sample(others, min(len(others), rng.randint(1, _MOST)))
        present = len(others) == 1 or rng.random() < 2 / 3
        chosen = [(question.answer, question.key), *others] if present else others
        similarities.append(torch.stack([vectors[text] for text, _ in chosen]) @ pair.predicted)
        right.append(0 if present else -1)
    scale, none = fit_calibration(similarities, right)
    events = [p for p in pairs if p.question.task in ("event", "action")]
    embeddings = torch.stack([p.predicted for p in events])
    written = decode_greedily(model, words, embeddings)
    known = [canonical_text(key) for key in keys]
    with torch.no_grad():
        nearest = (embeddings @ model.text_head(table.answers(known)).T).argmax(1).tolist()
    goals = [words.text(words.ids(canonical_text(p.question.key))) for p in events]
    above = _threshold(
        [confidence for _, confidence in written],
        [text == goal for (text, _), goal in zip(written, goals, strict=True)],
        [keys[index] == p.question.key for index, p in zip(nearest, events, strict=True)],
    )
    return Calibration(round(scale, 3), round(none, 4), 0.0, above)
