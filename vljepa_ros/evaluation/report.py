"""From judged answers to figures: the JSON object, the table and the model card's section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from vljepa_ros.evaluation.bootstrap import scene_bootstrap

__all__ = [
    "CARD_BEGIN",
    "CARD_END",
    "VQA_TASKS",
    "Judged",
    "card_section",
    "fill_card",
    "macro",
    "print_table",
    "task_figures",
]

# The mean over these is macro_vqa; the other tasks are variants of them or no questions.
VQA_TASKS = (
    "door",
    "lights",
    "person",
    "action",
    "event",
    "colour",
    "count",
    "exists",
    "side",
    "holding_anything",
    "held",
    "moved",
)
CARD_BEGIN = "<!-- generated from `vljepa eval`: begin -->"
CARD_END = "<!-- generated from `vljepa eval`: end -->"


@dataclass
class Judged:
    """Answers of one task, judged; lists of equal length, one entry for each sample.

    scenes: id of the scene. right, blind_majority, blind_zeroed: whether the model, the
    question-string majority and the Predictor with visual tokens zeroed were right; blind lists
    may be empty for a task with a known chance level instead.
    """

    scenes: list[str] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    blind_majority: list[bool] = field(default_factory=list)
    blind_zeroed: list[bool] = field(default_factory=list)
    chance: float | None = None

    def blind(self) -> float | None:
        """The better of the blind answers, 0..1; None where nothing can be answered blind."""
        shares = [float(np.mean(part)) for part in (self.blind_majority, self.blind_zeroed) if part]
        if self.chance is not None:
            shares.append(self.chance)
        return max(shares, default=None)


def task_figures(judged: Judged) -> dict[str, Any]:
    """Return accuracy, ci, blind, n and scenes of one task.

    :raises ValueError: the task has no samples.
    """
    estimate = scene_bootstrap(judged.right, judged.scenes)
    blind = judged.blind()
    return {
        "accuracy": round(estimate.value, 4),
        "ci": [round(estimate.low, 4), round(estimate.high, 4)],
        "blind": None if blind is None else round(blind, 4),
        "n": estimate.n,
        "scenes": estimate.scenes,
    }


def macro(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return macro_vqa, the mean accuracy of the VQA tasks present, and the mean of
    (accuracy - blind) / (1 - blind) over them: 0 for blind guessing, 1 for perfect."""
    present = [tasks[name] for name in VQA_TASKS if name in tasks]
    if not present:
        return {}
    gains = [
        (task["accuracy"] - task["blind"]) / max(1.0 - task["blind"], 1e-9)
        for task in present
        if task["blind"] is not None
    ]
    figures = {"macro_vqa": round(float(np.mean([task["accuracy"] for task in present])), 4)}
    if gains:
        figures["macro_vqa_above_blind"] = round(float(np.mean(gains)), 4)
    return figures


def print_table(result: Mapping[str, Any], stream: IO[str]) -> None:
    """Print the result for a person."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=stream, highlight=False)
    table = Table(title=f"{result['model_id']} on {result['engine']}, held-out scenes")
    table.add_column("task")
    for name in ("accuracy", "95% interval", "blind", "n", "scenes"):
        table.add_column(name, justify="right")
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)
    for line in _headlines(result):
        console.print(line)


def card_section(result: Mapping[str, Any]) -> str:
    """Return the model card's section in Markdown, with its marks."""
    lines = [CARD_BEGIN, "", *(f"- {line}" for line in _headlines(result)), ""]
    lines += ["| task | accuracy | 95% interval | blind | n |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row[:5]) + " |" for row in _rows(result)]
    scenes = ", ".join(f"{count} of {split}" for split, count in result["scenes"].items())
    lines += [
        "",
        f"Scenes: {scenes}. Intervals: percentile bootstrap over scenes. Blind: the better of the "
        "question-string majority, learned on validation scenes, and the Predictor with visual "
        "tokens "
        "zeroed. Printed again by `vljepa eval`.",
        "",
        CARD_END,
    ]
    return "\n".join(lines)


def fill_card(card: str, result: Mapping[str, Any]) -> str:
    """Return the model card with its evaluation section replaced, or added at the end."""
    section = card_section(result)
    pattern = re.escape(CARD_BEGIN) + ".*?" + re.escape(CARD_END)
    if re.search(pattern, card, flags=re.DOTALL):
        return re.sub(pattern, lambda _: section, card, flags=re.DOTALL)
    return card.rstrip() + "\n\n## Evaluation\n\n" + section + "\n"


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            f"{task['accuracy']:.3f}",
            f"{task['ci'][0]:.3f} to {task['ci'][1]:.3f}",
            "" if task["blind"] is None else f"{task['blind']:.3f}",
            str(task["n"]),
            str(task["scenes"]),
        ]
        for name, task in result["tasks"].items()
    ]


def _headlines(result: Mapping[str, Any]) -> list[str]:
    names: Sequence[tuple[str, str]] = (
        ("macro_vqa", "mean VQA accuracy"),
        ("macro_vqa_above_blind", "mean share of the way from blind to perfect"),
        ("text_right_share", "share of time the robot's text is true"),
        ("ece", "expected calibration error, 10 equal-mass bins"),
    )
    return [f"{text}: {result[name]:.3f}" for name, text in names if result.get(name) is not None]
