"""Shows the result of `vljepa eval`: a table, the model card's section, and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vljepa_lab.evaluation import style
from vljepa_lab.evaluation.quality.calibration import reliability_bins
from vljepa_lab.evaluation.quality.figures import Evaluation, StatedAnswers
from vljepa_lab.world.records import ACTIONS

CARD_BEGIN = "<!-- generated from `vljepa eval`: begin -->"
CARD_END = "<!-- generated from `vljepa eval`: end -->"
HEADLINES = (
    ("macro_vqa", "mean VQA accuracy"),
    ("events_named_share", "share of events named rightly"),
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
"""Figures that are printed with these words, where they were measured."""
WHOLE_SETS, OPEN_SETS = "answer is among the candidates", "a third of the sets lacks it"


def print_table(result: Mapping[str, Any], stream: IO[str]) -> None:
    """Print the result."""
    console = Console(file=stream, highlight=False)
    table = Table(title=f"{result['model_id']} on {result['engine']}, held-out scenes")
    table.add_column("task", no_wrap=True)
    heads = ["accuracy", "95% interval", "blind", "other", "n"]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)
    if "unseen_questions" in result:
        own = Table(title="questions in a user's own words")
        for place, head in enumerate(_OWN_WORDS):
            own.add_column(head, justify="right" if place else "left", no_wrap=True)
        for row in _own_words_rows(result):
            own.add_row(*row)
        console.print(own)
    for line in _headlines(result):
        console.print(line)


def card_section(result: Mapping[str, Any]) -> str:
    """The model card's section in Markdown, with its marks; the two main figures come first."""
    headlines = _headlines(result)
    lines = [CARD_BEGIN, ""]
    lines += [f"- **{line}**" for line in headlines[:2]] + [f"- {line}" for line in headlines[2:]]
    heads = ["task", "accuracy", "95% interval", "blind", "other clip", "n"]
    lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in _rows(result):
        lines.append("| " + " | ".join(row) + " |")
    if "unseen_questions" in result:
        lines += ["", "In words that no training step saw (`doc/evaluation.md`):", ""]
        lines += ["| " + " | ".join(_OWN_WORDS) + " |", "|" + "---|" * len(_OWN_WORDS)]
        lines += ["| " + " | ".join(row) + " |" for row in _own_words_rows(result)]
    lines.append("")
    failed = [
        name
        for name, task in result["tasks"].items()
        if task["blind"] is not None and task["ci"][0] <= task["blind"]
    ]
    if failed:
        lines += [f"At their blind baseline, not to be relied on: {', '.join(failed)}.", ""]
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


def fill_card(card: str, result: Mapping[str, Any]) -> str:
    """Return the model card with its evaluation section replaced, or added at the end."""
    section = card_section(result)
    pattern = re.escape(CARD_BEGIN) + ".*?" + re.escape(CARD_END)
    if re.search(pattern, card, flags=re.DOTALL):
        return re.sub(pattern, lambda _: section, card, flags=re.DOTALL)
    return card.rstrip() + "\n\n## Evaluation\n\n" + section + "\n"


