"""What is trained of the paper-sized VL-JEPA, how a batch is made, and its loss over all processes.

The loss is InfoNCE over the batches of all processes, equal to that of one process with the whole
batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.losses import info_nce
from vljepa_lab.training.paper.samples import DEFAULT_QUERIES, Sample, load_clip
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.models.preprocessing import normalise_frames
from vljepa_ros.models.vl_jepa.paper_config import PaperSizes
from vljepa_ros.models.vl_jepa.paper_model import load_modules
from vljepa_ros.models.vl_jepa.paper_text import PaperTokenizer, TokenTable

_START_TEMPERATURE = 0.07


class Batch(NamedTuple):
    """One batch.

    Attributes:
        pixels: [B, T, 3, S, S].
        query: [B, Q, hidden].
        query_mask: [B, Q].
        ids: [B, L], of the answers.
        mask: [B, L], of the answers.
        keys: [B].
    """

    pixels: Tensor
    query: Tensor
    query_mask: Tensor
    ids: Tensor
    mask: Tensor
    keys: Tensor


class PaperTrainee(nn.Module):
    """Predictor, Y-Encoder and temperature.

    The X-Encoder and the token table are frozen (section 3.2).
    """

    def __init__(self, config: ModelConfig, checkpointing: bool) -> None:
        """Load the weights of a model folder.

        Args:
            config: The model folder's configuration.
            checkpointing: Compute activations again in the backward pass instead of keeping them.
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


class BatchMaker:
    """Samples to batches. Which prompt a caption is asked with follows from the sample's index."""

    def __init__(self, config: ModelConfig, frames: int) -> None:
        """Read tokenizers and token table of a model folder.

        Args:
            config: The model folder's configuration.
            frames: Of a clip in training.
        """
        sizes = PaperSizes.of(config)
        self._config = config
        self._frames = frames + -frames % sizes.tubelet
        self._query_ids = PaperTokenizer(config, "query_tokenizer", sizes.query_length, cut=True)
        self._text_ids = PaperTokenizer(config, "text_tokenizer", sizes.text_length, cut=True)
        self._table = TokenTable.load(config.path("token_table"))

    def __call__(self, samples: Sequence[Sample], indices: Sequence[int]) -> Batch:
        """Load and prepare a batch."""
        size, spec = self._config.input_size, self._config.preprocessing
        clips = [load_clip(sample, self._frames, size, spec) for sample in samples]
        pixels = np.stack([normalise_frames(clip, spec) for clip in clips])
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


class _Gather(torch.autograd.Function):
    """All rows of all processes; gradients come back summed over the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        ctx.own = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        dist.all_reduce(whole)
        start = dist.get_rank() * ctx.own
        return whole[start : start + ctx.own]


def gather(rows: Tensor) -> Tensor:
    """[B, ...] of each process to [n * B, ...], differentiable; of a single one the same."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def number_keys(keys: Sequence[str]) -> Tensor:
    """[N] int64: a number for each of N keys, the same in every process."""
    digests = [hashlib.sha256(key.encode()).digest()[:8] for key in keys]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests])


def gathered_loss(predicted: Tensor, answers: Tensor, keys: Tensor, log_scale: Tensor) -> Tensor:
    """Bidirectional InfoNCE of [B, D] predictions and answers (norm 1) of every process.

    Every process computes the same value. Its gradient on the own rows is the sum over processes,
    and DDP divides by their number: together that is the gradient of the single-process loss.
    Answers of
    equal key are one column, so a repeated answer is no negative of itself.
    """
    predicted, answers, keys = gather(predicted), gather(answers), gather(keys)
    first_row: dict[int, int] = {}
    for row, key in enumerate(keys.tolist()):
        first_row.setdefault(key, row)
    columns = torch.tensor(list(first_row.values()), device=answers.device)
    return info_nce(predicted, answers[columns], keys, keys[columns], log_scale)
