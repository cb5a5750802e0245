"""The table of `vljepa eval events`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

__all__ = ["print_table"]


def print_table(result: Mapping[str, Any], file: IO[str]) -> None:
    """Print a result of `change_eval.run`: one row for each set and way of choosing."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=file)
    for name, figures in result["streams"].items():
        saved, ceiling = result["saved"][name], result["ceiling"][name]
        table = Table(title=_title(name, result), title_justify="left")
        table.add_column("way of choosing", no_wrap=True)
        for column in ("events right", "/ ceiling", "time right", "decodes/min", "F1 1 s"):
            table.add_column(column, justify="right")
        for column in ("delay s", "false alarms/h"):
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
            f"false alarms, {name}: {alarms['per_h']:.2f} an hour ({low:.2f} to {high:.2f}) "
            f"in {alarms['hours']:.0f} hours"
        )


def _title(name: str, result: Mapping[str, Any]) -> str:
    difference = result["vs_ward"][name]
    low, high = difference["ci"]
    return (
        f"{name}: ceiling {result['ceiling'][name]:.3f}; against offline Ward at equal rate "
        f"{difference['difference']:+.3f} ({low:+.3f} to {high:+.3f}), "
        f"{result['of_ward_bound'][name]:.2f} of its bound"
    )
