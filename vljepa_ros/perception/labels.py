"""From similarities to calibrated scores: a softmax within each exclusive group, with room for
none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.vocabulary import Group


@dataclass(frozen=True)
class EncodedGroup:
    """A group and its labels' embeddings, [labels, D] float32, L2 norm 1."""

    group: Group
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class ScoredGroup:
    """One group, best label first.

    scores: [labels] float32, calibrated, 0..1, sum at most 1. similarities: [labels] float32,
    cosine.
    """

    prompt: str
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    similarities: NDArray[np.float32]


def calibrated(similarities: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Probabilities of the members of an exclusive group, see `vljepa_ros.models.calibration`.

    :param similarities: [N] float32, cosine.
    :return: [N] float32, 0..1; what is missing to 1 is the probability of none of them.
    """
    return probabilities(similarities, calibration)[0].astype(np.float32)


def score_group(
    embedding: NDArray[np.float32], encoded: EncodedGroup, calibration: Calibration
) -> ScoredGroup:
    """Compare a clip's answer to the group's prompt with each label.

    :param embedding: [D] float32, L2 norm 1.
    """
    similarities = encoded.embeddings @ embedding
    order = np.argsort(-similarities, kind="stable")
    return ScoredGroup(
        encoded.group.prompt,
        tuple(encoded.group.labels[i] for i in order),
        calibrated(similarities, calibration)[order],
        similarities[order],
    )
