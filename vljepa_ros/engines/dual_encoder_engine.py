"""Runs dual encoders: everyday, CLIP, SigLIP, SigLIP 2 and Perception Encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.protocol import Clip, EncodedClip, check_clips
from vljepa_ros.engines.text_embeddings import EmbeddingEngine, ShapeRanges, unit_rows
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.inputs import (
    TEMPLATES,
    DualEncoderTokenizer,
    as_statement,
    dual_encoder_parts,
    expand,
    longest_text,
    uses_text_mask,
)
from vljepa_ros.models.dual_encoder.perception_encoder_config import PERCEPTION_ENCODER
from vljepa_ros.models.parts import Part

_TEXT_BATCH = 64
_PLAIN = ("{}",)


class DualEncoderEngine(EmbeddingEngine):
    """Runs a dual encoder. Visual tokens are the features of the frames, [T, D], each of norm 1.

    Without a Predictor, `embed` is the normalised mean of the frames for every query, and questions
    are answered by comparing the clip with statements made of question and candidate. Without a
    Y-Decoder, `generate` returns the nearest text of the vocabulary.
    """

    @staticmethod
    def parts_of(config: ModelConfig) -> tuple[Part, ...]:
        """The image tower and the text tower."""
        return dual_encoder_parts(config)

    @staticmethod
    def torch_modules(config: ModelConfig, parts: frozenset[str]) -> Mapping[str, Any]:
        """The towers."""
        from vljepa_ros.models.dual_encoder.hub_towers import load_towers

        return load_towers(config, parts)

    @staticmethod
    def shape_ranges(config: ModelConfig) -> ShapeRanges:
        """Ranges of the axes; each frame is a row."""
        longest, frames = longest_text(config), config.clip_frames
        return (
            {"length": (1, min(16, longest), longest)},
            {"text": (1, 64), "vision": (frames, 8 * frames)},
        )

    @staticmethod
    def torch_needs(config: ModelConfig) -> tuple[str, ...]:
        """Perception Encoder needs no transformers, see `perception_encoder`."""
        own = config.architecture.get("model_type") == PERCEPTION_ENCODER
        return ("torch",) if own else ("torch", "transformers")

    def __init__(self, config: ModelConfig, runner: PartRunner, parts: frozenset[str]) -> None:
        """Use a runner that has the parts `vision` and `text`, or those of `parts`."""
        super().__init__(config, runner, parts)
        self._tokens = DualEncoderTokenizer(config) if "text" in parts else None
        self._mask = uses_text_mask(config)
        self._longest = longest_text(config)
        self._templates = tuple(config.architecture.get("templates", TEMPLATES))
        expand("", self._templates)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts allow; never `streaming`, as frames are encoded one by one."""
        found = {"embed", *super().capabilities}
        if self._tokens is not None:
            found |= {"encode_text", "score"}
            if self._vocabulary:
                found.add("generate")
        return frozenset(found)

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """Encode the frames of each clip, except those whose stamp the stream's state holds."""
        check_clips(self._config, clips, states)
        known = [dict(state) if isinstance(state, dict) else {} for state in states]
        new: dict[tuple[int, int], NDArray[np.uint8]] = {
            (stream, stamp): frame
            for stream, clip in enumerate(clips)
            for stamp, frame in zip(clip.stamps, clip.frames, strict=True)
            if stamp not in known[stream]
        }
        if new:
            frames = np.stack(list(new.values()))
            features = unit_rows(self._runner.run("vision", {"frames": frames})["features"])
            for (stream, stamp), feature in zip(new, features, strict=True):
                known[stream][stamp] = feature
        encoded = []
        for stream, clip in enumerate(clips):
            kept = {stamp: known[stream][stamp] for stamp in clip.stamps}
            rows = np.stack([kept[stamp] for stamp in clip.stamps])
            encoded.append(EncodedClip(rows, kept))
        return encoded

    def embed(
        self, tokens: Sequence[NDArray[np.float32]], query: str | Sequence[str]
    ) -> NDArray[np.float32]:
        """[B, D], norm 1: the mean over frames; it does not depend on the query."""
        del query
        if not tokens:
            return np.zeros((0, self._config.dim), np.float32)
        means: NDArray[np.float32] = unit_rows(np.stack([rows.mean(axis=0) for rows in tokens]))
        return means

    def encode_text(
        self, texts: Sequence[str], templates: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """Mean over the prompt templates of each text's features, norm 1: [len(texts), D].

        Args:
            texts: Texts to encode.
            templates: Templates in place of the model's; `{}` stands for the text.
        """
        used = self._templates if templates is None else tuple(templates)

        def encode(missing: list[tuple[str, tuple[str, ...]]]) -> NDArray[np.float32]:
            wordings = [wording for text, _ in missing for wording in expand(text, used)]
            features = unit_rows(self._features(wordings))
            means: NDArray[np.float32] = unit_rows(
                features.reshape(len(missing), len(used), -1).mean(axis=1)
            )
            return means

        return self._rows(self._texts.fill([(text, used) for text in texts], encode))

    def token_ids(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text in the longest prompt template; the query is not used."""
        del query
        longest = max(self._templates, key=len)
        return self._tokenizer().ids([expand(text, [longest])[0] for text in texts])

    def encode_candidates(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """[len(pairs), D] float32, norm 1: statements made of question and candidate."""
        return self.encode_text([as_statement(*pair) for pair in pairs], _PLAIN)

    def _features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows, tokenizer = [], self._tokenizer()
        for start in range(0, len(texts), _TEXT_BATCH):
            ids, mask = tokenizer(texts[start : start + _TEXT_BATCH])
            # Only towers that take any length have another one than their longest: they are
            # causal, and the end-of-text token is seen before what follows it.
            inputs = {"input_ids": self._runner.pad_length(ids, self._longest, "edge")}
            if self._mask:
                inputs["attention_mask"] = self._runner.pad_length(mask, self._longest)
            rows.append(self._runner.run("text", inputs)["features"])
        return np.concatenate(rows).astype(np.float32, copy=False)

    def _tokenizer(self) -> DualEncoderTokenizer:
        if self._tokens is None:
            raise ModelError(f"model '{self._config.name}' was loaded without its part 'text'")
        return self._tokens
