"""What a change detector is worth on a stream: the definitions of `vljepa eval events`.

The truth at a time is a *set* of texts: an event's from its onset until its end + 2 s, and where
no event is, the texts of the state. It does not depend on the clip. Right means that the text
shown is in the set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.streams import ChangeStream
from vljepa_ros.files import JsonObject

GRACE_S = 2.0  # after its end, during which an event's text is still right
GRID_S = 0.05  # on which shares of time are taken
TOLERANCE_S = 1.0  # between a boundary and its estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DecodeTrace:
    """What was published on one stream.

    Attributes:
        stamps: [N] seconds, ascending.
        onsets: [N] seconds.
        texts: [N] index of the decoded text.
        changes: [N] bool, False for the first and for all that are not a CHANGE.
    """

    stamps: Floats
    onsets: Floats
    texts: NDArray[np.intp]
    changes: NDArray[np.bool_]


@dataclass(frozen=True)
class StreamScore:
    """Sums over one stream, so that streams can be pooled and resampled.

    Attributes:
        event_share: sum over events of the share of their time with a right text.
        events: their number.
        right, seconds: seconds with a right text, and all of them.
        decodes: publications.
        delays: seconds from each onset to the first CHANGE before the event's text ceases to be
            right, inf where there is none.
        strong_delays: those of strong events.
        hits, boundaries, estimates: of the boundary match.
        false_alarms: CHANGEs without an onset in the preceding clip + 2 s.
    """

    event_share: float
    events: int
    right: float
    seconds: float
    decodes: int
    delays: tuple[float, ...]
    strong_delays: tuple[float, ...]
    hits: int
    boundaries: int
    estimates: int
    false_alarms: int


def score(stream: ChangeStream, trace: DecodeTrace) -> StreamScore:
    """Judge what was published on one stream."""
    shares, right, seconds = _shares(stream, trace.stamps, trace.texts)
    changes = trace.stamps[trace.changes]
    boundaries = _boundaries(stream)
    delays = _delays(stream, changes)
    strong = zip(delays, stream.events, strict=True)
    hits = boundary_counts(boundaries, np.sort(trace.onsets[trace.changes]), TOLERANCE_S)
    return StreamScore(
        event_share=float(shares.sum()),
        events=len(stream.events),
        right=right,
        seconds=seconds,
        decodes=len(trace.stamps),
        delays=tuple(delays),
        strong_delays=tuple(delay for delay, event in strong if event.strong),
        hits=hits,
        boundaries=boundaries.size,
        estimates=changes.size,
        false_alarms=_false_alarms(boundaries, changes, stream.clip + GRACE_S),
    )


def _shares(
    stream: ChangeStream, stamps: Floats, texts: NDArray[np.intp]
) -> tuple[Floats, float, float]:
    """Share of each event's time with a right text [events], seconds right, seconds in all."""
    start = float(stream.stamps[0])
    grid = np.arange(start, stream.end, GRID_S)
    last = np.searchsorted(stamps, grid, side="right") - 1
    shown = np.append(texts, -1)[last]  # -1, the last entry, before the first publication
    spans = [
        slice(*np.searchsorted(grid, [event.start, event.end + GRACE_S])) for event in stream.events
    ]
    busy, right = np.zeros(grid.size, bool), np.zeros(grid.size, bool)
    for span, event in zip(spans, stream.events, strict=True):
        busy[span] = True
        right[span] |= shown[span] == event.text
    edges = [*(np.searchsorted(grid, time) for time, _ in stream.states), grid.size]
    for index, (_, valid) in enumerate(stream.states):
        span = slice(edges[index], edges[index + 1])
        right[span] |= ~busy[span] & np.isin(shown[span], sorted(valid))
    shares = np.array([right[span].mean() if span.stop > span.start else 0.0 for span in spans])
    return shares, float(right.sum() * GRID_S), float(grid.size * GRID_S)


def _boundaries(stream: ChangeStream) -> Floats:
    """[B] seconds, ascending: where events begin and end."""
    return np.sort(np.array([[event.start, event.end] for event in stream.events]).reshape(-1))


def _delays(stream: ChangeStream, changes: Floats) -> list[float]:
    starts, ends = np.array([(event.start, event.end) for event in stream.events]).reshape(-1, 2).T
    seen = np.append(changes, math.inf)[np.searchsorted(changes, starts)]
    return list(np.where(seen <= ends + GRACE_S, seen - starts, math.inf).tolist())


def boundary_counts(truth: Floats, estimates: Floats, tolerance: float) -> int:
    """How many of the ascending times [N] and [M] match one to one within `tolerance` seconds.

    Taking the earliest that fit is optimal, because all intervals have the same length.
    """
    hits = i = j = 0
    while i < len(truth) and j < len(estimates):
        distance = estimates[j] - truth[i]
        hits += abs(distance) <= tolerance
        if abs(distance) <= tolerance:
            i, j = i + 1, j + 1
        elif distance < 0:
            j += 1
        else:
            i += 1
    return hits


def _false_alarms(boundaries: Floats, changes: Floats, reach: float) -> int:
    before = np.searchsorted(boundaries, changes, side="right") - 1
    if not boundaries.size:
        return int(changes.size)
    age = np.where(before >= 0, changes - boundaries[np.maximum(before, 0)], math.inf)
    return int((age > reach).sum())


def add_scores(scores: Sequence[StreamScore]) -> StreamScore:
    """The sums over all of them."""
    sums: dict[str, Any] = {
        name: sum((getattr(one, name) for one in scores), () if name.endswith("delays") else 0)
        for name in StreamScore.__dataclass_fields__
    }
    return StreamScore(**sums)


def pool(scores: Sequence[StreamScore]) -> JsonObject:
    """Figures over streams, as in the JSON: events and seconds count alike wherever they are.

    `delay_s` is the median, `delay_strong_s` that of strong events; None where there is none, and
    where more than half of them are missed.
    """
    total = add_scores(scores)
    events, hours = max(1, total.events), total.seconds / 3600.0
    return {
        "event_right_share": total.event_share / events,
        "text_right_share": total.right / total.seconds,
        "decodes_per_min": total.decodes / (total.seconds / 60.0),
        "boundary_f1_1s": 2.0 * total.hits / max(1, total.boundaries + total.estimates),
        "delay_s": _median(total.delays),
        "delay_strong_s": _median(total.strong_delays),
        "false_alarms_per_h": total.false_alarms / hours,
        "false_alarms_interval": [end / hours for end in poisson_interval(total.false_alarms)],
        "hours": hours,
    }


def _median(delays: Sequence[float]) -> float | None:
    delay = float(np.median(delays)) if delays else math.inf
    return delay if math.isfinite(delay) else None


def poisson_interval(count: int) -> tuple[float, float]:
    """Exact 95% interval of a Poisson mean after `count` events (Garwood 1936)."""
    from scipy.stats import chi2

    lower = chi2.ppf(0.025, 2 * count) / 2.0 if count else 0.0
    return float(lower), float(chi2.ppf(0.975, 2 * count + 2) / 2.0)
