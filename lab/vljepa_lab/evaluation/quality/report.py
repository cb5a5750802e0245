"""The table of `vljepa eval` and the model card's section."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console
from rich.table import Table

CARD_BEGIN = "<!-- generated from `vljepa eval`: begin -->"
CARD_END = "<!-- generated from `vljepa eval`: end -->"


def print_table(result: Mapping[str, Any], stream: IO[str]) -> None:
    """Print the result for a person."""
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
    headlines = _headlines(result)
    lines = [CARD_BEGIN, ""]
    lines += [f"- **{line}**" for line in headlines[:2]] + [f"- {line}" for line in headlines[2:]]
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
    names = (
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
