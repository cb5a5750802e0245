"""The model card of a trained nano: what it is, how it was made, what validation says.

`vljepa eval --model FOLDER --card` adds the figures on held-out rooms, which are the ones to quote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vljepa_lab.world.records import ACTIONS

_TEXT = """# {model_id}

A small VL-JEPA for 128x128 pixels, trained from scratch on the simulated robot-camera world of
vljepa_ros by `vljepa train nano`. It runs on one CPU core through ONNX Runtime, offline.

**It knows its own world only**: one room with a table, an arm, ten shapes in eight colours, a
door, lights, {seen}. The names it gives on real video are mostly wrong.

| | |
|---|---|
| input | 4 RGB frames 0.5 s apart, 128x128 |
| embedding | 256 numbers, L2 norm 1, shared by clips and texts |
| trainable parameters | {parameters:.1f} M, with the upper layers of the text trunk (int8) |
| weights | `model.safetensors`; all graphs refer to this one file and compute in fp32 |
| training data | {scenes} scenes of the simulated world; ten colour+shape pairs are in none |
| minutes of training | {minutes} |
| licence | Apache-2.0 |

## Attribution

The text trunk is [sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)
(Apache-2.0) with fewer words, positions up to 64 and int8 weights (one scale per row).

## Validation

Rooms of the trained kinds, nearest candidate; blind: always the commonest answer.

| task | accuracy | blind |
|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Trained:
    """What the card tells: minutes per phase; accuracy as `quick_accuracy` gives it with blind."""

    model_id: str
    parameters: int
    scenes: int
    minutes: Mapping[str, float]
    accuracy: Mapping[str, float]


def write_card(folder: Path, trained: Trained) -> None:
    """Write README.md of a model folder, unless there is one: a card that was edited stays."""
    file = folder / "README.md"
    if file.is_file():
        return
    rows = [
        f"| {task} | {value:.3f} | {trained.accuracy.get(f'{task} blind', 0):.3f} |"
        for task, value in trained.accuracy.items()
        if not task.endswith(" blind")
    ]
    minutes = ", ".join(f"{name} {spent:.0f}" for name, spent in trained.minutes.items())
    file.write_text(
        _TEXT.format(
            model_id=trained.model_id,
            parameters=trained.parameters / 1e6,
            scenes=trained.scenes,
            minutes=minutes,
            seen=f"a person, and {len(ACTIONS)} kinds of events",
            rows="\n".join(rows),
        ),
        encoding="utf-8",
    )
