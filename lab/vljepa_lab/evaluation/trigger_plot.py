"""A picture of triggers over time: what was true, and what they said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.trigger_replay import Replay

INK, TRUTH, LABEL, EMBEDDING = "#1f2933", "#cbd2d9", "#2563a8", "#c2410c"


def plot_triggers(found: Replay, path: Path) -> Path:
    """Draw every trigger that is ever true or ever told; returns the file.

    :raises OSError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = [i for i in range(len(found.texts)) if (found.true[:, i] | found.active[:, i]).any()]
    shown.sort(key=lambda i: (not found.labelled[i], int(np.argmax(found.true[:, i]))))
    figure: Any = Figure(figsize=(11.0, 1.3 + 0.27 * len(shown)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, i in enumerate(shown):
        colour = LABEL if found.labelled[i] else EMBEDDING
        axes.broken_barh(_bars(found.times, found.true[:, i]), (row - 0.40, 0.80), color=TRUTH)
        axes.broken_barh(_bars(found.times, found.active[:, i]), (row - 0.18, 0.36), color=colour)
    axes.set_yticks(range(len(shown)), [found.texts[i] for i in shown], fontsize=8, color=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(float(found.times[0]), float(found.times[-1]))
    axes.set_xlabel("seconds of the shipped clip", color=INK)
    axes.set_title(
        "Triggers on a camera: when each text was true, and when its trigger said so",
        fontsize=11,
        color=INK,
    )
    axes.legend(
        handles=[
            Patch(color=TRUTH, label="true"),
            Patch(color=LABEL, label="trigger active, by label"),
            Patch(color=EMBEDDING, label="trigger active, by embedding (another wording)"),
        ],
        loc="upper center",
        bbox_to_anchor=(0.4, -0.06),
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _bars(times: NDArray[np.float64], on: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """(begin, width) of the stretches in which something is on."""
    width = float(np.median(np.diff(times)))
    return [(float(time), width) for time, state in zip(times, on, strict=True) if state]