def write_plots(evaluation: Evaluation, result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write what there is data for and return the files.

    Raises:
        OSError: the folder cannot be written.
    """
    written = []
    if evaluation.actions:
        written.append(_confusion(evaluation.actions, folder / "confusion_actions.png"))
    if evaluation.stated:
        written.append(_reliability(evaluation, result, folder / "reliability.png"))
        written.append(_coverage(result, folder / "coverage.png"))
    if result["tasks"]:
        written.append(_tasks(result, folder / "tasks.png"))
    return written


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            f"{task['accuracy']:.3f}",
            f"{task['ci'][0]:.3f} to {task['ci'][1]:.3f}",
            "" if task["blind"] is None else f"{task['blind']:.3f}",
            f"{task['other_clip']:.3f}" if "other_clip" in task else "",
            str(task["n"]),
        ]
        for name, task in result["tasks"].items()
    ]


_OWN_WORDS = {
    "asked about": "",
    "accuracy": "accuracy",
    "in trained words": "trained",
    "withheld": "abstained",
    "accuracy of the others": "answered",
    "consistent": "consistency",
    "calibration error": "ece",
    "mean score where wrong": "wrong_score",
    "n": "n",
}
"""Heading -> field of `unseen_questions`."""


def _own_words_rows(result: Mapping[str, Any]) -> list[list[str]]:
    def cell(figures: Mapping[str, float], name: str) -> str:
        value = figures.get(name)
        return "" if value is None else str(value) if name == "n" else f"{value:.3f}"

    names = list(_OWN_WORDS.values())[1:]
    return [
        [kind, *(cell(figures, name) for name in names)]
        for kind, figures in result["unseen_questions"].items()
    ]


def _headlines(result: Mapping[str, Any]) -> list[str]:
    return [
        f"{text}: {result[name]:.3f}" for name, text in HEADLINES if result.get(name) is not None
    ]


def _confusion(answers: list[tuple[str, str]], path: Path) -> Path:
    """Rows: the true action; columns: the answer; shares of each row."""
    names = {f"event:{kind}": place for place, kind in enumerate(ACTIONS)}
    counts = np.zeros((len(ACTIONS), len(ACTIONS)))
    for true, answered in answers:
        counts[names[true], names[answered]] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = style.new_figure(9.5, 8.5)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        look = {"color": "white" if share > 0.55 else style.INK, "fontsize": 8}
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", **look)
    labels = [f"{kind} ({int(n)})" for kind, n in zip(ACTIONS, counts.sum(axis=1), strict=True)]
    axes.set_yticks(range(len(ACTIONS)), labels)
    axes.set_xticks(range(len(ACTIONS)), ACTIONS, rotation=50, ha="right", rotation_mode="anchor")
    axes.set(xlabel="answered", ylabel="true (clips)", title="Actions, % of each row")
    return style.save_figure(figure, path)


def _reliability(evaluation: Evaluation, result: Mapping[str, Any], path: Path) -> Path:
    """Left: all answers, whole and random sets; right: each task by itself."""
    figure = style.new_figure(11.5, 5.8)
    every, single = figure.subplots(1, 2)
    whole = StatedAnswers.joined(evaluation.stated)
    sets = [(WHOLE_SETS, whole.given, whole.right, result["ece_debiased"], style.BLUE)]
    if evaluation.open_stated:
        drawn = StatedAnswers.joined(evaluation.open_stated)
        sets.append((OPEN_SETS, drawn.alone, drawn.right, result["ece_open"], style.ORANGE))
    for label, values, outcomes, ece, colour in sets:
        confidence, accuracy, counts = reliability_bins(values, outcomes)
        error = 1.96 * np.sqrt(np.maximum(accuracy * (1 - accuracy), 1e-9) / counts)
        look = {"yerr": error, "marker": "o", "capsize": 3, "color": colour}
        label = f"{label}: ECE {ece:.3f}, n {len(values)}"
        every.errorbar(confidence, accuracy, label=label, **look)
    for number, (name, one) in enumerate(sorted(evaluation.stated.items())):
        confidence, accuracy, _ = reliability_bins(one.given, one.right)
        look = {"marker": ".", "linewidth": 1.2, "linestyle": "-" if number < 10 else "--"}
        label = f"{name} {result['ece_by_task'][name]:.3f}"
        single.plot(confidence, accuracy, color=f"C{number % 10}", label=label, **look)
    for axes, title in ((every, "All VQA answers"), (single, "By task, with its ECE")):
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle=":")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), title=title)
        axes.set(xlabel="stated probability of the answer", ylabel="share that was right")
        style.style_axes(axes)
        axes.legend(frameon=False, fontsize=8)
    return style.save_figure(figure, path)


def _coverage(result: Mapping[str, Any], path: Path) -> Path:
    """Accuracy over the share of questions answered, the surest ones first."""
    figure = style.new_figure(6.6, 5.2)
    axes = figure.add_subplot()
    curves = [(WHOLE_SETS, result["coverage"], style.BLUE)]
    if "open_sets" in result:
        curves.append((OPEN_SETS, result["open_sets"]["coverage"], style.ORANGE))
    for label, curve, colour in curves:
        shares, accuracy = zip(*((c["share"], c["accuracy"]) for c in curve), strict=True)
        axes.plot(shares, accuracy, marker=".", color=colour, label=label)
    label = f"probability of {result['abstain_below']:g} and more"
    answered = 1 - result["abstained_share"]
    axes.axvline(answered, color=style.GREY, linestyle="--", linewidth=1, label=label)
    axes.set(xlim=(0, 1.02), ylim=(None, 1.01), title="Answering only when sure")
    axes.set(xlabel="share of questions answered", ylabel="share of the answers that was right")
    style.style_axes(axes)
    axes.legend(frameon=False)
    return style.save_figure(figure, path)


def _tasks(result: Mapping[str, Any], path: Path) -> Path:
    tasks = list(result["tasks"].items())
    figure = style.new_figure(9, 0.36 * len(tasks) + 1.4)
    axes = figure.add_subplot()
    for row, (_, task) in enumerate(tasks):
        axes.barh(row, task["accuracy"], color=style.PALE_BLUE, height=0.62)
        axes.plot(task["ci"], [row, row], color=style.BLUE, linewidth=2.2)
        if task["blind"] is not None:
            axes.plot(
                [task["blind"]] * 2, [row - 0.36, row + 0.36], color=style.ORANGE, linewidth=2.2
            )
        axes.text(0.012, row, f"{task['accuracy']:.2f}", va="center", fontsize=9, color=style.INK)
    axes.set_yticks(range(len(tasks)), [name for name, _ in tasks])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="accuracy; blue line: 95% interval; orange: blind baseline")
    axes.set_title(f"{result['model_id']}, held-out scenes")
    style.style_axes(axes, grid="x")
    return style.save_figure(figure, path)
