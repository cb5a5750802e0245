"""Greedy decoding with the Y-Decoder's prefill and step graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.models.vl_jepa.nano_config import MAX_WORDS
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords


def generate_greedily(
    runner: PartRunner,
    words: DecoderWords,
    embeddings: NDArray[np.float32],
    longest: int = MAX_WORDS,
) -> list[tuple[str, float]]:
    """Write a text for each embedding.

    Args:
        runner: Runs the graphs `decoder_prefill` and `decoder_step`.
        words: The Y-Decoder's vocabulary.
        embeddings: [B, D].
        longest: Maximum number of words and punctuation marks.

    Returns:
        Text and confidence of each: the product of the token probabilities, including the end mark;
        0 for a text without an end.
    """
    batch = len(embeddings)
    if batch == 0:
        return []
    made = runner.run("decoder_prefill", {"embedding": embeddings})
    logits, cache = made["logits"], made["cache"]
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
        made = runner.run(
            "decoder_step",
            {
                "word": word.astype(np.int64),
                "position": np.array([position], np.int64),
                "cache": cache,
            },
        )
        logits, cache = made["logits"], made["grown"]
    # A text without an end is cut, with confidence 0.
    log_confidence[running] = -np.inf
    return [
        (words.text(row), float(np.exp(value)))
        for row, value in zip(chosen, log_confidence, strict=True)
    ]
