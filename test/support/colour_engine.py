"""A tiny engine that really works: its space has one axis for each of eight colours.

A clip's embedding is its mean colour, the embedding of a text the mean of the colours it names; a
query that begins with "first" looks at the first frame, any other at the last. It keeps count of
its work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip, EncodedClip, EngineInfo, Generated
from vljepa_ros.models.config import Calibration, ModelConfig

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
_POINTS = np.array(list(COLOURS.values()), np.float32)


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class ColourEngine:
    """Implements `Engine`."""

    def __init__(self, frames: int = 4, interval: float = 0.5, seconds: float = 0.0) -> None:
        self.config = ModelConfig(
            folder=Path("."),
            name="colour",
            family="vl_jepa",
            model_id="colour-1",
            dim=len(COLOURS),
            clip_frames=frames,
            frame_interval=interval,
            input_size=8,
            default_query="what colour is it now?",
            calibration=Calibration(logit_scale=20.0, none_similarity=0.3, abstain_below=0.5),
        )
        self.info = EngineInfo("colour", "cpu", "fp32")
        self.capabilities = frozenset({"embed", "encode_text", "score", "generate", "presence"})
        self.seconds = seconds
        self.text_seconds = 0.0
        self.batches: list[int] = []
        self.embedded: list[int] = []
        self.states: list[Any] = []
        self.texts: list[str] = []
        self.threads: set[str] = set()

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        time.sleep(self.seconds)
        self.threads.add(threading.current_thread().name)
        self.batches.append(len(clips))
        self.states += states
        return [
            EncodedClip(clip.frames.reshape(len(clip.frames), -1, 3).mean(1).astype("f4"), clip)
            for clip in clips
        ]

    def embed(
        self, tokens: Sequence[NDArray[np.float32]], query: str | Sequence[str]
    ) -> NDArray[np.float32]:
        self.embedded.append(len(tokens))
        queries = [query] * len(tokens) if isinstance(query, str) else query
        frames = [0 if one.startswith("first") else -1 for one in queries]
        pairs = zip(tokens, frames, strict=True)
        rows = [np.exp(-((_POINTS - seen[frame]) ** 2).sum(1) / 2e4) for seen, frame in pairs]
        return np.stack([unit(row) for row in rows])

    def check_texts(self, query: str, texts: Sequence[str]) -> None:
        pass

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(self.seconds + self.text_seconds * len(texts))
        self.texts += texts
        named = [[float(colour in text) for colour in COLOURS] for text in texts]
        return np.stack([unit(np.array(row, np.float32) + 1e-3) for row in named])

    def encode_candidates(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return self.encode_text([candidate for _, candidate in pairs])

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        return self.encode_text(candidates) @ self.embed([tokens], question)[0]

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        names = list(COLOURS)
        return [Generated(f"it is {names[int(e.argmax())]}", 0.9, True) for e in embeddings]

    def close(self) -> None:
        pass


def painted(colour: str, height: int = 16, width: int = 16) -> NDArray[np.uint8]:
    return np.full((height, width, 3), COLOURS[colour], np.uint8)
