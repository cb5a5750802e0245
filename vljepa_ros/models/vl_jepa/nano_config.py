"""Sizes of a VL-JEPA's parts, as they stand in `config.json` under `architecture`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vljepa_ros.models.config import from_dict

VisualAttention = Literal["joint", "prefix", "cross"]


@dataclass(frozen=True)
class FrameSizes:
    """Per-frame stage: convolutions down to 1/16 of the input's side, then self-attention.

    Attributes:
        input_size: Side of a frame in pixels.
        widths: Channels at 1/4 and at 1/8 of the input's resolution.
        residual: Residual blocks at each of these two.
        dim: Width of the tokens at 1/16.
        depth: Self-attention blocks on the tokens.
    """

    input_size: int = 128
    widths: tuple[int, int] = (32, 64)
    residual: tuple[int, int] = (0, 1)
    dim: int = 128
    depth: int = 1
    heads: int = 4

    @property
    def grid(self) -> int:
        """Cells along one side; the frame has grid * grid tokens."""
        return self.input_size // 16


@dataclass(frozen=True)
class WindowSizes:
    """Window stage: `frames` frames merged cell by cell, then `depth` self-attention blocks."""

    frames: int = 4
    dim: int = 128
    depth: int = 2
    heads: int = 4


@dataclass(frozen=True)
class TextSizes:
    """Frozen text trunk (a BERT-style encoder) and the trained head of the Y-Encoder."""

    words: int = 12000
    positions: int = 64
    dim: int = 384
    depth: int = 6
    heads: int = 12
    hidden: int = 1536
    head_hidden: int = 512


@dataclass(frozen=True)
class PredictorSizes:
    """Predictor.

    Attributes:
        visual_attention: `joint` (as in the paper), `prefix` or `cross`, see `Predictor`.
        slots: Object slots, 0: none.
        positions: Most tokens of a query.
    """

    dim: int = 128
    depth: int = 3
    heads: int = 4
    expansion: int = 3
    visual_attention: VisualAttention = "cross"
    slots: int = 2
    positions: int = 72


@dataclass(frozen=True)
class YDecoderSizes:
    """Y-Decoder: a causal transformer over `words`; `prefix` positions come from the embedding."""

    words: int = 512
    dim: int = 192
    depth: int = 3
    heads: int = 6
    prefix: int = 4
    positions: int = 40


@dataclass(frozen=True)
class Architecture:
    """All sizes of one VL-JEPA; `dim` is the width of the shared space."""

    dim: int = 256
    frame: FrameSizes = FrameSizes()
    window: WindowSizes = WindowSizes()
    text: TextSizes = TextSizes()
    predictor: PredictorSizes = PredictorSizes()
    y_decoder: YDecoderSizes = YDecoderSizes()

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for `config.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Architecture:
        """Read what `to_dict` wrote.

        Raises:
            ModelError: An unknown or malformed field; the message names what is allowed.
        """
        return from_dict(cls, raw, "architecture")
