"""The services encode_text and set_labels of the perception node, and its labels."""

from __future__ import annotations

import array
from typing import Any

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.perception.pipeline import Pipeline
from vljepa_ros.perception.vocabulary import (
    EncodedVocabulary,
    Vocabulary,
    VocabularyError,
    checked_texts,
    encode_texts,
    from_groups,
    parse,
)

OWN_VOCABULARY = ("",)  # value of the parameter `labels`: those of the model
_MAX_TEXTS = 1000


class PerceptionServices:
    """Created with the node: before it is configured they answer what is missing.

    Args:
        node: Has the parameter `labels`.

    Attributes:
        pipeline: Set by the node while it is configured.
        vocabulary: The labels to tell apart, from `use_labels`.
        version: Of the vocabulary; 0 before the first.
    """

    def __init__(self, node: ModelNode[Any]) -> None:
        self._node = node
        self.pipeline: Pipeline
        self.vocabulary: Vocabulary
        self.version = 0
        node.serve("EncodeText", "encode_text", self._encode_text)
        node.serve("SetLabels", "set_labels", self._set_labels)

    def check_labels(self, labels: tuple[str, ...], engine: Engine | None) -> None:
        """Refuse a value of the parameter `labels`.

        Raises:
            ModelError: The model cannot embed texts.
            VocabularyError: The labels are not a vocabulary.
        """
        if labels == OWN_VOCABULARY:
            return
        if engine and "encode_text" not in engine.capabilities:
            raise ModelError(
                f"model '{engine.config.name}' cannot embed texts: it has no labels; "
                "allowed: models of the families vl_jepa and dual_encoder"
            )
        vocabulary = parse(labels, engine.config.default_query if engine else "?")
        if engine:
            vocabulary.check_choices(engine.capabilities)

    def use_labels(self, labels: tuple[str, ...]) -> None:
        """Encode another vocabulary, if it is another one."""
        engine = self.pipeline.engine
        own, default = engine.config.vocabulary, engine.config.default_query
        if "encode_text" not in engine.capabilities:
            self.vocabulary = Vocabulary(())
            return
        if labels != OWN_VOCABULARY:
            vocabulary = parse(labels, default)
        else:
            vocabulary = from_groups(own) if own else parse(["yes", "no"], default)
            vocabulary.check_choices(engine.capabilities)
        if not self.version or vocabulary != self.vocabulary:
            self.vocabulary = vocabulary
            self.version += 1
            self.pipeline.labels.replace(self.version, vocabulary)

    def on_vocabulary(self, used: EncodedVocabulary) -> None:
        """Answer who waits for labels that are in use now; in any thread."""
        self._node.pending.complete(True, lambda version: version <= used.version)

    async def _encode_text(self, request: Any, response: Any) -> None:
        engine = self.pipeline.engine
        texts = checked_texts(request.texts, "texts", _MAX_TEXTS)
        vectors = await self._node.run_in_worker(lambda _: encode_texts(engine, texts))
        response.model_id = engine.config.model_id
        response.dim = int(vectors.shape[1])
        response.vectors = array.array("f", vectors.tobytes())

    async def _set_labels(self, request: Any, response: Any) -> None:
        node = self._node
        prompt = request.prompt.strip() or self.pipeline.engine.config.default_query
        wanted = self.vocabulary.with_group(prompt, request.labels)
        (result,) = node.set_parameters([ros.Parameter("labels", value=wanted.as_strings())])
        if not result.successful:
            raise VocabularyError(result.reason)
        version = self.version
        awaited = node.pending.wait(version, node.settings.request_timeout)
        current = self.pipeline.labels.current  # read now: nothing comes into use unnoticed
        in_use = current is not None and current.version >= version
        if not in_use and not await awaited:
            response.result = node.result(
                "PENDING", "accepted, but still being encoded: the topic vocabulary tells when"
            )
        response.accepted = len(request.labels)
        response.vocabulary_version = version
