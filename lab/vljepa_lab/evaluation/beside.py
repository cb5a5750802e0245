"""Another version of the model beside the one that is evaluated: fp32 beside what ships, int8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.clip_parity import LEAST_CLIPS, embed_clips, measure_clips
from vljepa_lab.evaluation.quality.evaluate import evaluate
from vljepa_lab.evaluation.real_clips import read_clips
from vljepa_ros.engines.protocol import Engine


def compare(
    engine: Engine,
    other: Engine,
    data: Path,
    scenes: int,
    tasks: frozenset[str],
    seed: int,
    progress: Callable[[str, int, int], None],
    what: str,
    clips: int = LEAST_CLIPS,
) -> dict[str, Any]:
    """The same tasks by `other`, and how far the two are apart on real clips.

    `parity` is measured from `other` to `engine`, `other` being the reference.

    :param what: says in words what `other` is.
    """
    result, _ = evaluate(other, data, scenes, tasks, seed, progress)
    frames = read_clips(data / "test_a", engine.config, clips)
    prompts = list(dict.fromkeys([engine.config.default_query, *engine.config.vocabulary]))
    labels = {p: other.encode_text(t) for p, t in engine.config.vocabulary.items()}
    parity = measure_clips(
        embed_clips(other, frames, prompts), embed_clips(engine, frames, prompts), labels
    )
    return {
        "what": what,
        "model_id": result["model_id"],
        "engine": result["engine"],
        "precision": result["precision"],
        "macro_vqa": result.get("macro_vqa"),
        "tasks": result["tasks"],
        "parity": parity.as_json(),
    }
