"""The texts a model knows, with their embeddings: the fallback of the Y-Decoder."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.models.config import Calibration, ModelConfig, ModelError


@dataclass(frozen=True)
class KnownTexts:
    """texts, and embeddings [N, D] float32 of norm 1."""

    texts: tuple[str, ...]
    embeddings: NDArray[np.float32]

    @classmethod
    def load(cls, config: ModelConfig) -> KnownTexts:
        """Read `known_texts` (JSON list) and `known_embeddings` (safetensors, `embeddings` [N, D]).

        :raises ModelError: missing, unreadable or of different lengths.
        """
        texts_file, vectors_file = config.path("known_texts"), config.path("known_embeddings")
        try:
            texts = tuple(json.loads(texts_file.read_text(encoding="utf-8")))
            vectors = load_file(str(vectors_file))["embeddings"].astype(np.float32)
        except Exception as error:  # safetensors raises its own kinds
            raise ModelError(f"'{texts_file}' or '{vectors_file}' is unusable: {error}") from error
        if vectors.shape != (len(texts), config.dim) or not texts:
            raise ModelError(
                f"'{vectors_file}' holds {vectors.shape}, expected ({len(texts)}, {config.dim})"
            )
        return cls(texts, vectors)

    def nearest(self, embedding: NDArray[np.float32], calibration: Calibration) -> Generated:
        """The known text most similar to one embedding [D], with its calibrated probability."""
        similarity = self.embeddings @ embedding
        best = int(similarity.argmax())
        none = calibration.logit_scale * calibration.none_similarity
        scores = calibration.logit_scale * similarity
        top = max(float(scores[best]), none)
        total = float(np.exp(scores - top).sum()) + float(np.exp(none - top))
        confidence = float(np.exp(float(scores[best]) - top)) / total
        return Generated(self.texts[best], confidence, False)
