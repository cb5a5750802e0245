"""Phase 4: the Y-Decoder, from embeddings of texts and from embeddings that the Predictor made.

Trained on texts alone it fails on predicted embeddings, which lie beside those of texts. It always
writes the canonical wording, so that many wordings of one meaning decode alike. Needs torch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from vljepa_lab.training.loop import Phase, PhaseConfig, RunContext
from vljepa_lab.training.predictions import Pair
from vljepa_lab.training.question_sampling import canonical_text, fixed_candidates
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.captions import event_texts, object_names, state_texts, vocabulary
from vljepa_lab.world.records import ACTIONS
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, split_words


@dataclass(frozen=True)
class DecoderConfig(PhaseConfig):
    """Settings of the Y-Decoder's training.

    Attributes:
        batch: rows.
        paired: share of them that are predicted embeddings.
        noise: added to all, total norm.
        wordings: texts of each meaning.
    """

    minutes: float = 5.0
    batch: int = 96
    paired: float = 0.7
    noise: float = 0.35
    rate: float = 1.5e-3
    warmup: int = 100
    save_every: float = 2.0
    wordings: int = 4


def known_keys() -> list[str]:
    """Every meaning that the decoder may write: trained events, states and short answers."""
    keys = list(dict.fromkeys(vocabulary("train").values()))
    keys += [f"event:{kind}" for kind in ACTIONS if f"event:{kind}" not in keys]
    keys += [f"object:{name}" for name in object_names("train")]
    keys += [key for _, key in fixed_candidates()]
    return list(dict.fromkeys(keys))


def decoder_words() -> list[str]:
    """All words of the canonical texts, sorted."""
    return sorted({word for key in known_keys() for word in split_words(canonical_text(key))})


def _wordings(rng: random.Random, most: int) -> list[tuple[str, str]]:
    """(text, key) for a sample of at most `most` trained wordings of every meaning."""
    rows = []
    for key in known_keys():
        kind, _, rest = key.partition(":")
        if kind == "event":
            action, _, name = rest.partition(":")
            texts = event_texts(action, name)
            picked = [texts[0], *rng.sample(texts[1:], min(3, len(texts) - 1))]
        elif kind in ("door", "lights", "person", "held"):
            texts = state_texts(key)
            picked = [canonical_text(key), *rng.sample(texts, 1)]
            if kind in ("door", "lights"):
                picked.append(rest)
        else:
            picked = [canonical_text(key)]
        rows += [(text, key) for text in picked[:most]]
    return rows


def decode_greedily(
    model: VLJEPA, words: DecoderWords, embeddings: Tensor
) -> list[tuple[str, float]]:
    """Text and confidence for each of [B, D], as the engine does, without a cache."""
    decoder = model.y_decoder
    ids = torch.zeros(len(embeddings), 0, dtype=torch.long)
    total = torch.zeros(len(embeddings))
    running = torch.ones(len(embeddings), dtype=torch.bool)
    with torch.no_grad():
        for _ in range(24):
            padded = torch.cat([ids, torch.zeros(len(ids), 1, dtype=torch.long)], 1)
            log_probability = decoder(embeddings, padded)[:, -1].log_softmax(-1)
            best, word = log_probability.max(1)
            total += torch.where(running, best, torch.zeros_like(best))
            ids = torch.cat([ids, word[:, None]], 1)
            running &= word != DecoderWords.END
            if not running.any():
                break
    rows = zip(ids.tolist(), total, strict=True)
    return [(words.text(row), float(value.exp())) for row, value in rows]


def train_decoder(
    model: VLJEPA,
    table: TextTable,
    pairs: Sequence[Pair],
    held_out: Sequence[Pair],
    words: DecoderWords,
    config: DecoderConfig,
    context: RunContext,
    seed: int = 0,
) -> None:
    """Resumes from and ends with `decoder.pt`. pairs: from training scenes; on the CPU."""
    decoder = model.y_decoder
    phase = Phase("decoder", context, config, {"y_decoder": decoder}, [(decoder, 1.0)])
    if phase.begin():
        return
    rng = random.Random(seed)
    wordings = _wordings(rng, config.wordings)
    with torch.no_grad():
        texts = model.text_head(table.answers([text for text, _ in wordings]))
    predictions = torch.stack([pair.predicted for pair in pairs])
    text_goals = [words.ids(canonical_text(key)) for _, key in wordings]
    predicted_goals = [words.ids(canonical_text(pair.question.key)) for pair in pairs]
    # Events are what the decoder is for; of the short answers there are many more.
    weights = [4.0 if p.question.task == "event" else 1.5 if len(g) > 3 else 0.7
               for p, g in zip(pairs, predicted_goals, strict=True)]  # fmt: skip
    count = round(config.batch * config.paired)
    for _ in phase.steps(saved=lambda: decoder.train(False), ready=lambda: decoder.train()):
        from_clips = rng.choices(range(len(pairs)), weights, k=count)
        from_texts = rng.choices(range(len(wordings)), k=config.batch - count)
        embeddings = torch.cat([predictions[from_clips], texts[from_texts]])
        goals = [predicted_goals[i] for i in from_clips] + [text_goals[i] for i in from_texts]
        ids = pad_sequence([torch.tensor(goal) for goal in goals], batch_first=True)
        spread = config.noise * torch.rand(len(goals), 1) * embeddings.shape[1] ** -0.5
        noisy = functional.normalize(embeddings + spread * torch.randn_like(embeddings), dim=-1)
        logits = decoder(noisy, ids)
        loss = functional.cross_entropy(
            logits.flatten(0, 1), ids.flatten(), ignore_index=DecoderWords.PAD
        )
        phase.descend(loss)
        phase.progress.add(config.batch, {"loss": loss})
    if held_out:
        written = decode_greedily(model, words, torch.stack([p.predicted for p in held_out]))
        for task in ("event", "action", "held", "door"):
            right = [
                text == words.text(words.ids(canonical_text(pair.question.key)))
                for pair, (text, _) in zip(held_out, written, strict=True)
                if pair.question.task == task
            ]
            if right:
                print(f"decoder, {task}: {sum(right) / len(right):.3f} of {len(right)}", flush=True)
