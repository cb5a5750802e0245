"""Turns the similarities of a set of candidates into probabilities of each and of none of them.

The calibrator uses the set, never the question: top similarity, margin to the second and the
logarithm of the number of candidates. Two quadratic functions of these give an inverse temperature
and the probability that none of the candidates is right:

    p_none = sigmoid(none . f),  p_i = (1 - p_none) softmax_i(exp(scale . f) s_i)

so that the order of the candidates is that of their similarities. f is `features`. The weights are
in the model folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vljepa_ros.models.config import Calibration, ModelConfig
from vljepa_ros.models.tokenizer import known_words, load_tokenizer

FEATURES = 10
FAMILIAR = 0.8
"""Cosine with the nearest known text from which a text counts as familiar."""
MAX_CANDIDATES = 500
"""Largest set when the weights were fitted; larger sets are treated as if they had this size."""
_MIN_LOG_SCALE, _MAX_LOG_SCALE = -2.0, 6.0
"""Inverse temperatures of 0.14 to 400: beyond them the softmax is flat, or a step."""


@dataclass(frozen=True)
class EncodedText:
    """A text or taught label, ready to be compared with embeddings.

    Attributes:
        vector: [D] float32, L2 norm 1.
        calibration: calibration for this text alone.
        scene: [D] float32, L2 norm 1, mean direction of the scene of a taught label; None: no
            restriction.
        least: dot product with `scene` below which an embedding shows another scene, so that the
            probability is 0.
    """

    vector: NDArray[np.float32]
    calibration: Calibration
    scene: NDArray[np.float32] | None = None
    least: float = 0.0

    def score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities [...] that it fits embeddings [..., D] of L2 norm 1."""
        found = independent_probabilities(embeddings @ self.vector, self.calibration)
        return found if self.scene is None else found * (embeddings @ self.scene >= self.least)


@dataclass(frozen=True)
class EncodedTexts:
    """Texts that can be compared with embeddings of one model.

    Attributes:
        model_id: Name and weights hash of the model; empty: not known.
        texts: Text -> itself, encoded.
    """

    model_id: str = ""
    texts: Mapping[str, EncodedText] = field(default_factory=dict)


NO_TEXTS = EncodedTexts()


def features(similarities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Features of at least two similarities: [FEATURES] float64.

    1, top, margin, log N / log MAX_CANDIDATES and their products.
    """
    second, top = np.partition(np.asarray(similarities, np.float64), -2)[-2:]
    margin = top - second
    size = math.log(min(len(similarities), MAX_CANDIDATES)) / math.log(MAX_CANDIDATES)
    seen = np.array([1.0, top, margin, size])
    products = seen[[1, 2, 3, 1, 1, 2]] * seen[[1, 2, 3, 2, 3, 3]]
    return np.concatenate([seen, products])


def independent_probabilities(
    similarities: NDArray[np.floating] | float, calibration: Calibration
) -> NDArray[np.float64]:
    """Probability that a text fits, each against none, from its cosine [...]; 0..1.

    The formula of `Calibration` for one text. 0 for a model that cannot judge presence: there is
    nothing to compare with.
    """
    cosines = np.asarray(similarities, np.float64)
    if not calibration.judges_presence:
        return np.zeros_like(cosines)
    return sigmoid(calibration.logit_scale * (cosines - calibration.none_similarity))


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) of [...], without overflow."""
    power = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0.0, 1.0, power) / (1.0 + power), np.float64)


def calibration_for(
    config: ModelConfig, text: str, vector: NDArray[np.float32] | None = None
) -> Calibration:
    """The calibration for one text alone, stricter for texts that are unfamiliar to a model.

    The embedding of nonsense, or of English about another world, is arbitrary, and close to some of
    many rows. The tokenizer and the model's known texts recognise such texts. Families without a
    WordPiece tokenizer use the model's calibration unchanged.

    Args:
        config: Configuration of the model.
        text: The text.
        vector: Its embedding, [D] float32 of norm 1; None: do not compare with known texts.
    """
    scores = config.calibration
    none = scores.none_similarity
    if scores.unknown_words:
        unknown = 1.0 - known_words(_tokenizer(config.path("tokenizer")), text)
        none += unknown * scores.unknown_words
    if scores.unfamiliar and vector is not None:
        nearest = float((_embeddings(config.path("known_embeddings")) @ vector).max())
        none += max(0.0, FAMILIAR - nearest) * scores.unfamiliar
    return replace(scores, none_similarity=none)


_tokenizer = lru_cache(maxsize=4)(load_tokenizer)


@lru_cache(maxsize=4)
def _embeddings(file: Path) -> NDArray[np.float32]:
    return load_file(file)["embeddings"].astype(np.float32)


def probabilities(
    similarities: NDArray[np.floating], calibration: Calibration
) -> tuple[NDArray[np.float64], float]:
    """Probability of each candidate [N] and of none of them, which add up to 1.

    A single candidate, and a model without fitted weights, follow the simpler formula of
    `Calibration`. A model that cannot judge presence always chooses: none has probability 0.

    Args:
        similarities: [N] cosines of different candidates with the predicted answer, N > 0.
        calibration: Of the model, or of a text alone.
    """
    values = np.asarray(similarities, np.float64)
    if len(values) < 2 or not calibration.scale_weights:
        logits = calibration.logit_scale * values
        none = calibration.logit_scale * calibration.none_similarity
        if not calibration.judges_presence:
            none = -math.inf
        top = max(none, float(logits.max()))
        weights = np.exp(logits - top)
        total = float(np.exp(none - top) + weights.sum())
        return weights / total, float(np.exp(none - top)) / total
    seen = features(values)
    log_scale = float(np.dot(calibration.scale_weights, seen))
    scale = math.exp(min(max(log_scale, _MIN_LOG_SCALE), _MAX_LOG_SCALE))
    weights = np.exp(scale * (values - values.max()))
    none = 1.0 / (1.0 + math.exp(-min(max(float(np.dot(calibration.none_weights, seen)), -40), 40)))
    return (1.0 - none) * weights / weights.sum(), none
