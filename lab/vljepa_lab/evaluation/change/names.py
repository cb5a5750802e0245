"""Names of sets in the JSON of `vljepa eval events`: `streams.gap3.perturbed.anchor_drift`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PERTURBED = "perturbed"


def nested(result: dict[str, Any]) -> dict[str, Any]:
    """The result with each perturbed set inside the quiet one of the same gap, under `streams`."""
    streams: dict[str, Any] = {}
    for name, figures in result["streams"].items():
        gap, _, rest = name.partition(".")
        place = streams.setdefault(gap, {})
        if rest:
            place[rest] = figures
        else:
            place.update(figures)
    changed = {**result, "streams": streams}
    if "synthetic" in result:
        changed["synthetic"] = nested(result["synthetic"])
    return changed


def sets_of(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The inverse: figures of each way of choosing by the name of their set, `gap3.perturbed`."""
    found: dict[str, dict[str, Any]] = {}
    for gap, figures in result["streams"].items():
        found[gap] = {kind: one for kind, one in figures.items() if kind != PERTURBED}
        if PERTURBED in figures:
            found[f"{gap}.{PERTURBED}"] = figures[PERTURBED]
    return found
