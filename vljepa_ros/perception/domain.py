"""Recognises pictures that are far from those that the model was made for.

A model folder may describe its domain: a small network, fitted by `vljepa train domain`, that
scores each clip from its visual tokens. A camera leaves the domain when its clips have scored low
for a while, and returns in the same way; a single clip decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vljepa_ros.models.config import ModelConfig, ModelError

Floats = NDArray[np.float32]

PART = "domain"
"""Its name in the files of a model folder."""
MEMORY_S = 2.0  # time constant of the evidence
MOST = 4.0  # scores are clipped to this, so that a single clip has little weight
LEAVE, ENTER = -0.5, 0.5  # evidence at which a camera leaves the domain, and comes back
AT_FIRST = 1.0  # evidence before the first clip
LEAST_SPAN_S = 1.0  # a clip counts for at most its length, or this if that is longer


@dataclass(frozen=True)
class Domain:
    """The domain of a model, as a network on a clip's visual tokens.

    Attributes:
        cell: [D, K] and [K] of the first layer, the same for each token.
        hidden: [N * K, H] and [H] of the second layer, which depends on the position of tokens.
        out: [H] and [1] of the last layer.
    """

    cell: tuple[Floats, Floats]
    hidden: tuple[Floats, Floats]
    out: tuple[Floats, Floats]

    @classmethod
    def load(cls, config: ModelConfig) -> Domain | None:
        """Read the description in a model folder; None: it has none.

        Raises:
            ModelError: It cannot be read, or its layers do not match.
        """
        if PART not in config.files:
            return None
        file = config.path(PART)
        try:
            return cls.of(load_file(str(file)))
        except Exception as error:  # safetensors raises its own kinds
            raise ModelError(f"'{file}' does not describe a domain: {error!r}") from error

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Domain:
        """Make it from the arrays `<layer>.weight` and `<layer>.bias`.

        Raises:
            KeyError: An array is missing.
            ValueError: Their shapes do not match.
        """
        layers = []
        for name in ("cell", "hidden", "out"):
            weight, bias = (arrays[f"{name}.{kind}"].astype(np.float32) for kind in _KINDS)
            if weight.ndim != 2 or bias.shape != weight.shape[1:]:
                raise ValueError(f"{name} has weight {weight.shape} and bias {bias.shape}")
            layers.append((weight, bias))
        cell, hidden, out = layers
        widths = cell[0].shape[1], hidden[0].shape
        if widths[1][0] % widths[0] or out[0].shape != (widths[1][1], 1):
            raise ValueError(f"layers of {widths[0]}, {widths[1]} and {out[0].shape}")
        return cls(cell, hidden, out)

    def score(self, tokens: Floats) -> float:
        """Logarithm of the odds that a clip belongs to the domain.

        Args:
            tokens: [N, D] float32, of `Engine.encode`.
        """
        x = np.maximum(tokens @ self.cell[0] + self.cell[1], 0).reshape(-1)
        x = np.maximum(x @ self.hidden[0] + self.hidden[1], 0)
        return float((x @ self.out[0])[0] + self.out[1][0])


_KINDS = ("weight", "bias")


class DomainWatch:
    """Accumulates the scores of one camera's clips.

    Attributes:
        in_domain: False if the pictures have been far from the domain for a while.
    """

    def __init__(self) -> None:
        self.in_domain = True
        self._evidence = AT_FIRST
        self._stamp: int | None = None

    def observe(self, stamps: tuple[int, ...], score: float) -> bool:
        """Add the score of a clip with these stamps, nanoseconds, and update `in_domain`.

        NaN changes nothing.
        """
        if math.isnan(score):
            return self.in_domain
        most = max(LEAST_SPAN_S, (stamps[-1] - stamps[0]) / 1e9)
        since = math.inf if self._stamp is None else (stamps[-1] - self._stamp) / 1e9
        self._stamp = stamps[-1]
        share = -math.expm1(-min(max(since, 0.0), most) / MEMORY_S)
        self._evidence += share * (min(max(score, -MOST), MOST) - self._evidence)
        self.in_domain = self._evidence > (LEAVE if self.in_domain else ENTER)
        return self.in_domain


def out_of_domain(config: ModelConfig) -> str:
    """Message about pictures out of a model's domain, with a remedy."""
    other = "" if config.name == "everyday" else "model:=everyday for real pictures, or "
    return (
        f"the pictures are far from those that model '{config.name}' was made for "
        f"({config.domain or 'not stated'}): its results mean nothing for them; use {other}"
        "another one of `vljepa models`"
    )
