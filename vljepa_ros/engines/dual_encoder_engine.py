"""The engine protocol for CLIP, SigLIP, SigLIP 2 and Perception Encoder, on whatever runs their
towers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.clip_check import check_clips, unit_rows
from vljepa_ros.engines.nearest_text import NearestText
from vljepa_ros.engines.part_runner import PartRunner, padded_length
from vljepa_ros.engines.protocol import Clip, EncodedClip, EngineInfo, Generated
from vljepa_ros.engines.text_cache import TextCache
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.inputs import (
    TEMPLATES,
    DualEncoderTokenizer,
    as_statement,
    expand,
    longest_text,
    uses_text_mask,
)

_TEXT_CACHE = 20_000
_TEXT_BATCH = 64


class DualEncoderEngine:
    """See `Engine`. The visual tokens of a clip are its frames' features [T, D], each of norm 1.

    A dual encoder has no Predictor: `embed` is the normalised mean of the frames whatever the
    query, and a question is asked by comparing the clip with statements made from question and
    candidate.
    """

    def __init__(self, config: ModelConfig, runner: PartRunner, parts: frozenset[str]) -> None:
        """Use a runner that has the parts `vision` and `text`, or those of `parts`."""
        self._config = config
        self._runner = runner
        self._parts = parts
        self._tokens = DualEncoderTokenizer(config) if "text" in parts else None
        self._mask = uses_text_mask(config)
        self._longest = longest_text(config)
        self._templates = tuple(config.architecture.get("templates", TEMPLATES))
        expand("", self._templates)
        self._texts = TextCache(_TEXT_CACHE)
        self._nearest = NearestText(config, self.encode_text)

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self._config

    @property
    def info(self) -> EngineInfo:
        """What actually runs."""
        return self._runner.info

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts allow; never `streaming`: frames are encoded one by one anyway."""
        found = {"embed"}
        if self._tokens is not None:
            found |= {"encode_text", "score"}
            if self._nearest:
                found.add("generate")
        return frozenset(found)

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """Features of every frame; frames whose stamp the stream's state holds are not encoded
        again."""
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

    def embed(self, tokens: Sequence[NDArray[np.float32]], query: str) -> NDArray[np.float32]:
        """Mean over frames, norm 1: [B, D]; the query changes nothing."""
        del query
        if not tokens:
            return np.zeros((0, self._config.dim), np.float32)
        means: NDArray[np.float32] = unit_rows(np.stack([rows.mean(axis=0) for rows in tokens]))
        return means

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean over the prompt templates of each text's features, norm 1: [len(texts), D]."""
        return self._encode(texts, self._templates)

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosine of the clip with the statement made from the question and each candidate."""
        if not candidates:
            return np.zeros(0, np.float32)
        statements = [as_statement(question, candidate) for candidate in candidates]
        clip = self.embed([tokens], question)[0]
        return np.clip(self._encode(statements, ("{}",)) @ clip, -1.0, 1.0)

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """The nearest text of the vocabulary; a dual encoder cannot write."""
        return self._nearest.generate(embeddings)

    def known_texts(self) -> tuple[list[str], NDArray[np.float32]]:
        """The vocabulary's texts and their embeddings [N, D]."""
        known = self._nearest.known()
        return list(known.texts), known.embeddings

    def close(self) -> None:
        """Free the runner and the cache."""
        self._runner.close()
        self._texts.clear()

    def _encode(self, texts: Sequence[str], templates: Sequence[str]) -> NDArray[np.float32]:
        result = np.zeros((len(texts), self._config.dim), np.float32)
        keys = ["\0".join((text, *templates)) for text in texts]
        missing: dict[str, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if self._texts.get(key) is None:
                missing[key] = text
        if missing:
            wordings = [word for text in missing.values() for word in expand(text, templates)]
            features = unit_rows(self._features(wordings))
            means = unit_rows(features.reshape(len(missing), len(templates), -1).mean(axis=1))
            for key, vector in zip(missing, means, strict=True):
                self._texts.put(key, vector)
        fresh = dict(zip(missing, means, strict=True)) if missing else {}
        for row, key in enumerate(keys):
            found = fresh.get(key)
            result[row] = self._texts.get(key) if found is None else found
        return result

    def _features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._tokens is None:
            raise ModelError(f"model '{self._config.name}' was loaded without its part 'text'")
        rows = []
        for start in range(0, len(texts), _TEXT_BATCH):
            ids, mask = self._tokens(texts[start : start + _TEXT_BATCH])
            if self._runner.fixed_shapes:
                # Only towers that take any length come here with another than their longest:
                # they are causal, and the end-of-text token is seen before what follows it.
                full = padded_length(ids.shape[1], self._longest)
                ids = np.pad(ids, ((0, 0), (0, full - ids.shape[1])), mode="edge")
                mask = np.pad(mask, ((0, 0), (0, full - mask.shape[1])))
            inputs = {"input_ids": ids}
            if self._mask:
                inputs["attention_mask"] = mask
            rows.append(self._runner.run("text", inputs)["features"])
        return np.concatenate(rows).astype(np.float32, copy=False)
