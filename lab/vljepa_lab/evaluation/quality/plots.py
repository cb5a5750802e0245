"""Pictures of an evaluation: confusion of actions, reliability, accuracy over coverage, tasks
beside their blind baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.evaluation.quality.calibration import reliability_bins
from vljepa_lab.evaluation.quality.judgement import Evaluation, StatedAnswers
from vljepa_lab.evaluation.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE_BLUE,
    new_figure,
    save_figure,
    style_axes,
)
from vljepa_lab.world.records import ACTIONS

WHOLE_SETS, OPEN_SETS = "answer is among the candidates", "a third of the sets lacks it"


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


def _confusion(answers: list[tuple[str, str]], path: Path) -> Path:
    """Rows: the true action; columns: the answer; shares of each row."""
    names = {f"event:{kind}": place for place, kind in enumerate(ACTIONS)}
    counts = np.zeros((len(ACTIONS), len(ACTIONS)))
    for true, answered in answers:
        counts[names[true], names[answered]] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(9.5, 8.5)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        axes.text(
            column,
            row,
            f"{100 * shares[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.55 else INK,
        )
    labels = [f"{kind} ({int(n)})" for kind, n in zip(ACTIONS, counts.sum(axis=1), strict=True)]
    axes.set_yticks(range(len(ACTIONS)), labels)
    axes.set_xticks(range(len(ACTIONS)), ACTIONS, rotation=50, ha="right", rotation_mode="anchor")
    axes.set(xlabel="answered", ylabel="true (clips)", title="Actions, % of each row")
    return save_figure(figure, path)


def _reliability(evaluation: Evaluation, result: Mapping[str, Any], path: Path) -> Path:
    """Left: all answers, whole and random sets; right: each task by itself."""
    figure = new_figure(11.5, 5.8)
    every, single = figure.subplots(1, 2)
    whole = StatedAnswers.joined(evaluation.stated)
    sets = [(WHOLE_SETS, whole.given, whole.right, result["ece_debiased"], BLUE)]
    if evaluation.open_stated:
        drawn = StatedAnswers.joined(evaluation.open_stated)
        sets.append((OPEN_SETS, drawn.alone, drawn.right, result["ece_open"], ORANGE))
    for label, values, outcomes, ece, colour in sets:
        bins = reliability_bins(values, outcomes)
        error = [1.96 * np.sqrt(max(b.accuracy * (1 - b.accuracy), 1e-9) / b.count) for b in bins]
        every.errorbar(
            [b.confidence for b in bins],
            [b.accuracy for b in bins],
            yerr=error,
            marker="o",
            color=colour,
            capsize=3,
            label=f"{label}: ECE {ece:.3f}, n {len(values)}",
        )
    for number, (name, one) in enumerate(sorted(evaluation.stated.items())):
        bins = reliability_bins(one.given, one.right)
        single.plot(
            [b.confidence for b in bins],
            [b.accuracy for b in bins],
            marker=".",
            linewidth=1.2,
            color=f"C{number % 10}",
            linestyle="-" if number < 10 else "--",
            label=f"{name} {result['ece_by_task'][name]:.3f}",
        )
    for axes, title in ((every, "All VQA answers"), (single, "By task, with its ECE")):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), title=title)
        axes.set(xlabel="stated probability of the answer", ylabel="share that was right")
        style_axes(axes)
        axes.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def _coverage(result: Mapping[str, Any], path: Path) -> Path:
    """Accuracy over the share of questions answered, the surest ones first."""
    figure = new_figure(6.6, 5.2)
    axes = figure.add_subplot()
    curves = [(WHOLE_SETS, result["coverage"], BLUE)]
    if "open_sets" in result:
        curves.append((OPEN_SETS, result["open_sets"]["coverage"], ORANGE))
    for label, curve, colour in curves:
        axes.plot([c["share"] for c in curve], [c["accuracy"] for c in curve], marker=".",
                  color=colour, label=label)  # fmt: skip
    axes.axvline(1 - result["abstained_share"], color=GREY, linestyle="--", linewidth=1,
                 label=f"probability of {result['abstain_below']:g} and more")  # fmt: skip
    axes.set(xlim=(0, 1.02), ylim=(None, 1.01), title="Answering only when sure")
    axes.set(xlabel="share of questions answered", ylabel="share of the answers that was right")
    style_axes(axes)
    axes.legend(frameon=False)
    return save_figure(figure, path)


def _tasks(result: Mapping[str, Any], path: Path) -> Path:
    tasks = list(result["tasks"].items())
    figure = new_figure(9, 0.36 * len(tasks) + 1.4)
    axes = figure.add_subplot()
    for row, (_, task) in enumerate(tasks):
        axes.barh(row, task["accuracy"], color=PALE_BLUE, height=0.62)
        axes.plot(task["ci"], [row, row], color=BLUE, linewidth=2.2)
        if task["blind"] is not None:
            axes.plot([task["blind"]] * 2, [row - 0.36, row + 0.36], color=ORANGE, linewidth=2.2)
        axes.text(0.012, row, f"{task['accuracy']:.2f}", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(tasks)), [name for name, _ in tasks])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="accuracy; blue line: 95% interval; orange: blind baseline")
    axes.set_title(f"{result['model_id']}, held-out scenes")
    style_axes(axes, grid="x")
    return save_figure(figure, path)
