"""Has the perception node embed texts, so that other nodes need not load a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedText, EncodedTexts
from vljepa_ros.models.config import Calibration
from vljepa_ros.nodes.lifecycle_node import LifecycleNode


class TextEncoderError(RuntimeError):
    """A text cannot be embedded now.

    Args:
        message: Why, and what would help.
        is_refusal: Whether the same request would fail again.
    """

    def __init__(self, message: str, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


EncodingResult = EncodedTexts | TextEncoderError


class TextEncoderClient:
    """A client of the service `encode_text`, from creation until `close`."""

    def __init__(self, node: LifecycleNode[Any]) -> None:
        self._node = node
        self._kind = ros.interface("vljepa_ros/srv/EncodeText")
        self._name = node.resolve_service_name("encode_text")
        self._client = node.create_client(self._kind, "encode_text")

    def close(self) -> None:
        """Fail pending requests and destroy the client."""
        self._node.pending.complete(None, lambda key: isinstance(key, tuple) and key[0] is self)
        self._node.destroy_client(self._client)

    def request(
        self, texts: Sequence[str], timeout: float, on_done: Callable[[EncodingResult], None]
    ) -> None:
        """Embed texts.

        Args:
            texts: 1 to 1000.
            timeout: Seconds.
            on_done: Called with the result in the executor's thread, exactly once.
        """
        if not self._client.service_is_ready():
            on_done(
                TextEncoderError(
                    f"service '{self._name}', which embeds the text, is not available: is "
                    "perception_node running?"
                )
            )
            return
        key = (self, object())
        call = self._client.call_async(self._kind.Request(texts=list(texts)))

        def finish(reply: ros.Message | None) -> None:
            if reply is None:
                self._client.remove_pending_request(call)  # it may come never: nothing is kept
                late = f"'{self._name}' did not answer within {timeout:g} s"
                on_done(TextEncoderError(late))
            else:
                on_done(self._read(texts, reply))

        self._node.pending.add(key, timeout, finish)
        call.add_done_callback(
            lambda done: self._node.pending.complete(done.result(), lambda other: other is key)
        )

    async def encode(self, text: str, timeout: float, model_id: str) -> EncodedText:
        """Embed one text.

        Args:
            text: To embed.
            timeout: Seconds.
            model_id: Required model.

        Raises:
            TextEncoderError: The service is missing, refuses, times out, or has another model.
        """
        future = ros.Future()
        self.request([text], timeout, lambda result: ros.complete(self._node, future, result))
        result = await future
        if isinstance(result, TextEncoderError):
            raise result
        if result.model_id != model_id:
            raise TextEncoderError(
                f"'{self._name}' embeds with model {result.model_id}, this memory stores "
                f"{model_id}: start both nodes with the same model"
            )
        return result.texts[text]

    def _read(self, texts: Sequence[str], reply: ros.Message) -> EncodingResult:
        if reply.result.code:
            return TextEncoderError(
                f"'{self._name}' refused the text: {reply.result.message}",
                is_refusal=reply.result.code == reply.result.BAD_REQUEST,
            )
        try:
            vectors = np.array(reply.vectors, np.float32).reshape(len(texts), int(reply.dim))
            calibrations = map(Calibration, reply.logit_scales, reply.none_similarities)
            scenes = iter(np.array(reply.scenes, np.float32).reshape(-1, max(1, int(reply.dim))))
            own = [next(scenes) if least else None for least in reply.least]
            encoded = map(EncodedText, vectors, calibrations, own, reply.least)
            return EncodedTexts(str(reply.model_id), dict(zip(texts, encoded, strict=True)))
        except (ValueError, StopIteration) as error:
            return TextEncoderError(f"'{self._name}' gave a reply that does not fit: {error!r}")
