"""Similarities to probabilities, fitted on validation questions by negative log-likelihood.

On random sets of candidates (`CandidateSets`) and on the questions' own whole sets; the form of
the calibrator stands in `vljepa_ros.models.calibration`. Needs torch.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa_lab.training.decoder import decode_greedily
from vljepa_lab.training.predictions import Pair
from vljepa_lab.training.question_sampling import CandidateSets, canonical_text
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.questions import Question
from vljepa_ros.models.calibration import FEATURES, features
from vljepa_ros.models.config import Calibration
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords

UNKNOWN_WORDS = 0.15
UNFAMILIAR = 1.5
"""With it, random letters never scored above .5 and other languages 2% of the times, against 18%
without; texts of known words keep their scores. Measured by lab/bench/bench_find.py."""
ABSTAIN_BELOW = 0.5
"""An answer that is more likely wrong than right is withheld."""
_SETS_PER_TASK = 1000
_WHOLE = 0.25
_KEPT = 100
_STEPS = 200


@dataclass(frozen=True)
class ScoredSet:
    """A set of candidates beside the predicted answer.

    Attributes:
        similarities: [N], of the candidates with it.
        right: index of the true one, -1 where it is missing.
    """

    similarities: NDArray[np.float32]
    right: int


def draw_scored(
    predictions: Sequence[tuple[Question, NDArray[np.float32]]],
    encode: Callable[[list[str]], NDArray[np.float32]],
    seed: int = 0,
    per_task: int = _SETS_PER_TASK,
) -> list[ScoredSet]:
    """Sets of candidates with their similarities, equally many of each task.

    "nothing" is not asked for where something could be held or moved: it would be most of both.

    Args:
        predictions: questions with the embedding [D] that the Predictor answered with.
        encode: texts to [N, D] embeddings of norm 1.
        seed: of the draws.
        per_task: sets of each task.
    """
    rng = random.Random(seed)
    sets = CandidateSets(question for question, _ in predictions)
    by_task: defaultdict[str, list[int]] = defaultdict(list)
    for index, (question, _) in enumerate(predictions):
        if question.key != "none":
            by_task[question.task].append(index)
    drawn: list[tuple[int, tuple[str, ...], int]] = []
    for task in sorted(by_task):
        for _ in range(per_task):
            index = rng.choice(by_task[task])
            question = predictions[index][0]
            if rng.random() < _WHOLE and len(question.candidates) > 1:
                place = question.keys.index(question.key)
                drawn.append((index, question.candidates, place))
            elif (drawn_set := sets.draw(question, rng)) is not None:
                drawn.append((index, drawn_set.texts, drawn_set.right))
    texts = list(dict.fromkeys(text for _, some, _ in drawn for text in some))
    vectors = encode(texts)
    place_of = {text: place for place, text in enumerate(texts)}
    return [
        ScoredSet(vectors[[place_of[text] for text in some]] @ predictions[index][1], right)
        for index, some, right in drawn
    ]


def fit_calibration(sets: Sequence[ScoredSet]) -> Calibration:
    """The calibration under which what was right in `sets` is most likely.

    Raises:
        ValueError: no sets.
    """
    if not sets:
        raise ValueError("a calibration cannot be fitted to no sets of candidates")
    inputs = torch.from_numpy(np.stack([features(s.similarities) for s in sets])).float()
    rows = np.full((len(sets), _KEPT), -9.0, np.float32)
    target = np.full(len(sets), _KEPT)
    for index, scored in enumerate(sets):
        # the best ones are all that counts; the right one among them always
        order = np.argsort(-scored.similarities, kind="stable")[:_KEPT]
        if scored.right >= 0 and scored.right not in order:
            order[-1] = scored.right
        rows[index, : len(order)] = scored.similarities[order]
        if scored.right >= 0:
            target[index] = int(np.flatnonzero(order == scored.right)[0])
    return _fit_weights(inputs, torch.from_numpy(rows), torch.from_numpy(target))


def _minimise(parameters: list[Tensor], loss: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def _fit_single(rows: Tensor, target: Tensor) -> Calibration:
    """One scale and one similarity of `none`, for single texts."""
    log_scale = torch.tensor(3.0, requires_grad=True)
    none = torch.tensor(0.4, requires_grad=True)

    def loss() -> Tensor:
        scale = log_scale.exp()
        logits = torch.cat([scale * rows, (scale * none).expand(len(rows), 1)], 1)
        return torch.nn.functional.cross_entropy(logits, target)

    _minimise([log_scale, none], loss)
    return Calibration(
        round(float(log_scale.detach().exp()), 3),
        round(float(none.detach()), 4),
        abstain_below=ABSTAIN_BELOW,
        unknown_words=UNKNOWN_WORDS,
        unfamiliar=UNFAMILIAR,
    )


def _fit_weights(inputs: Tensor, rows: Tensor, target: Tensor) -> Calibration:
    """The same, and the weights of the features [sets, FEATURES] of each set."""
    single = _fit_single(rows, target)
    weights = torch.zeros(2, FEATURES)
    weights[0, 0] = float(np.log(single.logit_scale))
    weights.requires_grad_(True)

    def loss() -> Tensor:
        log_scale, none = (inputs @ weights.T).unbind(1)
        chosen = torch.log_softmax(log_scale.clamp(-2, 6).exp()[:, None] * rows, 1)
        absent = torch.nn.functional.logsigmoid(none)[:, None]
        present = torch.nn.functional.logsigmoid(-none)[:, None]
        likelihood = torch.cat([chosen + present, absent], 1)
        return torch.nn.functional.nll_loss(likelihood, target) + 1e-5 * (weights**2).sum()

    _minimise([weights], loss)
    scale_weights, none_weights = weights.detach().tolist()
    return replace(
        single,
        scale_weights=tuple(round(value, 4) for value in scale_weights),
        none_weights=tuple(round(value, 4) for value in none_weights),
    )


def _threshold(
    confidence: Sequence[float], decoded: Sequence[bool], nearest: Sequence[bool]
) -> float:
    """Confidence from which the decoder's text is right more often than the nearest known text."""
    rows = list(zip(confidence, decoded, nearest, strict=True))
    return max(
        (step / 20 for step in range(20)),
        key=lambda threshold: sum(d if c >= threshold else n for c, d, n in rows),
    )


def calibrate(
    model: VLJEPA,
    table: TextTable,
    pairs: Sequence[Pair],
    words: DecoderWords,
    keys: Sequence[str],
    seed: int = 0,
    per_task: int = _SETS_PER_TASK,
) -> Calibration:
    """Fit on validation pairs. keys: of the known texts; per_task: sets of candidates drawn."""

    @torch.no_grad()
    def encode(texts: list[str]) -> NDArray[np.float32]:
        return np.asarray(model.text_head(table.answers(texts)).cpu())

    predictions = [(pair.question, pair.predicted.cpu().numpy()) for pair in pairs]
    fitted = fit_calibration(draw_scored(predictions, encode, seed, per_task))
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
    return replace(fitted, decode_above=above)
