"""Sizes of nano's parts, from `architecture` in `config.json`. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vljepa_ros.files import JsonMapping
from vljepa_ros.models.config import from_dict
from vljepa_ros.models.parts import Part, Tensor

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

    @classmethod
    def from_dict(cls, raw: JsonMapping) -> Architecture:
        """Read the result of `dataclasses.asdict`.

        Raises:
            ModelError: An unknown or malformed field; the message names what is allowed.
        """
        return from_dict(cls, raw, "architecture")


MAX_WORDS = 32
"""Longest text that the Y-Decoder writes, in words and marks."""

GRAPHS = {
    "vision": ("frame", "window"),
    "predictor": ("text_trunk", "predictor"),
    "text": ("text_trunk", "text_head"),
    "decoder": ("decoder_prefill", "decoder_step"),
}
"""The graphs that each part of the model needs."""


def nano_parts(sizes: Architecture) -> tuple[Part, ...]:
    """The graphs of nano, under the names of its files.

    The Predictor is given different `clips`, and for each row of its batch a query and which
    `clip` it asks. `pieces` are the word pieces of a text or query, at most
    `sizes.text.positions`; `valid` is 1 for a piece and 0 for padding; the Y-Decoder's cache has
    `past` positions, one more after each step.
    """
    cells, size = sizes.frame.grid**2, sizes.frame.input_size
    text, decoder = sizes.text, sizes.y_decoder
    frame_features = (cells, sizes.frame.dim)
    tokens = Tensor("tokens", ("batch", cells, sizes.window.dim))
    pieces = ("batch", "pieces")
    pooled = Tensor("pooled", ("batch", text.dim))
    embedding = Tensor("embedding", ("batch", sizes.dim))
    logits = Tensor("logits", ("batch", decoder.words))

    def cache(name: str, positions: int | str) -> Tensor:
        width = decoder.dim // decoder.heads
        return Tensor(name, (decoder.depth, 2, "batch", decoder.heads, positions, width))

    return (
        Part(
            "frame",
            (Tensor("frames", ("batch", size, size, 3), "uint8"),),
            (Tensor("features", ("batch", *frame_features)),),
        ),
        Part(
            "window",
            (Tensor("features", ("batch", sizes.window.frames, *frame_features)),),
            (tokens,),
        ),
        Part(
            "text_trunk",
            (Tensor("ids", pieces, "int64", text.words), Tensor("valid", pieces, "int64")),
            (Tensor("hidden", (*pieces, text.dim)), pooled),
        ),
        Part("text_head", (pooled,), (embedding,)),
        Part(
            "predictor",
            (
                Tensor("tokens", ("clips", cells, sizes.window.dim)),
                Tensor("query", (*pieces, text.dim)),
                Tensor("valid", pieces),
                Tensor("clip", ("batch",), "int64", 1),
            ),
            (embedding,),
        ),
        Part("decoder_prefill", (embedding,), (logits, cache("cache", decoder.prefix))),
        Part(
            "decoder_step",
            (
                Tensor("word", ("batch",), "int64", decoder.words),
                Tensor("position", (1,), "int64", decoder.positions),
                cache("cache", "past"),
            ),
            (logits, cache("grown", "grown")),
            grows=True,
        ),
    )
