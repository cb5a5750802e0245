"""`generate` for families without a Y-Decoder: the nearest of the model's own label texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.known_texts import KnownTexts
from vljepa_ros.engines.protocol import Generated
from vljepa_ros.models.config import ModelConfig, ModelError


class NearestText:
    """The texts are those of the configuration's `vocabulary`; they are embedded at the first
    use."""

    def __init__(
        self,
        config: ModelConfig,
        encode_text: Callable[[Sequence[str]], NDArray[np.float32]],
    ) -> None:
        texts = (text for labels in config.vocabulary.values() for text in labels)
        self._texts = tuple(dict.fromkeys(texts))
        self._config = config
        self._encode = encode_text
        self._known: KnownTexts | None = None

    def __bool__(self) -> bool:
        """Whether there is any text to choose from."""
        return bool(self._texts)

    def known(self) -> KnownTexts:
        """Texts and embeddings.

        :raises ModelError: the model's vocabulary is empty.
        """
        if not self._texts:
            raise ModelError(
                f"model '{self._config.name}' has no Y-Decoder and an empty vocabulary: "
                "list texts under 'vocabulary' in its config"
            )
        if self._known is None:
            self._known = KnownTexts(self._texts, self._encode(self._texts))
        return self._known

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """The nearest text of each of [B, D] embeddings."""
        known = self.known()
        vectors = np.atleast_2d(np.asarray(embeddings, np.float32))
        return [known.nearest(vector, self._config.calibration) for vector in vectors]
