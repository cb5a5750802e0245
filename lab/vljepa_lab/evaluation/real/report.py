"""Prints the result of `vljepa eval real`."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.table import Table

from vljepa_ros.files import JsonMapping

NAMES = {
    "objects_top1": "objects, best label right",
    "places_top1": "places, best label right",
    "pool_auc": "AUC over all pictures and labels",
    "person_auc": "person or nobody, AUC",
    "indoors_auc": "indoors or outdoors, AUC",
    "right_label_answered": "a right label there: best is right and >= .5",
    "wrong_label_answered": "a right label there: best is wrong though >= .5",
    "nothing_fits_below": "no label fits: best < .5",
}


def print_table(result: JsonMapping, stream: IO[str]) -> None:
    """Print the result."""
    console = Console(file=stream, highlight=False)
    pictures = result["pictures"]
    table = Table(
        title=f"{result['model_id']} on {pictures['pictures']} real pictures, half {result['half']}"
    )
    table.add_column("figure")
    for head in ("value", "standard error", "n"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, words in NAMES.items():
        table.add_row(words, *_cells(pictures["figures"][name]))
    for kind, figures in pictures["yes_no"].items():
        if kind != "wrong":
            table.add_row(f"yes/no, {kind}: answered", *_cells(figures["answered"]))
            table.add_row(f"yes/no, {kind}: right of those", *_cells(figures["right"]))
    for clip, found in result["clips"].items():
        taught, change = found["taught"], found["change"]
        accuracy = {"value": taught["balanced_accuracy"], "n": taught["judged_frames"]}
        table.add_row(f"{clip}: {found['state']}, balanced accuracy", *_cells(accuracy))
        words = f"{clip}: changes found of {change['changes']}, others in {change['seconds']:.0f} s"
        table.add_row(words, str(change["found"]), str(change["others"]), "")
    console.print(table)
    for source, why in result["missing"].items():
        console.print(f"missing: {source}: {why}", style="yellow")


def _cells(figure: JsonMapping) -> tuple[str, str, str]:
    value, error = figure["value"], figure.get("standard_error")
    return (
        "-" if value is None else f"{value:.3f}",
        "" if error is None else f"{error:.3f}",
        str(figure["n"]),
    )
