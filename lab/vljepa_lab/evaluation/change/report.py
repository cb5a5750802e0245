"""What `vljepa eval events` shows: tables, quality against decodes, and one stream in detail."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vljepa_lab.evaluation import style
from vljepa_lab.evaluation.change.detectors import DEFAULT
from vljepa_lab.evaluation.change.judge import PERTURBED, sets_of
from vljepa_lab.evaluation.change.replay import observed, turn_guard
from vljepa_lab.evaluation.change.streams import ChangeStream, StreamConfig, synthetic_stream
from vljepa_ros.files import JsonMapping
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.detector import CHANGE, CORRECTION

PIPE_WIDTH = 130  # characters, where the output is no terminal
COLUMNS = {
    "events right": "{event_right_share:.3f}",
    "/ ceiling": "{of_ceiling:.2f}",
    "time right": "{text_right_share:.3f}",
    "decodes/min": "{decodes_per_min:.1f}",
    "F1 1 s": "{boundary_f1_1s:.2f}",
    "delay s": "{delay}",
    "strong": "{strong}",
    "false alarms/h": "{false_alarms_per_h:.1f}",
}
"""Columns of a table, and how a detector's figures are written in them."""
LINES = {
    DEFAULT: ("anchor drift (default)", style.ORANGE, 2.6),
    "ward_gain": ("online Ward gain", style.BLUE, 1.4),
    "cusum": ("CUSUM", style.TEAL, 1.4),
    "window_variance": ("window variance (paper's online rule)", style.PURPLE, 1.4),
    "consecutive_difference": ("consecutive difference", style.OCHRE, 1.4),
    "uniform": ("uniform", style.GREY, 1.8),
}
RATES = {0.5: "0.5", 1: "1", 2: "2", 5: "5", 10: "10", 20: "20", 60: "60", 240: "240"}
"""Decodes per minute at the axis."""


def print_table(result: JsonMapping, file: IO[str]) -> None:
    """Print a result of `run.run`: a table for each set, then the false alarms."""
    console = Console(file=file)
    if not console.is_terminal:
        console = Console(file=file, width=PIPE_WIDTH)
    for source, part in _sources(result).items():
        for name, figures in sets_of(part).items():
            _print_set(console, source, part, name, figures)
        for name, alarms in part.get("false_alarms", {}).items():
            low, high = alarms["ci"]
            console.print(
                f"{source}, nothing happens, {name}: {alarms['per_h']:.2f} false alarms an hour "
                f"({low:.2f} to {high:.2f}) in {alarms['hours']:.1f} hours of {alarms['scenes']} "
                "scenes"
            )
        console.print()


def write_plots(result: JsonMapping, folder: Path) -> list[Path]:
    """Write the pictures of a result of `run.run` and return the files.

    Raises:
        OSError: the folder cannot be written.
    """
    ends = ("", "_synthetic")
    written = [
        _pareto(part, folder / f"change_pareto{end}.png", source)
        for end, (source, part) in zip(ends, _sources(result).items(), strict=False)
    ]
    config = StreamConfig(gap=12.0, seconds=150.0, perturbed=True, turn_every=60.0)
    return [*written, _trace(synthetic_stream(config, seed=1003), folder / "change_trace.png")]


def _sources(result: JsonMapping) -> dict[str, JsonMapping]:
    """The results of each kind of streams, by its name."""
    more = {"synthetic": result["synthetic"]} if "synthetic" in result else {}
    return {str(result["source"]): result, **more}


