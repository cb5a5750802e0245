"""Embeddings of the triggers' texts, from the perception node: asked for until they are there, and
again when the model changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import Calibration, ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.text_encoder_client import EncodingResult, TextEncoderClient, TextEncoderError
from vljepa_ros.resources import model_dir, model_names

RETRY_S = 1.0  # until texts that could not be encoded are sent again


class TriggerTexts:
    """Used in the executor's thread only. Call `request_missing` a few times a second.

    Args:
        node: Its parameter `model` names the model whose calibration is tried first.
        on_encoded: Called when texts were encoded, or could not be.
        on_reset: Called when embeddings come from another model: what was encoded is of no use.

    Attributes:
        model_id: Of the model that encoded the texts; empty while there are none.
        trouble: Why texts are not encoded or cannot be compared; empty if all is well.

    Raises:
        ModelError: There is no such model.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        on_encoded: Callable[[], None],
        on_reset: Callable[[], None],
    ) -> None:
        self._model = node.settings.model
        config = load_config(model_dir(self._model))
        self.model_id = ""
        self.trouble = ""
        self._node = node
        self._on_encoded = on_encoded
        self._on_reset = on_reset
        self._client = TextEncoderClient(node)
        self._texts: tuple[str, ...] = ()
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._calibration = (config.model_id, config.calibration)
        self._requested = False
        self._retry_at = 0.0

    @property
    def complete(self) -> bool:
        """Whether all texts are encoded."""
        return all(text in self._vectors for text in self._texts)

    @property
    def calibration(self) -> Calibration | None:
        """Of the model that encoded the texts; None if it is unknown, which is in `trouble`."""
        return self._calibration[1] if self._calibration[0] == self.model_id else None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """[texts, D] float32, L2 norm 1; of a complete list that is not empty."""
        return np.stack([self._vectors[text] for text in self._texts])

    def set_texts(self, texts: Sequence[str]) -> None:
        """Replace the list; what is encoded already stays."""
        self._texts = tuple(texts)
        self._vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
        if not texts:
            self.trouble = ""

    def retry_now(self) -> None:
        """Have the next `request_missing` ask, although it failed a moment ago."""
        self._retry_at = 0.0

    def request_missing(self, timeout: float) -> None:
        """Ask for what is missing, if it is time to; timeout: seconds to wait for the reply."""
        if self._requested or self.complete or time.monotonic() < self._retry_at:
            return
        missing = tuple(text for text in self._texts if text not in self._vectors)
        self._requested = True
        self._client.request(missing, timeout, lambda result: self._receive(missing, result))

    def on_model_mismatch(self, camera: str, model_id: str) -> None:
        """Encode the texts again: embeddings came that do not fit what is encoded."""
        if self._requested or not self.complete or self.model_id in ("", model_id):
            return  # under way, or only the calibration is missing
        self._report(
            f"embeddings of camera '{camera}' come from model {model_id}, the texts were encoded "
            f"by model {self.model_id}; they are encoded again"
        )
        self._reset("")
        self._retry_at = time.monotonic() + RETRY_S

    def close(self) -> None:
        """Fail the pending request."""
        self._client.close()

    def _receive(self, texts: tuple[str, ...], result: EncodingResult) -> None:
        self._requested = False
        self._retry_at = time.monotonic() + RETRY_S
        if isinstance(result, TextEncoderError):
            self._report(str(result))
        else:
            self.trouble = ""
            if result.model_id != self.model_id:
                self._reset(result.model_id)
            self._vectors.update(zip(texts, result.vectors, strict=True))
            self._find_calibration()
            self.set_texts(self._texts)
            if not self.complete:
                self.retry_now()  # other texts are of another model, or the list has changed
        self._on_encoded()

    def _reset(self, model_id: str) -> None:
        if self._vectors:
            self._on_reset()
        self._vectors, self.model_id = {}, model_id

    def _find_calibration(self) -> None:
        """Find the calibration of the model that encodes, among the shipped ones, too."""
        if self.calibration is not None:
            return
        for name in (self._model, *model_names()):
            try:
                config = load_config(model_dir(name))
            except ModelError:
                continue
            if config.model_id == self.model_id:
                self._calibration = (config.model_id, config.calibration)
                return
        self._report(
            f"the texts were encoded by model {self.model_id}, whose calibration is unknown: set "
            "the parameter model to its folder"
        )

    def _report(self, why: str) -> None:
        self.trouble = why
        self._node.warn(f"triggers are not watched: {why}")
