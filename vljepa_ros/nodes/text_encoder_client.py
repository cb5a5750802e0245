"""Embeddings of texts from the perception node: a model need not be loaded twice."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros

_CACHED = 256


class TextEncoderError(RuntimeError):
    """The text cannot be embedded now: the message says why and what would help."""


@dataclass(frozen=True)
class EncodedTexts:
    """vectors: [texts, D] float32, L2 norm 1, of the model with this id."""

    model_id: str
    vectors: NDArray[np.float32]


Answer = EncodedTexts | TextEncoderError


class TextEncoderClient:
    """Of one node. Call `expire` a few times a second."""

    def __init__(self, node: Any, service: str) -> None:
        self._node = node
        self._kind = ros.interface("vljepa_ros/srv/EncodeText")
        self._name = node.resolve_service_name(service)
        self._client = node.create_client(self._kind, service)
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._waiting: list[tuple[float, str, Callable[[Answer], None]]] = []

    def close(self) -> None:
        """End; who still waits is told."""
        self._give_up(lambda _: True)
        self._node.destroy_client(self._client)

    def expire(self) -> None:
        """Give up on replies whose time is over."""
        now = time.monotonic()
        self._give_up(lambda until: now > until)

    def request(self, texts: Sequence[str], timeout: float, done: Callable[[Answer], None]) -> None:
        """Embed texts, 1 to 1000; `done` is told in the executor's thread, exactly once."""
        if not self._client.service_is_ready():
            done(
                TextEncoderError(
                    f"nobody serves '{self._name}', which embeds the text: is perception_node "
                    "running?"
                )
            )
            return
        late = f"'{self._name}' did not answer within {timeout:g} s"
        entry = (time.monotonic() + timeout, late, done)
        self._waiting.append(entry)
        call = self._client.call_async(self._kind.Request(texts=list(texts)))

        def arrived(finished: Any) -> None:
            if entry in self._waiting:
                self._waiting.remove(entry)
                done(self._read(finished.result()))

        call.add_done_callback(arrived)

    async def encode(self, text: str, timeout: float, model_id: str) -> NDArray[np.float32]:
        """[D] float32, L2 norm 1; of a text that was asked for lately at once.

        :param model_id: the model it must be of; the same one in each call.
        :raises TextEncoderError: nobody serves, it refuses, is late, or runs another model.
        """
        if text in self._known:
            self._known.move_to_end(text)
            return self._known[text]
        future = ros.Future()
        self.request([text], timeout, lambda answer: ros.complete(self._node, future, answer))
        answer = await future
        if isinstance(answer, TextEncoderError):
            raise answer
        if answer.model_id != model_id:
            raise TextEncoderError(
                f"'{self._name}' embeds with model {answer.model_id}, this memory keeps "
                f"{model_id}: start both nodes with the same model"
            )
        vector: NDArray[np.float32] = answer.vectors[0]
        self._known[text] = vector
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return vector

    def _read(self, reply: Any) -> Answer:
        if not reply.success:
            return TextEncoderError(f"'{self._name}' refused the text: {reply.message}")
        vectors = np.array(reply.vectors, np.float32).reshape(-1, max(1, int(reply.dim)))
        return EncodedTexts(str(reply.model_id), vectors)

    def _give_up(self, over: Callable[[float], bool]) -> None:
        for entry in [entry for entry in self._waiting if over(entry[0])]:
            self._waiting.remove(entry)
            entry[2](TextEncoderError(entry[1]))
