"""The interface between perception and a model of any family, on any engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one camera, as the model's input.

    Attributes:
        frames: [T, H, W, 3] uint8 RGB at the model's input size, oldest first.
        stamps: Nanoseconds, one for each frame, ascending. They are the keys of the cache of a
            streaming X-Encoder, so equal stamps within a stream must mean the same image.
    """

    frames: NDArray[np.uint8]
    stamps: tuple[int, ...]


@dataclass(frozen=True)
class EncodedClip:
    """The output of the X-Encoder for one clip.

    Attributes:
        tokens: [N, D] float32 visual tokens.
        state: Opaque; pass it with the next clip of the same stream.
    """

    tokens: NDArray[np.float32]
    state: Any


@dataclass(frozen=True)
class Generated:
    """The text for an embedding.

    Attributes:
        text: The text.
        confidence: 0..1; for decoded text the product of token probabilities, else the calibrated
            similarity.
        decoded: Whether the Y-Decoder wrote it; else it is the nearest known text.
    """

    text: str
    confidence: float
    decoded: bool


@dataclass(frozen=True)
class EngineInfo:
    """Engine, device and precision in use.

    Attributes:
        engine: A name from `select.ENGINE_NAMES` other than auto.
        device: Such as cpu or cuda:0.
        precision: fp32, fp16 or bf16.
    """

    engine: str
    device: str
    precision: str


class Engine(Protocol):
    """A loaded model.

    One thread at a time may use it. After loading it touches neither files nor the network.
    """

    @property
    def config(self) -> ModelConfig:
        """The model's configuration: `model_id`, `dim`, `clip_frames`, `frame_interval` ..."""

    @property
    def info(self) -> EngineInfo:
        """Engine, device and precision actually in use."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What the engine can do.

        Any of `embed`, `encode_text`, `score`, `generate`, `streaming`, `caption` (see
        `Captioner`), `presence` (one text alone can be judged, see `Calibration.judges_presence`).
        """

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """X-Encoder on clips of different streams.

        Args:
            clips: [T, S, S, 3] uint8 each.
            states: The state returned with each stream's last clip, or None.

        Returns:
            Visual tokens [N, D] float32 and the new state of each.
        """

    def embed(
        self, tokens: Sequence[NDArray[np.float32]], query: str | Sequence[str]
    ) -> NDArray[np.float32]:
        """Predictor: [B, D] float32, L2 norm 1: the answer to the query for each clip, embedded.

        Args:
            tokens: [N, D] visual tokens of each clip; a clip may be repeated.
            query: One for all rows, or one for each; they are one batch in any case.
        """

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Y-Encoder: [len(texts), D] float32, L2 norm 1."""

    def encode_candidates(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Y-Encoder: [len(pairs), D] float32 of norm 1, comparable with `embed`.

        A pair is a question and a candidate answer.
        """

    def check_texts(self, query: str, texts: Sequence[str]) -> None:
        """Refuse texts that are too long for the model, and two texts with equal tokens.

        It may be called from any thread.

        Raises:
            TextError: The message names the text and what is allowed.
        """

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosine of each candidate with the predicted answer: [len(candidates)] float32, -1..1."""

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """Y-Decoder: a text for each of [B, D] embeddings.

        If it is not sure enough, the nearest known text.
        """

    def known_texts(self) -> tuple[list[str], NDArray[np.float32]]:
        """Texts that the model was trained on, and their embeddings [N, D]."""

    def close(self) -> None:
        """Free sessions and device memory; the engine must not be used afterwards."""


class Captioner(Engine, Protocol):
    """An engine with the capability `caption`: it writes from visual tokens."""

    def caption(self, tokens: Sequence[NDArray[np.float32]], query: str) -> list[Generated]:
        """An answer to `query` for each clip's tokens [N, D], in the model's own words."""


def check_clips(
    config: ModelConfig, clips: Sequence[Clip], states: Sequence[Any], frames: int = 0
) -> None:
    """Check clips against the model's input.

    Args:
        config: Configuration of the model.
        clips: [T, S, S, 3] uint8 each.
        states: One for each clip.
        frames: T of every clip; 0: any.

    Raises:
        ModelError: Another frame size, dtype or number of frames, or not a state for each clip.
    """
    if len(clips) != len(states):
        raise ModelError(f"{len(clips)} clips, but {len(states)} states")
    size = config.input_size
    for clip in clips:
        shape = clip.frames.shape
        wrong = len(shape) != 4 or shape[1:] != (size, size, 3) or clip.frames.dtype != np.uint8
        if wrong or (frames and shape[0] != frames):
            raise ModelError(
                f"clip is {clip.frames.dtype} {list(shape)}; model '{config.name}' takes uint8 "
                f"[{frames or 'frames'}, {size}, {size}, 3]"
            )
        if len(clip.stamps) != shape[0] or not shape[0]:
            raise ModelError(f"clip has {len(clip.stamps)} stamps for {shape[0]} frames")
