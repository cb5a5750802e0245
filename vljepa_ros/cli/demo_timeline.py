"""Draws a demo as a picture: what was true, what the robot said, and why it spoke when it did."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from vljepa_ros.cli.demo_record import AFTERGLOW, DemoRecord, Truth

ROW_SECONDS = 20.0
INK = "#1f2933"
QUIET = "#e4e7eb"
RIGHT = "#b7e4c7"
WRONG = "#f8c4b4"
LINE = "#2563a8"
THRESHOLD = "#c2410c"
# Muted, told apart also without colour by the text in them.
EVENT_COLOURS = ("#bcd4f0", "#f6dfa6", "#d9c7ec", "#bfe3e0", "#f3c9dc", "#d5e3b5")


def stretches(record: DemoRecord) -> list[tuple[float, float, Truth]]:
    """Ground truth as (start, end, truth): images in a row with one event and one object are
    one."""
    found: list[tuple[float, float, Truth]] = []
    for truth in record.truths:
        if found and (found[-1][2].event, found[-1][2].object) == (truth.event, truth.object):
            found[-1] = (found[-1][0], truth.stamp, found[-1][2])
        else:
            if found:
                found[-1] = (found[-1][0], truth.stamp, found[-1][2])
            found.append((truth.stamp, truth.stamp, truth))
    return found


def draw_timeline(record: DemoRecord, path: Path, title: str = "vljepa demo") -> None:
    """Write the picture as a PNG, in rows of 20 seconds.

    Each row: the true events, the texts the robot said (green while true, red while not), and the
    drift of the embedding from the last told state with the threshold at which it asks the decoder.

    :raises OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    start, end = record.start, record.end
    rows = max(1, math.ceil((end - start - 0.2 * ROW_SECONDS) / ROW_SECONDS))
    span = max((end - start) / rows, 1.0)
    figure = Figure(figsize=(17, 1.3 + 3.5 * rows), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    outer = figure.add_gridspec(
        rows,
        1,
        left=0.075,
        right=0.985,
        hspace=0.3,
        top=1 - 1.05 / (1.3 + 3.5 * rows),
        bottom=0.55 / (1.3 + 3.5 * rows),
    )
    ceiling = 1.15 * max([record.threshold, 0.05, *(drift for _, drift in record.drifts)])
    for row in range(rows):
        low = start + row * span
        inner = outer[row].subgridspec(2, 1, height_ratios=(1.45, 1), hspace=0.06)
        strips, curve = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
        _draw_strips(strips, record, low, low + span, start)
        _draw_drift(curve, record, low, low + span, start, ceiling)
    _draw_heading(figure, record, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_strips(axes: Any, record: DemoRecord, low: float, high: float, zero: float) -> None:
    axes.set(xlim=(low - zero, high - zero), ylim=(0, 2.1), yticks=(1.57, 0.5), xticks=())
    axes.set_yticklabels(("true", "robot says"), color=INK, fontsize=11)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    kinds = sorted({truth.event for truth in record.truths} - {"nothing"})
    for begin, end, truth in stretches(record):
        colour = (
            QUIET
            if truth.event == "nothing"
            else EVENT_COLOURS[kinds.index(truth.event) % len(EVENT_COLOURS)]
        )
        _bar(axes, (begin, end), (low, high), zero, (1.12, 0.9), colour, truth.words)
    last = record.end
    for index, said in enumerate(record.said):
        end = record.said[index + 1].heard if index + 1 < len(record.said) else last
        _draw_judged(axes, record, (said.heard, end), (low, high), zero)
        mark = "" if said.decoded else " (nearest known)"
        _bar(axes, (said.heard, end), (low, high), zero, (0.04, 0.92), "none", said.text + mark)


def _draw_judged(
    axes: Any, record: DemoRecord, span: tuple[float, float], row: tuple[float, float], zero: float
) -> None:
    """Fill one said text green while it is true and red while it is not."""
    inside = [truth for truth in record.truths if span[0] <= truth.stamp < span[1]]
    for index, truth in enumerate(inside):
        begin = max(span[0] if index == 0 else truth.stamp, row[0])
        end = min(inside[index + 1].stamp if index + 1 < len(inside) else span[1], row[1])
        if end > begin:
            colour = RIGHT if record.right(truth) else WRONG
            axes.broken_barh([(begin - zero, end - begin)], (0.04, 0.92), color=colour, linewidth=0)


def _bar(
    axes: Any,
    span: tuple[float, float],
    row: tuple[float, float],
    zero: float,
    band: tuple[float, float],
    colour: str,
    text: str,
) -> None:
    begin, end = max(span[0], row[0]), min(span[1], row[1])
    if end <= begin:
        return
    axes.broken_barh(
        [(begin - zero, end - begin)], band, facecolor=colour, edgecolor="#7b8794", linewidth=0.8
    )
    letters = 150 * (end - begin) / (row[1] - row[0])  # that fit side by side at this size
    if letters < 5:
        return
    size = 10.5 if letters >= 12 else 8.5
    lines = textwrap.wrap(text, max(5, int(letters * (1.0 if size > 9 else 1.2))))
    room = 4 if size > 9 else 5
    if len(lines) > room:
        lines = [*lines[: room - 1], lines[room - 1] + "…"]
    axes.text(
        (begin + end) / 2 - zero,
        band[0] + band[1] / 2,
        "\n".join(lines),
        ha="center",
        va="center",
        fontsize=size,
        color=INK,
        linespacing=1.05,
        clip_on=True,
    )


def _draw_drift(
    axes: Any, record: DemoRecord, low: float, high: float, zero: float, ceiling: float
) -> None:
    from matplotlib.ticker import MultipleLocator

    axes.set(xlim=(low - zero, high - zero), ylim=(0, ceiling))
    axes.plot(
        [stamp - zero for stamp, _ in record.drifts],
        [drift for _, drift in record.drifts],
        color=LINE,
        linewidth=1.8,
    )
    axes.axhline(record.threshold, color=THRESHOLD, linewidth=1.2, linestyle=(0, (5, 3)))
    for said in record.said:
        if low <= said.stamp < high:
            axes.axvline(said.stamp - zero, color=INK, linewidth=1.0, alpha=0.75)
            if low <= said.onset < said.stamp:
                axes.axvspan(
                    said.onset - zero, said.stamp - zero, color="#9aa5b1", alpha=0.25, linewidth=0
                )
    for answer in record.answers:
        if low <= answer.stamp < high:
            verdict = "" if not answer.truth else " ✓" if answer.answer == answer.truth else " ✗"
            axes.plot(
                answer.stamp - zero, 0.06 * ceiling, marker="^", color="#6d28d9", markersize=9
            )
            right_half = answer.stamp > (low + high) / 2
            axes.annotate(
                f"{answer.question} {answer.answer}{verdict}",
                (answer.stamp - zero, 0.06 * ceiling),
                xytext=(-9 if right_half else 9, 4),
                textcoords="offset points",
                ha="right" if right_half else "left",
                color="#6d28d9",
                fontsize=10,
                bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
            )
    axes.set_ylabel("drift", color=INK, fontsize=11)
    axes.xaxis.set_major_locator(MultipleLocator(2.0))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
    axes.tick_params(colors=INK, labelsize=9.5)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_heading(figure: Any, record: DemoRecord, title: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    share = record.right_share()
    parts = [f"{record.decodes} decodes for {record.frames} clips"]
    if share is not None:
        parts.insert(0, f"text right {100 * share:.0f}% of the time")
    figure.text(
        0.075, 1 - 0.34 / figure.get_figheight(), title, fontsize=16, color=INK, weight="bold"
    )
    parts.append(f"an event's text counts until {AFTERGLOW:g} s after its end")
    figure.text(
        0.075, 1 - 0.66 / figure.get_figheight(), "; ".join(parts), fontsize=12, color="#52606d"
    )
    figure.legend(
        handles=[
            Patch(color=RIGHT, label="said and true"),
            Patch(color=WRONG, label="said but not true"),
            Line2D([], [], color=LINE, label="drift from the told state"),
            Line2D([], [], color=THRESHOLD, linestyle=(0, (5, 3)), label="threshold"),
            Line2D([], [], color=INK, label="new text (shaded: since its onset)"),
            Line2D([], [], color="#6d28d9", marker="^", linestyle="", label="question asked"),
        ],
        loc="upper right",
        bbox_to_anchor=(0.99, 1 - 0.12 / figure.get_figheight()),
        ncols=3,
        frameon=False,
        fontsize=10.5,
    )
