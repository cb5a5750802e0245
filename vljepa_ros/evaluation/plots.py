"""Pictures of an evaluation: confusion of actions, reliability, tasks beside their blind
baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.evaluation.calibration import reliability_bins
from vljepa_ros.evaluation.run_eval import Evaluation
from vljepa_ros.world.state import ACTIONS

__all__ = ["write_plots"]

INK, BLUE, GREY, ORANGE = "#1f2933", "#2563a8", "#9aa5b1", "#c2410c"


def write_plots(evaluation: Evaluation, result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write what there is data for and return the files.

    :raises OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if evaluation.actions:
        written.append(_confusion(evaluation.actions, folder / "confusion_actions.png"))
    stated, right = evaluation.calibration()
    if stated:
        written.append(_reliability(stated, right, result["ece"], folder / "reliability.png"))
    if result["tasks"]:
        written.append(_tasks(result, folder / "tasks.png"))
    return written


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _confusion(answers: list[tuple[str, str]], path: Path) -> Path:
    """Rows: the true action; columns: the answer; shares of each row."""
    names = {f"event:{kind}": place for place, kind in enumerate(ACTIONS)}
    counts = np.zeros((len(ACTIONS), len(ACTIONS)))
    for true, answered in answers:
        counts[names[true], names[answered]] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(9.5, 8.5)
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
    figure.savefig(path)
    return path


def _reliability(stated: list[float], right: list[bool], ece: float, path: Path) -> Path:
    bins = reliability_bins(stated, right)
    figure = _figure(6.2, 6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfect")
    error = [1.96 * np.sqrt(max(b.accuracy * (1 - b.accuracy), 1e-9) / b.count) for b in bins]
    axes.errorbar(
        [b.confidence for b in bins],
        [b.accuracy for b in bins],
        yerr=error,
        marker="o",
        color=BLUE,
        capsize=3,
        label=f"10 bins of {bins[0].count} answers",
    )
    axes.set(
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        xlabel="stated probability of the answer",
        ylabel="share that was right",
        title=f"Reliability of all VQA answers, ECE {ece:.3f}",
    )
    axes.grid(color="#e4e7eb")
    axes.legend(frameon=False)
    figure.savefig(path)
    return path


def _tasks(result: Mapping[str, Any], path: Path) -> Path:
    tasks = list(result["tasks"].items())
    figure = _figure(9, 0.36 * len(tasks) + 1.4)
    axes = figure.add_subplot()
    for row, (_, task) in enumerate(tasks):
        axes.barh(row, task["accuracy"], color="#bcd4f0", height=0.62)
        axes.plot(task["ci"], [row, row], color=BLUE, linewidth=2.2)
        if task["blind"] is not None:
            axes.plot([task["blind"]] * 2, [row - 0.36, row + 0.36], color=ORANGE, linewidth=2.2)
        axes.text(0.012, row, f"{task['accuracy']:.2f}", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(tasks)), [name for name, _ in tasks])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="accuracy; blue line: 95% interval; orange: blind baseline")
    axes.set_title(f"{result['model_id']}, held-out scenes")
    axes.grid(axis="x", color="#e4e7eb")
    axes.set_axisbelow(True)
    figure.savefig(path)
    return path
