"""From judged answers to figures: the JSON object, the table and the model card's section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from vljepa_lab.evaluation.bootstrap import scene_bootstrap

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
    may be empty for a task with a known chance level instead. other_clip: whether the answer is
    the same from another scene's clip, for a part of the samples.
    """

    scenes: list[str] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    blind_majority: list[bool] = field(default_factory=list)
    blind_zeroed: list[bool] = field(default_factory=list)
    other_clip: list[bool] = field(default_factory=list)
    chance: float | None = None

    def blind_by(self, trained: float | None = None) -> dict[str, float]:
        """What is reached without looking, by who answers: question-string `majority`, the
        Predictor with visual tokens `zeroed`, one `trained` with them zeroed, `chance`."""
        found = {
            name: float(np.mean(part))
            for name, part in (("majority", self.blind_majority), ("zeroed", self.blind_zeroed))
            if part
        }
        if trained is not None and found:
            found["trained"] = trained
        if self.chance is not None:
            found["chance"] = self.chance
        return found


def task_figures(judged: Judged, trained: float | None = None) -> dict[str, Any]:
    """Return accuracy, ci, blind (the best that does not look), blind_by, n and scenes of one task.

    :param trained: accuracy of a Predictor that was trained with visual tokens zeroed.
    :raises ValueError: the task has no samples.
    """
    estimate = scene_bootstrap(judged.right, judged.scenes)
    blind = {name: round(value, 4) for name, value in judged.blind_by(trained).items()}
    found: dict[str, Any] = {
        "accuracy": round(estimate.value, 4),
        "ci": [round(estimate.low, 4), round(estimate.high, 4)],
        "blind": max(blind.values(), default=None),
        "blind_by": blind,
        "n": estimate.n,
        "scenes": estimate.scenes,
    }
    if judged.other_clip:
        found["other_clip"] = round(float(np.mean(judged.other_clip)), 4)
    return found


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
    table.add_column("task", no_wrap=True)
    heads = ["accuracy", "95% interval", "blind", "other", "n"]
    heads += ["beside"] if "beside" in result else []
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    for row in _rows(result):
        table.add_row(*row[: len(heads) + 1])
    console.print(table)
    for line in _headlines(result):
        console.print(line)


def card_section(result: Mapping[str, Any]) -> str:
    """Return the model card's section in Markdown, with its marks; the two figures that matter most
    first."""
    lines = [CARD_BEGIN, ""]
    lines += [f"- **{line}**" for line in _headlines(result)[:2]]
    lines += [f"- {line}" for line in _headlines(result)[2:]]
    beside = "beside" in result
    heads = ["task", "accuracy", "95% interval", "blind", "other clip", "n"]
    heads += [result["beside"]["what"]] if beside else []
    lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in _rows(result):
        lines.append("| " + " | ".join(row[: len(heads)]) + " |")
    lines += ["", *_failed(result)]
    scenes = ", ".join(f"{count} of {split}" for split, count in result["scenes"].items())
    trained = any("trained" in task.get("blind_by", {}) for task in result["tasks"].values())
    blind = "and one trained with them zeroed" if trained else "(none was trained with them zeroed)"
    lines += [
        f"Scenes: {scenes}. Intervals: percentile bootstrap over scenes. Blind: the best of the "
        "question-string majority (learned on validation scenes), the Predictor with visual tokens "
        f"zeroed, {blind}. Other clip: the same question about another "
        "scene's clip, judged by the first one's truth. Printed again by `vljepa eval`.",
        "",
        CARD_END,
    ]
    return "\n".join(lines)


def _failed(result: Mapping[str, Any]) -> list[str]:
    """Tasks that stay at their blind baseline: they are not to be relied on."""
    names = [
        name
        for name, task in result["tasks"].items()
        if task["blind"] is not None and task["ci"][0] <= task["blind"]
    ]
    if not names:
        return []
    return [f"At their blind baseline, not to be relied on: {', '.join(names)}.", ""]


def fill_card(card: str, result: Mapping[str, Any]) -> str:
    """Return the model card with its evaluation section replaced, or added at the end."""
    section = card_section(result)
    pattern = re.escape(CARD_BEGIN) + ".*?" + re.escape(CARD_END)
    if re.search(pattern, card, flags=re.DOTALL):
        return re.sub(pattern, lambda _: section, card, flags=re.DOTALL)
    return card.rstrip() + "\n\n## Evaluation\n\n" + section + "\n"


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    beside = result.get("beside", {}).get("tasks", {})
    return [
        [
            name,
            f"{task['accuracy']:.3f}",
            f"{task['ci'][0]:.3f} to {task['ci'][1]:.3f}",
            "" if task["blind"] is None else f"{task['blind']:.3f}",
            f"{task['other_clip']:.3f}" if "other_clip" in task else "",
            str(task["n"]),
            f"{beside[name]['accuracy']:.3f}" if name in beside else "",
        ]
        for name, task in result["tasks"].items()
    ]


def _headlines(result: Mapping[str, Any]) -> list[str]:
    names: Sequence[tuple[str, str]] = (
        ("macro_vqa", "mean VQA accuracy"),
        ("events_told_share", "share of events told rightly"),
        ("macro_vqa_above_blind", "mean share of the way from blind to perfect"),
        ("text_right_share", "share of time the robot's text is true"),
        ("unseen_action_ceiling", "unseen wording of actions, ceiling of the text side alone"),
        ("unseen_action_of_ceiling", "share of that ceiling reached"),
        ("ece_debiased", "expected calibration error, the answer being among the candidates"),
        ("ece_worst", "the same, worst task"),
        ("ece_open", "expected calibration error, a third of the sets without the answer"),
        ("ece_open_worst", "the same, worst task"),
        ("abstained_share", "share of questions not answered, probability below the threshold"),
        ("accuracy_answered", "accuracy of the others"),
    )
    lines = [f"{text}: {result[name]:.3f}" for name, text in names if result.get(name) is not None]
    beside = result.get("beside", {}).get("parity")
    if beside:
        lines.append(
            f"distance to {result['beside']['model_id']} ({result['beside']['what']}): "
            f"{beside['error']:.4f} of the median distance between {beside['clips']} clips, best "
            f"label equal in {beside['agreement']:.2%}"
        )
    return lines
