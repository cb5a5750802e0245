"""How near the engines of a benchmark are to its reference: on clips and on texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.clip_parity import embed_clips, measure_clips
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelConfig


def parity_of(
    engines: Mapping[str, Engine], reference: str, clips: NDArray[np.uint8]
) -> dict[str, dict[str, Any]]:
    """See `ClipParity`, with `text`: the least cosine of a text's embedding.

    :param clips: [N, T, S, S, 3] uint8.
    """
    config = engines[reference].config
    words = "text_tokenizer" in config.files or "tokenizer" in config.files
    texts = ["a person opens the door", "nothing happens"] if words else ["ids: 1 2 3", "ids: 4 5"]
    prompts = sample_queries(config, 1)
    if words:
        prompts = list(dict.fromkeys([*prompts, *config.vocabulary]))
    own = engines[reference]
    labels = {p: own.encode_text(t) for p, t in config.vocabulary.items()} if words else {}
    expected, read = embed_clips(own, clips, prompts), own.encode_text(texts)
    found = {}
    for name, engine in engines.items():
        seen = expected if engine is own else embed_clips(engine, clips, prompts)
        cosine = (engine.encode_text(texts) * read).sum(axis=1).min()
        found[name] = {**measure_clips(expected, seen, labels).as_json(), "text": float(cosine)}
    return found


def sample_queries(config: ModelConfig, count: int) -> list[str]:
    """Different queries; token ids where the model has no tokenizer."""
    default = config.default_query
    if "query_tokenizer" not in config.files and config.architecture.get("form") == "full":
        return [f"ids: {' '.join(str(1 + (i + j) % 50) for j in range(8))}" for i in range(count)]
    return [default if i == 0 else f"{default} {i}" for i in range(count)]


def noise_clips(config: ModelConfig, count: int = 8) -> NDArray[np.uint8]:
    """Fixed clips [count, T, S, S, 3]: a ramp under noise, shifted from frame to frame."""
    size, rng = config.input_size, np.random.default_rng(0)
    ramp = np.linspace(0, 200, size)[None, :, None]
    frames = [
        np.roll(ramp, 7 * i, axis=1) + rng.integers(0, 56, (size, size, 3))
        for i in range(count * config.clip_frames)
    ]
    return np.stack(frames).astype(np.uint8).reshape(count, config.clip_frames, size, size, 3)
