"""The vocabulary of the perception node: set_labels, the parameters behind it, encode_text."""

from __future__ import annotations

import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import EncodedText, calibration_for
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.perception.pipeline import PerceptionError, Pipeline
from vljepa_ros.perception.vocabulary import (
    EncodedVocabulary,
    Group,
    Vocabulary,
    VocabularyError,
    checked_texts,
    encode_texts,
    from_groups,
    parse,
)

NO_LABELS = ("",)  # value of a parameter `labels`: the model's own, or none for a single camera
PARAMETER, MODEL, UNNAMED = "parameter", "model", "unnamed"  # owners of groups
_MAX_TEXTS = 1000


class VocabularyServices:
    """Serves labels and texts; before the node is configured the services report that.

    Args:
        node: Has the parameter `labels`, and one for each camera.

    Attributes:
        pipeline: Set by the node while configured.
        vocabulary: The labels in use, or in use once they are encoded; set by `refresh`.
        version: Version of the vocabulary; 0 before the first.
        taught: Name -> taught label. An unusable one has a calibration that does not judge
            presence.
    """

    def __init__(self, node: ModelNode[Any]) -> None:
        self._node = node
        self._owners: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        self.pipeline: Pipeline
        self.vocabulary: Vocabulary
        self.version = 0
        self.taught: Mapping[str, EncodedText] = {}
        node.serve("EncodeText", "encode_text", self._encode_text)
        node.serve("SetLabels", "set_labels", self._set_labels)

    def check_labels(self, labels: tuple[str, ...], engine: Engine | None) -> None:
        """Refuse a value of a parameter `labels`.

        Raises:
            ModelError: The model cannot embed texts.
            VocabularyError: The labels do not form a vocabulary.
        """
        if labels == NO_LABELS:
            return
        if engine and "encode_text" not in engine.capabilities:
            raise ModelError(
                f"model '{engine.config.name}' cannot embed texts: it has no labels; "
                "allowed: models of the families vl_jepa and dual_encoder"
            )
        vocabulary = parse(labels, engine.config.default_query if engine else "?")
        if engine:
            vocabulary.check(engine, self.taught)

    def teach(self, taught: Mapping[str, EncodedText]) -> None:
        """Replace the taught labels, also in the present vocabulary."""
        self.taught = taught
        if self.version:
            self.refresh(anew=True)

    def refresh(self, anew: bool = False) -> None:
        """Encode the vocabulary of the parameters, if it has changed or `anew` is set."""
        engine = self.pipeline.engine
        if "encode_text" not in engine.capabilities:
            self.vocabulary = Vocabulary(())
            return
        own = {camera: self._of(camera) for camera in self._node.cameras}
        vocabulary = self._of("").with_own_groups(own)
        vocabulary.check(engine, self.taught)
        if anew or not self.version or vocabulary != self.vocabulary:
            self.vocabulary = vocabulary
            self.version += 1
            self.pipeline.labels.replace(self.version, vocabulary, self.taught)

    def owner_of(self, group: Group) -> str:
        """Who set a group: the owner named in a request, PARAMETER or MODEL."""
        for camera in group.cameras or ("",):
            owner, labels = self._owners.get((camera, group.prompt), ("", ()))
            if owner and labels == group.labels:
                return owner
        common = not group.cameras and self._node.settings.labels == NO_LABELS
        return MODEL if common else PARAMETER

    def on_vocabulary(self, used: EncodedVocabulary) -> None:
        """Complete the requests that waited for this vocabulary; in any thread."""
        self._node.pending.complete(
            True, lambda version: isinstance(version, int) and version <= used.version
        )

    def _of(self, camera: str) -> Vocabulary:
        """The groups of a camera's own parameter; for an empty name the common ones."""
        config = self.pipeline.engine.config
        settings = self._node.camera_parameters[camera].value if camera else self._node.settings
        if settings.labels != NO_LABELS:
            return parse(settings.labels, config.default_query)
        if camera:
            return Vocabulary(())
        own = config.vocabulary
        return from_groups(own) if own else parse(["yes", "no"], config.default_query)

    async def _encode_text(self, request: ros.Message, response: ros.Message) -> None:
        engine = self.pipeline.engine
        names, taught = checked_texts(request.texts, "texts", _MAX_TEXTS), self.taught
        bad = [n for n in names if n in taught and not taught[n].calibration.judges_presence]
        if bad:
            raise VocabularyError(
                f"'{bad[0]}' is a taught label that cannot be used: see the service teach"
            )
        texts = [name for name in names if name not in taught]
        vectors = await self._node.run_in_worker(lambda _: encode_texts(engine, texts))
        encoded = dict(taught)
        for text, vector in zip(texts, vectors, strict=True):
            encoded[text] = EncodedText(vector, calibration_for(engine.config, text, vector))
        found = [encoded[name] for name in names]
        response.model_id = engine.config.model_id
        response.dim = int(vectors.shape[1])
        response.vectors = array.array("f", np.stack([one.vector for one in found]).tobytes())
        scenes = [one.scene for one in found if one.scene is not None]
        response.scenes = array.array("f", b"".join(scene.tobytes() for scene in scenes))
        response.least = [float(one.least) for one in found]
        response.logit_scales = [float(one.calibration.logit_scale) for one in found]
        response.none_similarities = [float(one.calibration.none_similarity) for one in found]

    async def _set_labels(self, request: ros.Message, response: ros.Message) -> None:
        node = self._node
        prompt = request.prompt.strip() or self.pipeline.engine.config.default_query
        labels = tuple(text.strip() for text in request.labels)
        parameters, owners = [], {}
        for camera in [node.which_camera(name) for name in request.cameras] or [""]:
            wanted = self._with_group(camera, prompt, labels)
            name = f"{camera}.labels" if camera else "labels"
            parameters.append(ros.Parameter(name, value=wanted.as_strings() or list(NO_LABELS)))
            owners[camera, prompt] = (request.owner.strip() or UNNAMED, labels)
        before = dict(self._owners)
        self._owners |= owners  # before: the vocabulary may come into use at once
        result = node.set_parameters_atomically(parameters)
        if not result.successful:
            self._owners = before
            raise VocabularyError(result.reason)
        self._owners = {key: of for key, of in self._owners.items() if of[1]}  # groups that are
        version = self.version
        awaited = node.pending.wait(version, node.settings.request_timeout)
        current = self.pipeline.labels.current  # read after `wait`, so that no change is missed
        in_use = current is not None and current.version >= version
        if not in_use and not await awaited:
            response.result = node.result(
                "PENDING", "accepted, but still being encoded: see version on the topic vocabulary"
            )
        response.vocabulary_version = version

    def _with_group(self, camera: str, prompt: str, labels: tuple[str, ...]) -> Vocabulary:
        """The groups of `_of` with one group replaced, or removed if there are no labels."""
        before = self._of(camera)
        try:
            return before.with_group(prompt, labels)
        except KeyError:
            known = ", ".join(f"'{group.prompt}'" for group in before.groups) or "none"
            whose = f"camera '{camera}' has" if camera else "there is"
            raise PerceptionError(
                f"{whose} no group '{prompt}' to remove; there are: {known}", "UNKNOWN_ID"
            ) from None
