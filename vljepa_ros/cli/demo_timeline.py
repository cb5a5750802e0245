"""Draws the timeline of a demo: ground truth, published texts, and the drift that led to them."""

from __future__ import annotations

import math
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa_ros.cli.demo_record import DemoRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_SECONDS = 20.0
INK = "#1f2933"
QUIET = "#e4e7eb"
RIGHT = "#b7e4c7"
WRONG = "#f8c4b4"
DRIFT = "#2563a8"
THRESHOLD = "#c2410c"
QUESTION = "#6d28d9"
DASHED = (0, (5, 3))
# Muted; the text in them distinguishes them without colour, too.
EVENT_COLOURS = ("#bcd4f0", "#f6dfa6", "#d9c7ec", "#bfe3e0", "#f3c9dc", "#d5e3b5")
TRUE_BAND, TEXT_BAND = (1.12, 0.9), (0.04, 0.92)  # lower edge and height of the two strips


def draw_timeline(record: DemoRecord, path: Path) -> None:
    """Write the picture as a PNG, in rows of 20 seconds.

    Each row: the true events, the published texts (green while true, red while not), and the drift
    of the embedding from the last published state with the threshold that triggers a decode.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    start, length = record.start, record.end - record.start
    rows = max(1, math.ceil((length - 0.2 * ROW_SECONDS) / ROW_SECONDS))
    span = max(length / rows, 1.0)
    height = 1.3 + 3.5 * rows
    figure = Figure(figsize=(17, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    edges = {"left": 0.075, "right": 0.985, "top": 1 - 1.05 / height, "bottom": 0.55 / height}
    outer = figure.add_gridspec(rows, 1, hspace=0.3, **edges)
    for row in range(rows):
        inner = outer[row].subgridspec(2, 1, height_ratios=(1.45, 1), hspace=0.06)
        strips, curve = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
        for axes in (strips, curve):
            axes.set_xlim(row * span, (row + 1) * span)
        _draw_strips(strips, record, start)
        _draw_drift(curve, record, start)
    _draw_heading(figure, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_strips(axes: Axes, record: DemoRecord, zero: float) -> None:
    axes.set(ylim=(0, 2.1), yticks=(1.57, 0.5), xticks=())
    axes.set_yticklabels(("true", "robot says"), color=INK, fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    kinds = sorted({truth.event for truth in record.truths} - {"nothing"})
    colours = {kind: EVENT_COLOURS[i % len(EVENT_COLOURS)] for i, kind in enumerate(kinds)}
    for begin, end, truth in record.stretches():
        colour = colours.get(truth.event, QUIET)
        _draw_bar(axes, begin - zero, end - zero, TRUE_BAND, colour, truth.words)
    judged: dict[str, list[tuple[float, float]]] = {RIGHT: [], WRONG: []}
    ends = [text.received for text in record.texts[1:]] + [record.end]
    for text, end in zip(record.texts, ends, strict=False):
        inside = [truth for truth in record.truths if text.received <= truth.stamp < end]
        begins = [text.received, *(truth.stamp for truth in inside[1:]), end]
        for truth, (begin, after) in zip(inside, pairwise(begins), strict=False):
            colour = RIGHT if record.is_right(truth) else WRONG
            judged[colour].append((begin - zero, after - begin))
    for colour, bars in judged.items():
        axes.broken_barh(bars, TEXT_BAND, color=colour, linewidth=0)
    for text, end in zip(record.texts, ends, strict=False):
        words = text.text if text.decoded else f"{text.text} (nearest known)"
        _draw_bar(axes, text.received - zero, end - zero, TEXT_BAND, "none", words)


def _draw_bar(
    axes: Axes, begin: float, end: float, band: tuple[float, float], colour: str, text: str
) -> None:
    """Draw a bar from `begin` to `end` with as much of a text as fits."""
    low, high = axes.get_xlim()
    begin, end = max(begin, low), min(end, high)
    if end <= begin:
        return
    axes.broken_barh(
        [(begin, end - begin)], band, facecolor=colour, edgecolor="#7b8794", linewidth=0.8
    )
    letters = 150 * (end - begin) / (high - low)  # that fit side by side at this size
    if letters < 5:
        return
    size, width, most = (10.5, 1.0, 4) if letters >= 12 else (8.5, 1.2, 5)
    lines = textwrap.wrap(text, max(5, int(letters * width)))
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + "…"]
    axes.text(
        (begin + end) / 2,
        band[0] + band[1] / 2,
        "\n".join(lines),
        ha="center",
        va="center",
        fontsize=size,
        color=INK,
        linespacing=1.05,
    )


def _draw_drift(axes: Axes, record: DemoRecord, zero: float) -> None:
    from matplotlib.ticker import MultipleLocator

    low, high = axes.get_xlim()
    ceiling = 1.15 * max([record.threshold, 0.05, *(drift for _, drift in record.drifts)])
    axes.set_ylim(0, ceiling)
    times, drifts = [stamp - zero for stamp, _ in record.drifts], [d for _, d in record.drifts]
    axes.plot(times, drifts, color=DRIFT, linewidth=1.8)
    axes.axhline(record.threshold, color=THRESHOLD, linewidth=1.2, linestyle=DASHED)
    for text in record.texts:
        stamp, onset = text.stamp - zero, text.onset - zero
        axes.axvline(stamp, color=INK, linewidth=1.0, alpha=0.75)
        if 0 <= onset < stamp:
            axes.axvspan(onset, stamp, color="#9aa5b1", alpha=0.25, linewidth=0)
    for answer in record.answers:
        stamp = answer.stamp - zero
        if not low <= stamp < high:
            continue
        verdict = "" if not answer.truth else " ✓" if answer.answer == answer.truth else " ✗"
        axes.plot(stamp, 0.06 * ceiling, marker="^", color=QUESTION, markersize=9)
        right_half = stamp > (low + high) / 2
        axes.annotate(
            f"{answer.question} {answer.answer}{verdict}",
            (stamp, 0.06 * ceiling),
            xytext=(-9 if right_half else 9, 4),
            textcoords="offset points",
            ha="right" if right_half else "left",
            color=QUESTION,
            fontsize=10,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
        )
    axes.set_ylabel("drift", color=INK, fontsize=11)
    axes.xaxis.set_major_locator(MultipleLocator(2.0))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    axes.tick_params(colors=INK, labelsize=9.5)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_heading(figure: Figure, record: DemoRecord) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    share, height = record.right_share(), figure.get_figheight()
    delays = record.event_delays()
    named = sum(delay is not None for delay in delays)
    parts = [f"{named} of {len(delays)} events named rightly"]
    parts.append(f"{record.decodes} decodes for {record.frames} clips")
    if share is not None:
        parts.append(f"text right {100 * share:.0f}% of the time")
    figure.text(0.075, 1 - 0.34 / height, "vljepa demo", fontsize=16, color=INK, weight="bold")
    figure.text(0.075, 1 - 0.66 / height, "; ".join(parts), fontsize=11, color="#52606d")
    figure.legend(
        handles=[
            Patch(color=RIGHT, label="said and true"),
            Patch(color=WRONG, label="said but not true"),
            Line2D([], [], color=DRIFT, label="drift from the published state"),
            Line2D([], [], color=THRESHOLD, linestyle=DASHED, label="threshold"),
            Line2D([], [], color=INK, label="new text (shaded: since its onset)"),
            Line2D([], [], color=QUESTION, marker="^", linestyle="", label="question asked"),
        ],
        loc="upper right",
        bbox_to_anchor=(0.99, 1 - 0.12 / height),
        ncols=3,
        frameon=False,
        fontsize=10.5,
    )
