"""Greedy generation with the Y-Decoder's prefill and step graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.sessions import GraphSessions
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords

MAX_WORDS = 32
"""Longest text that is written, in words and marks."""


def generate_greedily(
    sessions: GraphSessions,
    words: DecoderWords,
    embeddings: NDArray[np.float32],
    longest: int = MAX_WORDS,
) -> list[tuple[str, float]]:
    """Text and confidence (product of the token probabilities, the end mark's included) for each of
    [B, D].
    """
    batch = len(embeddings)
    if batch == 0:
        return []
    logits, cache = sessions.run("decoder_prefill", embeddings)
    chosen: list[list[int]] = [[] for _ in range(batch)]
    log_confidence = np.zeros(batch)
    running = np.ones(batch, bool)
    for position in range(longest):
        shifted = logits - logits.max(1, keepdims=True)
        log_probability = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        word = log_probability.argmax(1)
        log_confidence += np.where(running, log_probability[np.arange(batch), word], 0.0)
        for row in np.flatnonzero(running):
            chosen[row].append(int(word[row]))
        running &= word != DecoderWords.END
        if not running.any():
            break
        logits, cache = sessions.run(
            "decoder_step", word.astype(np.int64), np.array([position], np.int64), cache
        )
    # A text that never ended is cut, and its confidence says so.
    log_confidence[running] = -np.inf
    return [
        (words.text(row), float(np.exp(value)))
        for row, value in zip(chosen, log_confidence, strict=True)
    ]