def _print_set(
    console: Console, source: str, part: JsonMapping, name: str, figures: JsonMapping
) -> None:
    saved, ceiling, ahead = (part[key][name] for key in ("saved", "ceiling", "vs_ward"))
    low, high = ahead["ci"]
    table = Table(
        title=f"{source} {name}: ceiling {ceiling:.3f}; against offline Ward at equal rate "
        f"{ahead['difference']:+.3f} ({low:+.3f} to {high:+.3f}), "
        f"{part['of_ward_bound'][name]:.2f} of its bound",
        title_justify="left",
    )
    table.add_column("way of choosing", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for kind, one in figures.items():
        more = {"of_ceiling": one["event_right_share"] / ceiling}
        for label, seconds in (("delay", one["delay_s"]), ("strong", one["delay_strong_s"])):
            more[label] = "-" if seconds is None else f"{seconds:.2f}"
        cells = [text.format(**one, **more) for text in COLUMNS.values()]
        table.add_row(("> " if kind == part["default"] else "") + kind, *cells)
    console.print(table)
    low, high = saved["ci"]
    console.print(
        f"decodes saved against uniform: {_at_least(saved)}{part['saved_vs_uniform'][name]:.1f} "
        f"({low:.1f} to {high:.1f}); at .95 of the ceiling {saved['at_rate_of_95_percent']:.1f}\n"
    )


def _at_least(saved: JsonMapping) -> str:
    return "at least " if saved["at_least"] else ""


def _pareto(result: JsonMapping, path: Path, source: str) -> Path:
    names = list(result["curves"])
    rows = 2 if len(names) > 3 else 1
    order = sorted(names, key=lambda name: name.endswith(f".{PERTURBED}")) if rows == 2 else names
    columns = -(-len(order) // rows)
    figure = style.new_figure(4.8 * columns + 0.4, 3.7 * rows + 1.0)
    figure.suptitle(
        f"Texts that are right during an event, against how often the decoder runs: {source} "
        "streams (up and to the left is better)",
        fontsize=13,
        color=style.INK,
    )
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, order, strict=False):
        _panel(axes, result, name)
    for axes in panels[len(order) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=10)
    return style.save_figure(figure, path)


def _panel(axes: Any, result: JsonMapping, name: str) -> None:
    ceiling, saved = result["ceiling"][name], result["saved"][name]
    for kind, (label, colour, width) in LINES.items():
        rates, shares = np.array(sorted(zip(*result["curves"][name][kind], strict=True))).T
        look = {"color": colour, "linewidth": width, "label": label, "markersize": 5}
        look |= {"marker": None if kind == "uniform" else ".", "zorder": 2 + (kind == DEFAULT)}
        axes.plot(rates, shares / ceiling, **look)
    ring = {"marker": "o", "markersize": 10, "fillstyle": "none", "markeredgewidth": 2}
    diamond = {"marker": "D", "markersize": 7}
    for kind, label, look in (
        (DEFAULT, "default setting", {"color": style.ORANGE, **ring}),
        ("ward_midpoint", "offline Ward, at midpoints (paper)", {"color": style.INK, **diamond}),
    ):
        one = sets_of(result)[name][kind]
        place = one["decodes_per_min"], one["event_right_share"] / ceiling
        axes.plot(*place, label=label, linestyle="none", zorder=4, **look)
    axes.axhline(1.0, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xscale="log", xlim=(0.4, 260), ylim=(0.0, 1.35))
    axes.set_xticks(list(RATES), list(RATES.values()))
    axes.minorticks_off()
    axes.text(0.45, 1.02, "decode every sample", fontsize=8, color=style.GREY, va="bottom")
    gap, _, rest = name.partition(".")
    axes.set_title(
        f"an event every {gap.removeprefix('gap')} s, {rest or 'quiet'}\n"
        f"saved: {saved['at_rate_of_95_percent']:.1f}x at .95 of the ceiling, {_at_least(saved)}"
        f"{result['saved_vs_uniform'][name]:.1f}x at default",
        fontsize=10,
    )
    axes.set_xlabel("decodes per minute", fontsize=9)
    axes.set_ylabel("share of event time named rightly / ceiling", fontsize=9)
    axes.tick_params(labelsize=8)
    style.style_axes(axes)


def _trace(stream: ChangeStream, path: Path) -> Path:
    """Drift and limit over one perturbed stream, with what was published."""
    guard = turn_guard(stream)
    detector = AnchorDrift(AnchorDriftConfig(clip=stream.clip), guard)
    rows = [
        (detector.drift, detector.threshold, change) for change in observed(stream, detector, guard)
    ]
    drifts, limits, changes = zip(*rows, strict=True)
    figure = style.new_figure(12.5, 4.2)
    axes = figure.add_subplot()
    top = 1.15 * max(drifts)
    for index, event in enumerate(stream.events):
        label = "_" * index + "an event happens"  # matplotlib leaves out labels that begin with _
        axes.axvspan(event.start, event.end, color=style.PALE_ORANGE, label=label)
    turning = np.where(stream.turn_rates != 0, top, np.nan)
    turns = {"color": style.PALE_BLUE, "step": "mid", "label": "the robot turns"}
    axes.fill_between(stream.stamps, 0, turning, **turns)
    axes.plot(stream.stamps, drifts, color=style.BLUE, linewidth=1.3, label="drift")
    line = {"color": style.INK, "linewidth": 1.0, "linestyle": (0, (4, 2)), "label": "limit"}
    axes.plot(stream.stamps, limits, **line)
    published = [change for change in changes if change is not None]
    styles = {CHANGE: ("-", "change published"), CORRECTION: ((0, (1, 1.2)), "corrected")}
    for reason, (dash, label) in styles.items():
        stamps = [change.stamp for change in published if change.reason == reason]
        look = {"color": style.ORANGE, "linewidth": 1.2, "linestyle": dash, "label": label}
        axes.vlines(stamps, 0, top, **look)
    onsets = [change.onset for change in published if change.reason == CHANGE]
    marks = {"marker": "^", "markersize": 7, "color": style.ORANGE, "linestyle": "none"}
    axes.plot(onsets, np.zeros(len(onsets)), clip_on=False, label="estimated onset", **marks)
    axes.set(xlim=(float(stream.stamps[0]), stream.end), ylim=(0, top), xlabel="seconds")
    axes.set_ylabel("cosine distance from the published state")
    axes.set_title("What the detector sees: a perturbed stream", fontsize=12, color=style.INK)
    style.style_axes(axes, grid="")
    figure.legend(loc="outside lower center", ncols=7, frameon=False, fontsize=9)
    return style.save_figure(figure, path)
