"""The engine protocol on ONNX Runtime: a VL-JEPA's exported graphs, on the CPU or CUDA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.generation import generate_greedily
from vljepa_ros.engines.known_texts import KnownTexts
from vljepa_ros.engines.protocol import Clip, EncodedClip, EngineInfo, Generated
from vljepa_ros.engines.sessions import GraphSessions
from vljepa_ros.engines.text_cache import TextCache
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, TextTokenizer

PARTS = frozenset({"vision", "predictor", "text", "decoder"})
_GRAPHS = {
    "vision": ("frame", "window"),
    "predictor": ("text_trunk", "predictor"),
    "text": ("text_trunk", "text_head"),
    "decoder": ("decoder_prefill", "decoder_step"),
}
_TEXT_CACHE = 20_000
_QUERY_CACHE = 512
_TEXT_BATCH = 64


@dataclass(frozen=True)
class _StreamState:
    """Frame features [cells, D] of the last clip of one stream, by stamp."""

    features: dict[int, NDArray[np.float32]]


class OnnxRuntimeEngine:
    """See `Engine`. One thread at a time."""

    def __init__(
        self,
        config: ModelConfig,
        threads: int = 0,
        parts: frozenset[str] = PARTS,
        make_sessions: Callable[..., GraphSessions] = GraphSessions,
    ) -> None:
        """Load the graphs of `parts`.

        make_sessions: what runs the graphs; called with config, names and threads.

        :raises ModelError: unknown part, missing or unusable file.
        """
        unknown = parts - PARTS
        if unknown or not parts:
            raise ModelError(
                f"unknown part {', '.join(sorted(unknown)) or '(none given)'}; "
                f"allowed: {', '.join(sorted(PARTS))}"
            )
        graphs = dict.fromkeys(graph for part in sorted(parts) for graph in _GRAPHS[part])
        self._config = config
        self._parts = parts
        self._sessions = make_sessions(config, graphs, threads)
        self._tokenizer = (
            TextTokenizer(config.path("tokenizer")) if "text_trunk" in self._sessions else None
        )
        self._texts = TextCache(_TEXT_CACHE)
        self._queries = TextCache(_QUERY_CACHE)
        self._known = KnownTexts.load(config) if parts & {"text", "decoder"} else None
        self._words = (
            DecoderWords.load(config.path("decoder_words")) if "decoder" in parts else None
        )

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self._config

    @property
    def info(self) -> EngineInfo:
        """What actually runs: weights are stored in fp16 and int8, computed in fp32."""
        return EngineInfo(self._sessions.engine, self._sessions.device, self._sessions.precision)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts allow."""
        found = set()
        if "vision" in self._parts:
            found.add("streaming")
        if "predictor" in self._parts:
            found.add("embed")
        if "text" in self._parts:
            found.add("encode_text")
        if {"predictor", "text"} <= self._parts:
            found.add("score")
        if "decoder" in self._parts:
            found.add("generate")
        return frozenset(found)

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """X-Encoder: only frames whose stamp the stream's state does not hold pass the frame stage.

        :raises ValueError: a clip of another length or frame size than the model's.
        """
        if len(clips) != len(states):
            raise ValueError(f"{len(clips)} clips, but {len(states)} states")
        if not clips:
            return []
        known = [
            dict(state.features) if isinstance(state, _StreamState) else {} for state in states
        ]
        missing: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for stream, clip in enumerate(clips):
            self._check(clip)
            for stamp, frame in zip(clip.stamps, clip.frames, strict=True):
                if stamp not in known[stream]:
                    missing[stream, stamp] = frame
        if missing:
            features = self._sessions.run("frame", np.stack(list(missing.values())))[0]
            for (stream, stamp), feature in zip(missing, features, strict=True):
                known[stream][stamp] = feature
        # All that a later clip may need: also images between those of this clip.
        kept = [
            {stamp: feature for stamp, feature in known[stream].items() if stamp >= clip.stamps[0]}
            for stream, clip in enumerate(clips)
        ]
        windows = np.stack(
            [
                np.stack([kept[stream][stamp] for stamp in clip.stamps])
                for stream, clip in enumerate(clips)
            ]
        )
        tokens = self._sessions.run("window", windows)[0]
        return [
            EncodedClip(token, _StreamState(own)) for token, own in zip(tokens, kept, strict=True)
        ]

    def embed(self, tokens: Sequence[NDArray[np.float32]], query: str) -> NDArray[np.float32]:
        """Predictor: [B, D] float32, norm 1: the answer to `query` for each clip, embedded."""
        if not tokens:
            return np.zeros((0, self._config.dim), np.float32)
        hidden = self._query(query)
        visual = np.stack(tokens).astype(np.float32, copy=False)
        queries = np.broadcast_to(hidden, (len(tokens), *hidden.shape))
        valid = np.ones(queries.shape[:2], np.float32)
        return self._sessions.run("predictor", visual, np.ascontiguousarray(queries), valid)[0]

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Y-Encoder: [len(texts), D] float32, norm 1; texts are cut at MAX_TOKENS word pieces."""
        result = np.zeros((len(texts), self._config.dim), np.float32)
        missing: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            if text in missing:
                missing[text].append(index)
                continue
            found = self._texts.get(text)
            if found is None:
                missing[text] = [index]
            else:
                result[index] = found
        if missing:
            new = list(missing)
            for text, vector in zip(new, self._encode_new(new), strict=True):
                self._texts.put(text, vector)
                result[missing[text]] = vector
        return result

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosine of each candidate with the predicted answer: [len(candidates)] float32."""
        if not candidates:
            return np.zeros(0, np.float32)
        answer = self.embed([tokens], question)[0]
        return np.clip(self.encode_text(candidates) @ answer, -1.0, 1.0)

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """Y-Decoder, greedy; nearest known text where its confidence is below `decode_above`."""
        if self._words is None or self._known is None:
            raise ModelError("the part 'decoder' is not loaded")
        vectors = np.atleast_2d(np.asarray(embeddings, np.float32))
        written = generate_greedily(self._sessions, self._words, vectors)
        out = []
        for vector, (text, confidence) in zip(vectors, written, strict=True):
            if text and confidence >= self._config.calibration.decode_above:
                out.append(Generated(text, confidence, True))
            else:
                out.append(self._known.nearest(vector, self._config.calibration))
        return out

    def known_texts(self) -> tuple[list[str], NDArray[np.float32]]:
        """Texts that the model was trained on, and their embeddings [N, D]."""
        if self._known is None:
            raise ModelError("known texts come with the parts 'text' and 'decoder'")
        return list(self._known.texts), self._known.embeddings

    def close(self) -> None:
        """Free sessions and caches."""
        self._sessions.close()
        self._texts.clear()
        self._queries.clear()

    def _check(self, clip: Clip) -> None:
        frames, size = self._config.clip_frames, self._config.input_size
        expected = (frames, size, size, 3)
        if clip.frames.shape != expected or clip.frames.dtype != np.uint8:
            raise ValueError(
                f"clip is {clip.frames.dtype} {clip.frames.shape}, "
                f"this model wants uint8 {expected}"
            )
        if len(clip.stamps) != frames:
            raise ValueError(f"clip has {len(clip.stamps)} stamps for {frames} frames")

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self._tokenizer is None:
            raise ModelError("the parts 'text' and 'predictor' are not loaded")
        return self._tokenizer.ids(texts)

    def _query(self, query: str) -> NDArray[np.float32]:
        """Token embeddings [L, D] of a query."""
        found = self._queries.get(query)
        if found is None:
            ids, valid = pad_ids(self._ids([query]))
            found = self._sessions.run("text_trunk", ids, valid)[0][0]
            self._queries.put(query, found)
        return found

    def _encode_new(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """In batches of texts of similar length, so that little is spent on padding."""
        ids = self._ids(texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        result = np.zeros((len(texts), self._config.dim), np.float32)
        for start in range(0, len(order), _TEXT_BATCH):
            rows = order[start : start + _TEXT_BATCH]
            tokens, valid = pad_ids([ids[row] for row in rows])
            pooled = self._sessions.run("text_trunk", tokens, valid)[1]
            result[rows] = self._sessions.run("text_head", pooled)[0]
        return result
