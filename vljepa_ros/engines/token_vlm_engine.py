"""Runs token VLMs: captions and ranked answers, no embeddings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip, EncodedClip, EngineInfo, Generated, check_clips
from vljepa_ros.engines.torch_runner import PRECISIONS, torch_device
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.token_vlm.protocol import TokenVlm

_CANDIDATES_AT_ONCE = 16
_LONGEST_CAPTION = 32


def _refuses(what: str) -> Callable[..., NoReturn]:
    def refuse(self: TokenVlmEngine, *_: object) -> NoReturn:
        raise ModelError(
            f"model '{self.config.name}' is a token VLM and cannot '{what}': it has no shared "
            f"embedding; it can: {', '.join(sorted(self.capabilities))}"
        )

    return refuse


class TokenVlmEngine:
    """Runs a token VLM. It can `score` and `caption`: no labels, memory or change detection.

    `score` returns log-likelihoods (at most 0), not cosines: with the family's calibration (scale
    1, no "none") the softmax over the candidates is the model's own probability of each.
    """

    def __init__(self, config: ModelConfig, model: TokenVlm, info: EngineInfo) -> None:
        """Wrap a loaded model."""
        self._config = config
        self._model: TokenVlm | None = model
        self._info = info

    @classmethod
    def load(
        cls, config: ModelConfig, device: str, precision: str, threads: int = 0
    ) -> TokenVlmEngine:
        """Load Qwen2.5-VL or InstructBLIP.

        Raises:
            ModelError: Another model type, precision or device, or weights that do not match.
        """
        if precision not in PRECISIONS:
            raise ModelError(f"precision is {precision!r}, allowed: {', '.join(PRECISIONS)}")
        if threads:
            torch.set_num_threads(threads)
        place, dtype = torch_device(device), PRECISIONS[precision]
        kind = config.architecture.get("model_type")
        model: TokenVlm
        if kind == "qwen2_5_vl":
            from vljepa_ros.models.token_vlm.qwen import QwenVlm

            model = QwenVlm(config, place, dtype)
        elif kind == "instructblip":
            from vljepa_ros.models.token_vlm.instructblip import InstructBlipVlm

            model = InstructBlipVlm(config, place, dtype)
        else:
            raise ModelError(
                f"a token VLM's model_type is {kind!r}, allowed: qwen2_5_vl, instructblip"
            )
        return cls(config, model, EngineInfo("torch", str(place), precision))

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self._config

    @property
    def info(self) -> EngineInfo:
        """Engine, device and precision in use."""
        return self._info

    @property
    def capabilities(self) -> frozenset[str]:
        """`score` and `caption`; what needs embeddings needs another model."""
        return frozenset({"score", "caption"})

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """Vision tower, clip by clip: tokens [N, D] for all questions about the clip."""
        check_clips(self._config, clips, states)
        return [EncodedClip(self._loaded.encode_image(clip.frames), None) for clip in clips]

    embed = _refuses("embed")
    encode_text = check_texts = _refuses("encode_text")
    encode_candidates = _refuses("encode_candidates")
    generate = _refuses("generate")
    known_texts = _refuses("known_texts")

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        """[len(candidates)] log-likelihood of each as the complete answer, including its end."""
        if not candidates:
            return np.zeros(0, np.float32)
        model = self._loaded
        first, cache, position = model.prefill(tokens, question)
        start = torch.log_softmax(first, dim=-1)
        rows = [[*model.tokenizer.ids(text), model.end] for text in candidates]
        result: list[float] = []
        for at in range(0, len(rows), _CANDIDATES_AT_ONCE):
            chunk = rows[at : at + _CANDIDATES_AT_ONCE]
            width = max(map(len, chunk))
            ids = torch.tensor([row + [model.end] * (width - len(row)) for row in chunk])
            own = copy.deepcopy(cache)
            own.batch_repeat_interleave(len(chunk))
            after = torch.log_softmax(model.decode(ids, own, position), dim=-1)
            for row, logits in zip(chunk, after, strict=True):
                total = float(start[row[0]])
                total += sum(float(logits[i, row[i + 1]]) for i in range(len(row) - 1))
                result.append(total)
        return np.array(result, np.float32)

    def caption(
        self, tokens: Sequence[NDArray[np.float32]], query: str, longest: int = _LONGEST_CAPTION
    ) -> list[Generated]:
        """An answer to `query` for each clip's tokens [N, D], greedy, at most `longest` tokens.

        Confidence is the product of the tokens' probabilities.
        """
        return [self._write(rows, query, longest) for rows in tokens]

    def close(self) -> None:
        """Free the model."""
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def _loaded(self) -> TokenVlm:
        if self._model is None:
            raise ModelError(f"model '{self._config.name}' is closed")
        return self._model

    def _write(self, tokens: NDArray[np.float32], query: str, longest: int) -> Generated:
        model = self._loaded
        logits, cache, position = model.prefill(tokens, query)
        written: list[int] = []
        log_probability = 0.0
        while True:
            probabilities = torch.log_softmax(logits, dim=-1)
            best = int(probabilities.argmax())
            log_probability += float(probabilities[best])
            if best == model.end:
                break
            written.append(best)
            if len(written) >= longest:
                break
            logits = model.decode(torch.tensor([[best]]), cache, position)[0, -1]
            position += 1
        confidence = float(np.exp(log_probability))
        return Generated(model.tokenizer.text(written), confidence, True)
