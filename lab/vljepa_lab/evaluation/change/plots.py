"""Pictures of change detection: quality against decodes, and one stream in detail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.evaluation.change.detectors import DEFAULT
from vljepa_lab.evaluation.change.judge import sets_of
from vljepa_lab.evaluation.change.replay import turn_guard
from vljepa_lab.evaluation.change.streams import ChangeStream, StreamConfig, synthetic_stream
from vljepa_lab.evaluation.style import (
    BLUE,
    GREY,
    INK,
    OCHRE,
    ORANGE,
    PALE_BLUE,
    PALE_ORANGE,
    PURPLE,
    TEAL,
    new_figure,
    save_figure,
    style_axes,
)
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.detector import CHANGE, CORRECTION

LINES = {
    DEFAULT: ("anchor drift (default)", ORANGE, 2.6),
    "ward_gain": ("online Ward gain", BLUE, 1.4),
    "cusum": ("CUSUM", TEAL, 1.4),
    "window_variance": ("window variance (paper's online rule)", PURPLE, 1.4),
    "consecutive_difference": ("consecutive difference", OCHRE, 1.4),
    "uniform": ("uniform", GREY, 1.8),
}
RATES = {0.5: "0.5", 1: "1", 2: "2", 5: "5", 10: "10", 20: "20", 60: "60", 240: "240"}
"""Decodes per minute at the axis."""


def write_plots(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the pictures of a result of `run.run` and return the files.

    Raises:
        OSError: the folder cannot be written.
    """
    written = [_pareto(result, folder / "change_pareto.png", str(result["source"]))]
    if "synthetic" in result:
        path = folder / "change_pareto_synthetic.png"
        written.append(_pareto(result["synthetic"], path, "synthetic"))
    config = StreamConfig(gap=12.0, seconds=150.0, perturbed=True, turn_every=60.0)
    written.append(_trace(synthetic_stream(config, seed=1003), folder / "change_trace.png"))
    return written


def _pareto(result: Mapping[str, Any], path: Path, source: str) -> Path:
    names = list(result["curves"])
    rows = 2 if len(names) > 3 else 1
    order = sorted(names, key=lambda name: name.endswith(".perturbed")) if rows == 2 else names
    columns = -(-len(order) // rows)
    figure = new_figure(4.8 * columns + 0.4, 3.7 * rows + 1.0)
    figure.suptitle(
        f"Texts that are right during an event, against how often the decoder runs: {source} "
        "streams (up and to the left is better)",
        fontsize=13,
        color=INK,
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, order, strict=False):
        _panel(axes, result, name)
    for axes in panels[len(order) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=10)
    return save_figure(figure, path)


def _panel(axes: Any, result: Mapping[str, Any], name: str) -> None:
    ceiling = result["ceiling"][name]
    for kind, (label, colour, width) in LINES.items():
        rates, shares = (np.array(values) for values in result["curves"][name][kind])
        order = np.argsort(rates)
        style = {"color": colour, "linewidth": width, "label": label, "markersize": 5}
        style |= {"marker": None if kind == "uniform" else ".", "zorder": 2 + (kind == DEFAULT)}
        axes.plot(rates[order], shares[order] / ceiling, **style)
    figures = sets_of(result)[name]
    single = {
        DEFAULT: ("default setting", {"marker": "o", "markersize": 10, "fillstyle": "none",
                                             "color": ORANGE, "markeredgewidth": 2}),
        "ward_midpoint": ("offline Ward, at midpoints (paper)",
                          {"marker": "D", "markersize": 7, "color": INK}),
    }  # fmt: skip
    for kind, (label, style) in single.items():
        one = figures[kind]
        place = one["decodes_per_min"], one["event_right_share"] / ceiling
        axes.plot(*place, label=label, linestyle="none", zorder=4, **style)
    axes.axhline(1.0, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xscale="log", xlim=(0.4, 260), ylim=(0.0, 1.35))
    axes.set_xticks(list(RATES), list(RATES.values()))
    axes.minorticks_off()
    axes.text(0.45, 1.02, "decode every sample", fontsize=8, color=GREY, va="bottom")
    title = _title(name, result["saved_vs_uniform"][name], result["saved"][name])
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("decodes per minute", fontsize=9)
    axes.set_ylabel("share of event time told rightly / ceiling", fontsize=9)
    axes.tick_params(labelsize=8)
    style_axes(axes)


def _title(name: str, saved: float, details: Mapping[str, Any]) -> str:
    gap, _, rest = name.partition(".")
    what = f"an event every {gap[3:]} s" if gap.startswith("gap") else gap
    what += ", perturbed" if rest == "perturbed" else ", quiet" if gap.startswith("gap") else ""
    least = "at least " if details["at_least"] else ""
    tight = details["at_rate_of_95_percent"]
    return f"{what}\nsaved: {tight:.1f}x at .95 of the ceiling, {least}{saved:.1f}x at default"


def _trace(stream: ChangeStream, path: Path) -> Path:
    """Drift and limit over one perturbed stream, with what was published."""
    guard = turn_guard(stream)
    detector = AnchorDrift(AnchorDriftConfig(clip=stream.clip), guard)
    drifts, limits, published = [], [], []
    turns = stream.turn_rates.tolist()
    for stamp, vector, rate in zip(stream.stamps.tolist(), stream.embeddings, turns, strict=True):
        if rate:
            guard.turn(stamp, rate)
        change = detector.observe(stamp, vector)
        drifts.append(detector.drift)
        limits.append(detector.threshold)
        if change is not None:
            published.append(change)
    figure = new_figure(12.5, 4.2)
    axes = figure.add_subplot()
    top = 1.15 * max(drifts)
    for index, event in enumerate(stream.events):
        label = "_" * index + "an event happens"  # matplotlib leaves out labels that begin with _
        axes.axvspan(event.start, event.end, color=PALE_ORANGE, label=label)
    turning = np.where(stream.turn_rates != 0, top, np.nan)
    axes.fill_between(
        stream.stamps, 0, turning, color=PALE_BLUE, step="mid", label="the robot turns"
    )
    axes.plot(stream.stamps, drifts, color=BLUE, linewidth=1.3, label="drift")
    axes.plot(stream.stamps, limits, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), label="limit")
    styles = {CHANGE: ("-", "change told"), CORRECTION: ((0, (1, 1.2)), "corrected")}
    for reason, (style, label) in styles.items():
        stamps = [change.stamp for change in published if change.reason == reason]
        axes.vlines(stamps, 0, top, color=ORANGE, linewidth=1.2, linestyle=style, label=label)
    onsets = [change.onset for change in published if change.reason == CHANGE]
    marks = {"marker": "^", "markersize": 7, "color": ORANGE, "linestyle": "none"}
    axes.plot(onsets, np.zeros(len(onsets)), clip_on=False, label="estimated onset", **marks)
    axes.set(xlim=(float(stream.stamps[0]), stream.end), ylim=(0, top), xlabel="seconds")
    axes.set_ylabel("cosine distance from the published state")
    axes.set_title("What the detector sees: a perturbed stream", fontsize=12, color=INK)
    style_axes(axes, grid="")
    figure.legend(loc="outside lower center", ncols=7, frameon=False, fontsize=9)
    return save_figure(figure, path)
