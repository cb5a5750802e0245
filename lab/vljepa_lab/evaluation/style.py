"""The common style of all plots: figure and colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

INK, GREY, LIGHT_GREY = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, TEAL, PURPLE, OCHRE = "#2563a8", "#c2410c", "#0f766e", "#7c3aed", "#b7791f"
PALE_BLUE, PALE_ORANGE = "#dbeafe", "#fde2c8"


def new_figure(width: float, height: float) -> Any:
    """An empty white matplotlib figure, inches wide and high, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Any, grid: str = "both") -> None:
    """Light grid behind the data ("x", "y", "both" or "" for none), no frame above and right."""
    if grid:
        axes.grid(axis=grid, color=LIGHT_GREY, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as PNG, and the folders above it, and return the file.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
