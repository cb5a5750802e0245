"""What selective decoding must show, line by line: what is asked, what was measured, met or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

SAVED = {"gap3": (1.0, 1.0), "gap12": (2.85, 5.0), "gap60": (10.0, 20.0)}  # asked, aimed at
ENOUGH = 0.95  # of the ceiling, below which a saving does not count
OF_BEST = 0.7  # of the saving of the best threshold
OF_BOUND = 0.9  # of offline Ward from segment starts
WORSE = 0.01  # by which another detector may be ahead on one set
HALF_CLIP, DELAY = 0.75, 1.0  # seconds
QUIET_ALARMS, PERTURBED_ALARMS = 1.0, 2.0  # an hour
OBSERVE_US = 50.0
MANY = 10_000_000  # samples
BEATEN = ("uniform", "window_variance")


def verdicts(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lines with what, value, asked, met. met is None where it was not measured at full size.

    :param result: of `run`, with flat names of sets.
    """
    found = list(_of_streams(result, str(result["source"])))
    if "synthetic" in result:
        found += _of_streams(result["synthetic"], "synthetic")
    return [*found, *_of_one_detector(result)]


def _line(what: str, value: Any, asked: str, met: bool | None) -> dict[str, Any]:
    return {"what": what, "value": value, "asked": asked, "met": None if met is None else bool(met)}


def _of_streams(result: Mapping[str, Any], source: str) -> Iterator[dict[str, Any]]:
    for name, saved in result["saved"].items():
        share, factor = saved["of_ceiling"], result["saved_vs_uniform"][name]
        yield _line(
            f"{source} {name}: share of the ceiling", share, f"at least {ENOUGH}", share >= ENOUGH
        )
        if name in SAVED:
            least, aim = SAVED[name]
            asked = f"at least {least:g}, aim {aim:g}"
            yield _line(f"{source} {name}: decodes saved", factor, asked, factor >= least)
        best = saved["of_best_threshold"]
        yield _line(
            f"{source} {name}: of the best threshold's saving",
            best,
            f"at least {OF_BEST}",
            best >= OF_BEST,
        )
        yield from _compared(result, source, name)
    yield from _against_detectors(result, source)
    yield from _alarms(result, source)


def _compared(result: Mapping[str, Any], source: str, name: str) -> Iterator[dict[str, Any]]:
    rivals = {"midpoint Ward": result["vs_ward"][name]}
    rivals |= {kind: result["vs"][name][kind] for kind in BEATEN}
    for rival, entry in rivals.items():
        low, _ = entry["ci"]
        yield _line(
            f"{source} {name}: ahead of {rival} at its rate, lower end",
            low,
            "above 0",
            low > 0,
        )
    bound = result["of_ward_bound"][name]
    yield _line(f"{source} {name}: of the Ward bound", bound, f">= {OF_BOUND}", bound >= OF_BOUND)


def _against_detectors(result: Mapping[str, Any], source: str) -> Iterator[dict[str, Any]]:
    ahead: dict[str, dict[str, float]] = {}
    for name, others in result["vs"].items():
        for kind, entry in others.items():
            if kind != "uniform":
                ahead.setdefault(kind, {})[name] = entry["difference"]
    for kind, by_set in ahead.items():
        worst, mean = min(by_set.values()), float(np.mean(list(by_set.values())))
        yield _line(
            f"{source}: ahead of {kind} on the worst set, on the mean",
            [worst, mean],
            f"at least -{WORSE}, above 0",
            worst >= -WORSE and mean > 0,
        )


def _alarms(result: Mapping[str, Any], source: str) -> Iterator[dict[str, Any]]:
    alarms = result["false_alarms"]
    quiet = alarms.get("quiet")
    if quiet is not None:
        delays = {
            name: figures[result["default"]]["delay_s"]
            for name, figures in result["streams"].items()
            if "." not in name
        }
        slowest = max((9e9 if one is None else one) for one in delays.values())
        fine = slowest <= DELAY + HALF_CLIP and quiet["per_h"] <= QUIET_ALARMS
        asked = f"median delay at most {DELAY + HALF_CLIP} s at {QUIET_ALARMS:g} an hour"
        yield _line(
            f"{source}: false alarms an hour on {quiet['hours']:.1f} quiet hours, slowest delay",
            [quiet["per_h"], slowest],
            asked,
            fine,
        )
    shaken = alarms.get("perturbed")
    if shaken is not None:
        yield _line(
            f"{source}: false alarms an hour on {shaken['hours']:.1f} perturbed hours",
            shaken["per_h"],
            f"at most {PERTURBED_ALARMS:g}",
            shaken["per_h"] <= PERTURBED_ALARMS,
        )


def _of_one_detector(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    cost, endured = result["cost"], result["endurance"]
    yield _line(
        "microseconds of observe at 1536-d",
        cost["observe_us"],
        f"at most {OBSERVE_US:g}",
        cost["observe_us"] <= OBSERVE_US,
    )
    same = cost["state_grown_bytes"] == 0
    yield _line(
        f"bytes by which the state grew over {cost['samples']} samples",
        cost["state_grown_bytes"],
        f"0 over {MANY}",
        (same if cost["samples"] >= MANY else None) if same else False,
    )
    for name, asked, fine in (
        ("missed_heartbeats", "0", endured["missed_heartbeats"] == 0),
        ("threshold_drift", "within 0.2", abs(endured["threshold_drift"]) <= 0.2),
        ("duplicates", "0", endured["duplicates"] == 0),
    ):
        yield _line(f"ten hours: {name}", endured[name], asked, fine)
