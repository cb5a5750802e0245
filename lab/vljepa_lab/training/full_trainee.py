"""What is trained of the paper-sized VL-JEPA, and how a batch goes through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.full_gather import number_keys
from vljepa_lab.training.full_samples import DEFAULT_QUERIES, Sample, load_clip
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.models.image_fit import normalise_frames
from vljepa_ros.models.vl_jepa.full_sizes import FullSizes
from vljepa_ros.models.vl_jepa.full_token_ids import TokenIds
from vljepa_ros.models.vl_jepa.full_token_table import TokenTable
from vljepa_ros.models.vl_jepa.full_weights import load_modules

_START_TEMPERATURE = 0.07


@dataclass(frozen=True)
class Batch:
    """pixels [B, T, 3, S, S]; query [B, Q, hidden] and its mask; ids and mask of the answers; keys
    [B]."""

    pixels: Tensor
    query: Tensor
    query_mask: Tensor
    ids: Tensor
    mask: Tensor
    keys: Tensor


class FullTrainee(nn.Module):
    """Predictor, Y-Encoder and temperature; the X-Encoder and the token table are frozen (section
    3.2)."""

    def __init__(self, config: ModelConfig, checkpointing: bool) -> None:
        """Load the weights of a model folder.

        :param checkpointing: compute activations again in the backward pass instead of keeping
            them.
        """
        super().__init__()
        modules = load_modules(config, frozenset({"predictor", "text"}))
        self.predictor = modules["predictor"].requires_grad_(True)
        self.predictor.checkpointing = checkpointing  # type: ignore[assignment]
        self.y_encoder = modules["text"].requires_grad_(True)
        if checkpointing:
            trunk: Any = self.y_encoder.model
            # transformers 5 has renamed it; 4 knows the old name only.
            enable = getattr(trunk, "activation_checkpointing_enable", None)
            (enable or trunk.gradient_checkpointing_enable)({"use_reentrant": False})
        self.log_scale = nn.Parameter(torch.tensor(-float(np.log(_START_TEMPERATURE))))

    def forward(
        self, tokens: Tensor, query: Tensor, query_mask: Tensor, ids: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted and true answers [B, D] of norm 1 in fp32, and the logarithm of the scale."""
        predicted = self.predictor(tokens=tokens, query=query, query_mask=query_mask)
        answers = self.y_encoder(input_ids=ids, attention_mask=mask)
        return (
            functional.normalize(predicted.float(), dim=-1),
            functional.normalize(answers.float(), dim=-1),
            self.log_scale * 1.0,
        )


class Preparer:
    """Samples to batches. Which prompt a caption is asked with follows from the sample's index."""

    def __init__(self, config: ModelConfig, frames: int) -> None:
        """Read tokenizers and token table of a model folder.

        :param frames: of a clip in training.
        """
        sizes = FullSizes.of(config)
        self._config = config
        self._frames = frames + -frames % sizes.tubelet
        self._query_ids = TokenIds(config, "query_tokenizer", sizes.query_length)
        self._text_ids = TokenIds(config, "text_tokenizer", sizes.text_length)
        self._table = TokenTable.load(config.path("token_table"))

    def __call__(self, samples: Sequence[Sample], indices: Sequence[int]) -> Batch:
        """Load and prepare a batch."""
        clips = [load_clip(s, self._frames, self._config.preprocessing) for s in samples]
        pixels = np.stack([normalise_frames(clip, self._config.preprocessing) for clip in clips])
        questions = [
            sample.question or DEFAULT_QUERIES[index % len(DEFAULT_QUERIES)]
            for sample, index in zip(samples, indices, strict=True)
        ]
        query_ids, query_mask = self._query_ids.padded(questions)
        rows: list[NDArray[np.float32]] = [self._table.rows(row) for row in query_ids]
        ids, mask = self._text_ids.padded([sample.answer for sample in samples])
        return Batch(
            torch.from_numpy(pixels),
            torch.from_numpy(np.stack(rows)),
            torch.from_numpy(query_mask),
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            number_keys([sample.key for sample in samples]),
        )
