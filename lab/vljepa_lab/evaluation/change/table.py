"""The tables of `vljepa eval events`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from vljepa_lab.evaluation.change.judge import sets_of

PIPE_WIDTH = 130  # characters, where the output is no terminal


def print_table(result: Mapping[str, Any], file: IO[str]) -> None:
    """Print a result of `run.run`: a table for each set, then the false alarms."""
    console = Console(file=file)
    if not console.is_terminal:
        console = Console(file=file, width=PIPE_WIDTH)
    _print_sets(result, console, str(result["source"]))
    if "synthetic" in result:
        _print_sets(result["synthetic"], console, "synthetic")


def _print_sets(result: Mapping[str, Any], console: Console, source: str) -> None:
    for name, figures in sets_of(result).items():
        saved, ceiling = result["saved"][name], result["ceiling"][name]
        table = Table(title=f"{source} {_title(name, result)}", title_justify="left")
        table.add_column("way of choosing", no_wrap=True)
        for column in ("events right", "/ ceiling", "time right", "decodes/min", "F1 1 s",
                       "delay s", "false alarms/h"):  # fmt: skip
            table.add_column(column, justify="right")
        for kind, one in figures.items():
            delay = one["delay_s"]
            table.add_row(
                ("> " if kind == result["default"] else "") + kind,
                f"{one['event_right_share']:.3f}",
                f"{one['event_right_share'] / ceiling:.2f}",
                f"{one['text_right_share']:.3f}",
                f"{one['decodes_per_min']:.1f}",
                f"{one['boundary_f1_1s']:.2f}",
                "missed" if delay is None else f"{delay:.2f}",
                f"{one['false_alarms_per_h']:.1f}",
            )
        console.print(table)
        low, high = saved["ci"]
        least = "at least " if saved["at_least"] else ""
        console.print(
            f"decodes saved against uniform: {least}{result['saved_vs_uniform'][name]:.1f} "
            f"({low:.1f} to {high:.1f}); at .95 of the ceiling "
            f"{saved['at_rate_of_95_percent']:.1f}\n"
        )
    for name, alarms in result.get("false_alarms", {}).items():
        low, high = alarms["ci"]
        console.print(
            f"{source}, nothing happens, {name}: {alarms['per_h']:.2f} false alarms an hour "
            f"({low:.2f} to {high:.2f}) in {alarms['hours']:.1f} hours of {alarms['scenes']} scenes"
        )
    console.print()


def _title(name: str, result: Mapping[str, Any]) -> str:
    difference = result["vs_ward"][name]
    low, high = difference["ci"]
    return (
        f"{name}: ceiling {result['ceiling'][name]:.3f}; against offline Ward at equal rate "
        f"{difference['difference']:+.3f} ({low:+.3f} to {high:+.3f}), "
        f"{result['of_ward_bound'][name]:.2f} of its bound"
    )
