"""Has the texts of triggers encoded, and again when the model or a taught label changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedText, EncodedTexts
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.text_encoder_client import EncodingResult, TextEncoderClient, TextEncoderError
from vljepa_ros.nodes.topics import LATCHED, Endpoints
from vljepa_ros.perception.triggers import TriggerError
from vljepa_ros.perception.vocabulary import PresenceError

RETRY_S = 1.0  # until texts that could not be encoded are sent again
AT_ONCE = 1000  # texts in a request
SPARE = 1000  # encoded texts that are kept although no trigger has them


class TriggerTexts(Endpoints):
    """The encoded texts of the triggers. Used in the executor's thread only.

    Call `request_missing` a few times a second.

    Args:
        node: A lifecycle node.
        on_ready: Called when texts were encoded, or the model has become known.
        on_model_change: Called before that if the model or its calibration has changed.

    Attributes:
        model_id: Model that perception runs; empty: not known yet.
        refused: Text -> why the model cannot encode it.
        trouble: Why the last request failed; empty: it did not.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        on_ready: Callable[[], None],
        on_model_change: Callable[[], None],
    ) -> None:
        super().__init__(node)
        self.model_id = ""
        self.refused: dict[str, str] = {}
        self.trouble = ""
        self._on_ready = on_ready
        self._on_model_change = on_model_change
        self._client = TextEncoderClient(node)
        self._wanted: dict[str, None] = {}
        self._encoded: dict[str, EncodedText] = {}
        self._encoded_by = ""
        self._versions: dict[str, int] = {}  # of the taught labels, when a text was sent
        self._calibration_id = ""
        self._taught_version = 0
        self._requested = False
        self._retry_at = 0.0
        self._at_once = AT_ONCE
        self.subscribe("vljepa_ros/msg/ModelInfo", "model_info", self._on_info, LATCHED)

    @property
    def encoded(self) -> EncodedTexts:
        """The texts that can be compared with embeddings now."""
        fits = self._encoded_by == self.model_id
        return EncodedTexts(
            self.model_id,
            {t: e for t, e in self._encoded.items() if fits and e.calibration.judges_presence},
        )

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of `texts` that have yet to be encoded."""
        return [t for t in texts if t not in self._encoded and t not in self.refused]

    def why_unscored(self, texts: Collection[str]) -> str:
        """Why triggers with these texts, which are no labels, are not evaluated, or empty."""
        refused = [self.refused[text] for text in texts if text in self.refused]
        if refused or not texts:
            return "; ".join(refused[:3])
        if self.missing(texts):
            return self.trouble or "the texts are still being encoded"
        if not self.model_id:
            return "no model_info of perception_node yet"
        return str(self.refusal(texts) or "")

    def refusal(self, texts: Collection[str]) -> PresenceError | None:
        """Why the model cannot judge texts other than labels; None: it can, or is not known."""
        known = {t: self._encoded[t].calibration for t in texts if t in self._encoded}
        bad = sorted(t for t, calibration in known.items() if not calibration.judges_presence)
        if not bad:
            return None
        listed = ", ".join(map(repr, bad[:5]))
        return PresenceError(f"texts of triggers are {listed}, allowed: labels of the vocabulary")

    def keep(self, texts: Iterable[str]) -> None:
        """Set the texts that are to be encoded."""
        self._wanted = dict.fromkeys(texts)
        self.refused = {t: why for t, why in self.refused.items() if t in self._wanted}
        if len(self._encoded) > len(self._wanted) + SPARE:
            self._encoded = {t: e for t, e in self._encoded.items() if t in self._wanted}
            self._versions = {t: v for t, v in self._versions.items() if t in self._wanted}

    async def encode(self, texts: Sequence[str], timeout: float) -> None:
        """Encode texts now, as far as possible; timeout: seconds for each reply.

        Raises:
            TriggerError: The model cannot encode one of them.
        """
        missing = [text for text in texts if text not in self._encoded]
        while missing:
            chunk, missing = missing[:AT_ONCE], missing[AT_ONCE:]
            future, version = ros.Future(), self._taught_version
            self._client.request(chunk, timeout, partial(ros.complete, self._node, future))
            result = await future
            if isinstance(result, TextEncoderError) and result.is_refusal:
                raise TriggerError(str(result))
            self._take(chunk, result, version)
            missing = missing if not isinstance(result, TextEncoderError) else []

    def request_missing(self, timeout: float) -> None:
        """Request missing texts, if that is due; timeout: seconds to wait for the reply."""
        if self._requested or time.monotonic() < self._retry_at:
            return
        version = self._taught_version
        current = {t for t, v in self._versions.items() if v == version} & self._encoded.keys()
        chunk = [t for t in self._wanted if t not in current and t not in self.refused]
        chunk = chunk[: self._at_once]
        if chunk:
            self._requested = True
            self._client.request(
                chunk, timeout, lambda result: self._receive(chunk, result, version)
            )

    def close(self) -> None:
        """Fail pending requests and unsubscribe."""
        super().close()
        self._client.close()

    def _receive(self, texts: list[str], result: EncodingResult, version: int) -> None:
        self._requested = False
        if not isinstance(result, TextEncoderError):
            self._at_once = min(AT_ONCE, 2 * self._at_once)
        elif result.is_refusal and len(texts) > 1:
            self._at_once = max(1, len(texts) // 4)  # find the one that is refused
            return
        elif result.is_refusal:
            self.refused[texts[0]] = str(result)
            self._encoded.pop(texts[0], None)
        self._take(texts, result, version)

    def _take(self, texts: Sequence[str], result: EncodingResult, version: int) -> None:
        if isinstance(result, TextEncoderError):
            self._retry_at = time.monotonic() + RETRY_S
            self.trouble = str(result)
            self._node.warn(f"triggers are not watched: {result}")
        else:
            self.trouble = ""
            if result.model_id != self._encoded_by:
                self._encoded, self._encoded_by = {}, result.model_id
            self._encoded.update(result.texts)
            self._versions.update(dict.fromkeys(texts, version))
        self._on_ready()

    def _on_info(self, message: ros.Message) -> None:
        """Handle a heartbeat of perception, which may announce another model or calibration."""
        if message.taught_version != self._taught_version:
            self._taught_version, self.refused = message.taught_version, {}
        if (message.model_id, message.calibration_id) == (self.model_id, self._calibration_id):
            return
        if self.model_id:
            self._on_model_change()
        if self.model_id or self._encoded_by != message.model_id:
            self.refused = {}
            self._encoded, self._encoded_by = {}, message.model_id
        self.model_id, self._calibration_id = message.model_id, message.calibration_id
        self._on_ready()
