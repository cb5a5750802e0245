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
from vljepa_ros.nodes.text_encoder_client import EncodedTexts, TextEncoderClient, TextEncoderError
from vljepa_ros.resources import model_dir, model_names

_PAUSE = 1.0  # seconds until texts that could not be encoded are sent again


class TriggerTexts:
    """Of one node; all in the executor's thread. Call `advance` a few times a second.

    :param model: name or folder of the model whose calibration counts first.
    :param renewed: something was encoded, or could not be.
    :param forgotten: embeddings come from another model; what was encoded is of no use any more.
    :raises ModelError: there is no such model.
    """

    def __init__(
        self, node: Any, model: str, renewed: Callable[[], None], forgotten: Callable[[], None]
    ) -> None:
        config = load_config(model_dir(model))
        self.model_id = ""
        self.trouble = ""
        self._node = node
        self._model = model
        self._renewed = renewed
        self._forgotten = forgotten
        self._client = TextEncoderClient(node, "encode_text")
        self._wanted: tuple[str, ...] = ()
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._calibration = (config.model_id, config.calibration)
        self._asking = False
        self._ask_again = 0.0

    @property
    def complete(self) -> bool:
        """Whether all texts are encoded."""
        return all(text in self._vectors for text in self._wanted)

    @property
    def calibration(self) -> Calibration | None:
        """Of the model that encoded the texts; None where it is unknown, which is in `trouble`."""
        return self._calibration[1] if self._calibration[0] == self.model_id else None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """[texts, D] float32, L2 norm 1; of a complete list that is not empty."""
        return np.stack([self._vectors[text] for text in self._wanted])

    def want(self, texts: Sequence[str]) -> None:
        """Replace the list; what is encoded already stays."""
        self._wanted = tuple(texts)
        self._vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
        if not texts:
            self.trouble = ""

    def hurry(self) -> None:
        """Ask at the next opportunity, although it failed a moment ago."""
        self._ask_again = 0.0

    def advance(self, patience: float) -> None:
        """Ask for what is missing, if it is time to. patience: seconds to wait for the reply."""
        self._client.expire()
        if self._asking or self.complete or time.monotonic() < self._ask_again:
            return
        missing = tuple(text for text in self._wanted if text not in self._vectors)
        self._asking = True
        self._client.request(missing, patience, lambda answer: self._answered(missing, answer))

    def foreign(self, camera: str, model_id: str) -> None:
        """Embeddings came that do not fit what is encoded."""
        if self._asking or not self.complete or not self.model_id or model_id == self.model_id:
            return  # under way, or only the calibration is missing
        self._fail(
            f"embeddings of camera '{camera}' come from model {model_id}, the texts were encoded "
            f"by model {self.model_id}; they are encoded again"
        )
        self._forget("")
        self._ask_again = time.monotonic() + _PAUSE

    def close(self) -> None:
        """End; who waits for a reply is told."""
        self._client.close()

    def _answered(self, texts: tuple[str, ...], answer: EncodedTexts | TextEncoderError) -> None:
        self._asking = False
        self._ask_again = time.monotonic() + _PAUSE
        if isinstance(answer, TextEncoderError):
            self._fail(str(answer))
        else:
            self.trouble = ""
            if answer.model_id != self.model_id:
                self._forget(answer.model_id)
            self._vectors.update(zip(texts, answer.vectors, strict=True))
            self._calibrate()
            self.want(self._wanted)
            if not self.complete:
                self.hurry()  # texts encoded before were of another model, or the list has changed
        self._renewed()

    def _forget(self, model_id: str) -> None:
        if self._vectors:
            self._forgotten()
        self._vectors, self.model_id = {}, model_id

    def _calibrate(self) -> None:
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
        self._fail(
            f"the texts were encoded by model {self.model_id}, whose calibration is unknown: set "
            "the parameter model to its folder"
        )

    def _fail(self, why: str) -> None:
        self.trouble = why
        self._node.warn(f"triggers are not watched: {why}")
