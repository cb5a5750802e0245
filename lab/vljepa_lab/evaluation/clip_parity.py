"""How near a faster engine's embeddings of real clips are to fp32's, and whether that is enough to
ship it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.models.config import ModelError

LEAST_CLIPS = 256
GREATEST_ERROR = 0.02
LEAST_AGREEMENT = 0.99
_BATCH = 16

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ClipParity:
    """Over `clips` clips and every prompt of the vocabulary.

    error: mean distance of an embedding to fp32's own, as a share of the median distance between
    two clips: what the change takes away from telling clips apart. worst: the greatest of them.
    agreement: share of clips and prompts whose best label is the same. cosine: the least.
    """

    clips: int
    error: float
    worst: float
    agreement: float
    cosine: float

    @property
    def passed(self) -> bool:
        """Whether it may stand in for fp32."""
        enough = self.clips >= LEAST_CLIPS
        return enough and self.error <= GREATEST_ERROR and self.agreement >= LEAST_AGREEMENT

    def as_json(self) -> dict[str, Any]:
        """Plain types."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.clips} clips: error {self.error:.4f} of the median distance between clips "
            f"(worst {self.worst:.4f}), best label equal in {self.agreement:.2%}, "
            f"least cosine {self.cosine:.5f}"
        )


def gate_clips(parity: ClipParity, what: str) -> None:
    """:raises ModelError: it is not near enough, or was measured on too few clips."""
    if not parity.passed:
        raise ModelError(
            f"{what} is refused, fp32 ships: {parity}; allowed: at least {LEAST_CLIPS} clips, "
            f"error at most {GREATEST_ERROR}, best label equal in at least {LEAST_AGREEMENT:.0%}"
        )


def embed_clips(
    engine: Engine,
    frames: NDArray[np.uint8],
    prompts: Sequence[str],
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Vectors]:
    """Embeddings [N, D] of clips [N, T, S, S, 3] for each prompt."""
    found: dict[str, list[Vectors]] = {prompt: [] for prompt in prompts}
    stamps = tuple(range(frames.shape[1]))
    for start in range(0, len(frames), _BATCH):
        clips = [Clip(np.ascontiguousarray(one), stamps) for one in frames[start : start + _BATCH]]
        tokens = [e.tokens for e in engine.encode(clips, [None] * len(clips))]
        for prompt in prompts:
            found[prompt].append(engine.embed(tokens, prompt))
        progress(start + len(clips))
    return {prompt: np.concatenate(rows) for prompt, rows in found.items()}


def measure_clips(
    reference: Mapping[str, Vectors], other: Mapping[str, Vectors], labels: Mapping[str, Vectors]
) -> ClipParity:
    """Compare two engines.

    :param reference: fp32's embeddings by prompt, see `embed_clips`. :param other: the engine's.
    :param labels: embeddings [labels, D] by prompt; prompts without labels count for the error
        only.
    :raises ModelError: fewer than two clips: nothing to compare a distance with.
    """
    errors, same, cosines = [], [], []
    for prompt, own in reference.items():
        if len(own) < 2:
            raise ModelError(f"{len(own)} clips, allowed: 2 or more")
        away = np.linalg.norm(other[prompt] - own, axis=1)
        squares = np.maximum(0.0, 2.0 - 2.0 * (own @ own.T))  # all are of norm 1
        between = float(np.sqrt(np.median(squares[np.triu_indices(len(own), 1)])))
        errors.append(away / max(between, 1e-12))
        cosines.append((other[prompt] * own).sum(axis=1))
        if prompt in labels and len(labels[prompt]) > 1:
            texts = labels[prompt]
            same.append((other[prompt] @ texts.T).argmax(1) == (own @ texts.T).argmax(1))
    every = np.concatenate(errors)
    agreement = float(np.concatenate(same).mean()) if same else 1.0
    return ClipParity(
        len(next(iter(reference.values()))),
        float(every.mean()),
        float(every.max()),
        agreement,
        float(np.concatenate(cosines).min()),
    )
