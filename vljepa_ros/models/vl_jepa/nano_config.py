"""Sizes of a VL-JEPA's parts, as they stand in `config.json` under `architecture`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar, cast

from vljepa_ros.models.config import ModelError

VisualAttention = Literal["joint", "prefix", "cross"]
_ATTENTIONS = ("joint", "prefix", "cross")


@dataclass(frozen=True)
class FrameSizes:
    """Per-frame stage: convolutions from `input_size` to input_size/16, then self-attention over
    the cells.

    widths: channels at 1/4 and 1/8 of the input resolution; residual: residual blocks at each of
    the two;
    dim: width of the tokens at 1/16; depth: self-attention blocks on them.
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
    """Predictor; visual_attention: joint (the paper), prefix or cross; slots: object slots (0:
    none).
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


_Sizes = TypeVar("_Sizes")


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

        :raises ModelError: an unknown or malformed field; the message names what is allowed.
        """
        parts = {
            "frame": FrameSizes,
            "window": WindowSizes,
            "text": TextSizes,
            "predictor": PredictorSizes,
            "y_decoder": YDecoderSizes,
        }
        unknown = set(raw) - set(parts) - {"dim"}
        if unknown:
            raise ModelError(
                f"architecture: unknown {', '.join(sorted(unknown))}; "
                f"allowed: dim, {', '.join(parts)}"
            )
        if not isinstance(raw.get("dim", 256), int):
            raise ModelError(f"architecture.dim must be an integer, not {raw['dim']!r}")
        values: dict[str, Any] = {
            name: _read(cast("type[Any]", kind), name, raw[name])
            for name, kind in parts.items()
            if name in raw
        }
        result = cls(dim=raw.get("dim", 256), **values)
        if result.predictor.visual_attention not in _ATTENTIONS:
            raise ModelError(
                "architecture.predictor.visual_attention is "
                f"{result.predictor.visual_attention!r}, allowed: {', '.join(_ATTENTIONS)}"
            )
        return result


def _read(kind: type[_Sizes], part: str, raw: object) -> _Sizes:
    if not isinstance(raw, Mapping):
        raise ModelError(f"architecture.{part} must be an object, not {type(raw).__name__}")
    allowed = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = set(raw) - set(allowed)
    if unknown:
        raise ModelError(
            f"architecture.{part}: unknown {', '.join(sorted(unknown))}; "
            f"allowed: {', '.join(allowed)}"
        )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})
