"""Pictures of change detection: quality against decodes, and one stream in detail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.evaluation.change.names import sets_of
from vljepa_lab.evaluation.change.replay import AFTER_TURN
from vljepa_lab.evaluation.change.streams import ChangeStream, StreamConfig, synthetic_stream
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.change.detector import CHANGE, CORRECTION

INK, GREY, LIGHT = "#1f2933", "#7b8794", "#e4e7eb"
LINES = {
    "anchor_drift": ("anchor drift (default)", "#c2410c", 2.6),
    "ward_gain": ("online Ward gain", "#2563a8", 1.4),
    "cusum": ("CUSUM", "#0f766e", 1.4),
    "window_variance": ("window variance (paper's online rule)", "#7c3aed", 1.4),
    "consecutive_difference": ("consecutive difference", "#b7791f", 1.4),
    "uniform": ("uniform", GREY, 1.8),
}


def write_plots(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the pictures of a result of `run.run` and return the files.

    :raises OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [_pareto(result, folder / "change_pareto.png", str(result["source"]))]
    if "synthetic" in result:
        path = folder / "change_pareto_synthetic.png"
        written.append(_pareto(result["synthetic"], path, "synthetic"))
    stream = synthetic_stream(
        StreamConfig(gap=12.0, seconds=150.0, perturbed=True, turn_every=60.0), seed=1003
    )
    written.append(_trace(stream, folder / "change_trace.png"))
    return written


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _pareto(result: Mapping[str, Any], path: Path, source: str) -> Path:
    names = list(result["curves"])
    rows = 2 if len(names) > 3 else 1
    order = sorted(names, key=lambda name: name.endswith(".perturbed")) if rows == 2 else names
    columns = -(-len(order) // rows)
    figure = _figure(4.8 * columns + 0.4, 3.7 * rows + 1.0)
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
    figure.savefig(path)
    return path


def _panel(axes: Any, result: Mapping[str, Any], name: str) -> None:
    ceiling = result["ceiling"][name]
    for kind, (label, colour, width) in LINES.items():
        rates, shares = (np.array(values) for values in result["curves"][name][kind])
        order = np.argsort(rates)
        axes.plot(
            rates[order],
            shares[order] / ceiling,
            color=colour,
            linewidth=width,
            label=label,
            marker="." if kind != "uniform" else None,
            markersize=5,
            zorder=3 if kind == "anchor_drift" else 2,
        )
    figures = sets_of(result)[name]
    own = figures["anchor_drift"]
    axes.plot(
        own["decodes_per_min"],
        own["event_right_share"] / ceiling,
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=LINES["anchor_drift"][1],
        markeredgewidth=2,
        linestyle="none",
        label="default setting",
        zorder=4,
    )
    ward = figures["ward_midpoint"]
    axes.plot(
        ward["decodes_per_min"],
        ward["event_right_share"] / ceiling,
        marker="D",
        markersize=7,
        color=INK,
        linestyle="none",
        label="offline Ward, at midpoints (paper)",
        zorder=4,
    )
    axes.axhline(1.0, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    axes.set_xlim(0.4, 260)
    axes.set_ylim(0.0, 1.35)
    axes.set_xticks(
        [0.5, 1, 2, 5, 10, 20, 60, 240], ["0.5", "1", "2", "5", "10", "20", "60", "240"]
    )
    axes.minorticks_off()
    axes.text(0.45, 1.02, "decode every sample", fontsize=8, color=GREY, va="bottom")
    axes.set_title(
        _title(name, result["saved_vs_uniform"][name], result["saved"][name]), fontsize=10
    )
    axes.set_xlabel("decodes per minute", fontsize=9)
    axes.set_ylabel("share of event time told rightly / ceiling", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color=LIGHT, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _title(name: str, saved: float, details: Mapping[str, Any]) -> str:
    gap, _, rest = name.partition(".")
    what = f"an event every {gap[3:]} s" if gap.startswith("gap") else gap
    what += ", perturbed" if rest == "perturbed" else ", quiet" if gap.startswith("gap") else ""
    least = "at least " if details["at_least"] else ""
    tight = details["at_rate_of_95_percent"]
    return f"{what}\nsaved: {tight:.1f}x at .95 of the ceiling, {least}{saved:.1f}x at default"


def _trace(stream: ChangeStream, path: Path) -> Path:
    """Drift and limit over one perturbed stream, with what was told."""
    guard = TurnGuard(TurnGuardConfig(hold=stream.clip + AFTER_TURN))
    detector = AnchorDrift(AnchorDriftConfig(clip=stream.clip), guard)
    drifts, limits, told = [], [], []
    turns = stream.turn_rates.tolist()
    for stamp, vector, rate in zip(stream.stamps.tolist(), stream.embeddings, turns, strict=True):
        if rate:
            guard.turn(stamp, rate)
        change = detector.observe(stamp, vector)
        drifts.append(detector.drift)
        limits.append(detector.threshold)
        if change is not None:
            told.append(change)
    figure = _figure(12.5, 4.2)
    axes = figure.add_subplot()
    for index, event in enumerate(stream.events):
        axes.axvspan(
            event.start, event.end, color="#fde2c8", label="an event happens" if not index else None
        )
    turning = np.abs(stream.turn_rates) > 0
    top = 1.15 * max(drifts)
    axes.fill_between(
        stream.stamps,
        0,
        np.where(turning, top, np.nan),
        color="#dbeafe",
        step="mid",
        label="the robot turns",
    )
    axes.plot(stream.stamps, drifts, color="#2563a8", linewidth=1.3, label="drift")
    axes.plot(stream.stamps, limits, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), label="limit")
    for reason, style, what in (
        (CHANGE, "-", "change told"),
        (CORRECTION, (0, (1, 1.2)), "corrected"),
    ):
        stamps = [change.stamp for change in told if change.reason == reason]
        for index, stamp in enumerate(stamps):
            axes.axvline(
                stamp,
                color="#c2410c",
                linewidth=1.2,
                linestyle=style,
                label=None if index else what,
            )
    onsets = [change.onset for change in told if change.reason == CHANGE]
    axes.plot(
        onsets,
        np.zeros(len(onsets)),
        marker="^",
        color="#c2410c",
        markersize=7,
        clip_on=False,
        linestyle="none",
        label="estimated onset",
    )
    axes.set_xlim(float(stream.stamps[0]), stream.end)
    axes.set_ylim(0, top)
    axes.set_xlabel("seconds")
    axes.set_ylabel("cosine distance from the published state")
    axes.set_title("What the detector sees: a perturbed stream", fontsize=12, color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=7, frameon=False, fontsize=9)
    figure.savefig(path)
    return path
