"""Embeddings of texts from the perception node, cached: a model need not be loaded twice."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros

__all__ = ["TextEncoderClient", "TextEncoderError"]

_CACHED = 256


class TextEncoderError(RuntimeError):
    """The text cannot be embedded now: the message says why and what would help."""


class TextEncoderClient:
    """Of one node. Call `expire` a few times a second."""

    def __init__(self, node: Any, service: str, model_id: str) -> None:
        self._node = node
        self._model_id = model_id
        self._kind = ros.interface("vljepa_ros/srv/EncodeText")
        self._name = node.resolve_service_name(service)
        self._client = node.create_client(self._kind, service)
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._waiting: list[tuple[float, Any]] = []

    def close(self) -> None:
        """End; who still waits is told."""
        for _, future in self._waiting:
            ros.complete(self._node, future, None)
        self._waiting = []
        self._node.destroy_client(self._client)

    def expire(self) -> None:
        """Give up on replies whose time is over."""
        now = time.monotonic()
        for entry in [entry for entry in self._waiting if now > entry[0]]:
            self._waiting.remove(entry)
            ros.complete(self._node, entry[1], None)

    async def encode(self, text: str, timeout: float) -> NDArray[np.float32]:
        """[D] float32, L2 norm 1.

        :raises TextEncoderError: nobody serves, it refuses, is late, or runs another model.
        """
        if text in self._known:
            self._known.move_to_end(text)
            return self._known[text]
        if not self._client.service_is_ready():
            raise TextEncoderError(
                f"nobody serves '{self._name}', which embeds the text: is perception_node running?"
            )
        future = ros.Future()
        entry = (time.monotonic() + timeout, future)
        self._waiting.append(entry)
        call = self._client.call_async(self._kind.Request(texts=[text]))
        call.add_done_callback(lambda done: self._arrived(entry, done))
        reply = await future
        if reply is None:
            raise TextEncoderError(f"'{self._name}' did not answer within {timeout:g} s")
        if not reply.success:
            raise TextEncoderError(f"'{self._name}' refused the text: {reply.message}")
        if reply.model_id != self._model_id:
            raise TextEncoderError(
                f"'{self._name}' embeds with model {reply.model_id}, this memory keeps "
                f"{self._model_id}: start both nodes with the same model"
            )
        vector = np.array(reply.vectors, np.float32)
        self._known[text] = vector
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return vector

    def _arrived(self, entry: tuple[float, Any], done: Any) -> None:
        if entry in self._waiting:
            self._waiting.remove(entry)
            ros.complete(self._node, entry[1], done.result())
