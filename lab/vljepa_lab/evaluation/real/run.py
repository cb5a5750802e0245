"""`vljepa eval real`: any model that embeds, on real pictures and clips, through the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vljepa_lab.evaluation.real.clips import judge_clips
from vljepa_lab.evaluation.real.pictures import judge_pictures
from vljepa_lab.evaluation.real.sources import fetch
from vljepa_lab.evaluation.real.truth import read_truth
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import JsonObject


def evaluate(
    engine: Engine, half: str, clones: Path | None, progress: Callable[[str, int, int], None]
) -> JsonObject:
    """Judge a model; the JSON object of the command.

    Args:
        engine: to be judged.
        half: of the pictures, of `HALVES`.
        clones: see `fetch`.
        progress: receives (what, done, in all).

    Raises:
        ValueError: the model does not embed, or no picture could be had.
    """
    if "embed" not in engine.capabilities:
        raise ValueError(
            f"model '{engine.config.name}' does not embed: there is nothing to compare"
        )
    truth = read_truth().of_half(half)
    taught = [clip for clip in truth.clips if clip.state]
    wanted = [picture.file for picture in truth.pictures] + [clip.file for clip in taught]
    files, missing = fetch(wanted, clones, progress)
    if not any(picture.file.name in files for picture in truth.pictures):
        raise ValueError(
            f"no picture could be had; the first source says: {next(iter(missing.values()))}"
        )
    return {
        "model_id": engine.config.model_id,
        "half": half,
        "pictures": judge_pictures(engine, truth, files, progress),
        "clips": judge_clips(engine, taught, files, progress),
        "missing": missing,
        "left_out": sum(file.name not in files for file in wanted),
    }
