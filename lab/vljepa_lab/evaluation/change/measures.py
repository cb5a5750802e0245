"""What a change detector is worth on a stream: the definitions of `vljepa eval events`.

The truth at a time is a *set* of texts: an event's from its onset until its end + 2 s, and where
no event is, the texts of the state. It does not depend on the clip. Right means that the text
shown is in the set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.streams import ChangeStream

GRACE = 2.0  # seconds after its end during which an event's text is still right
STEP = 0.05  # seconds; grid on which shares of time are taken
TOLERANCE = 1.0  # seconds between a boundary and its estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Showing:
    """What was published on one stream.

    stamps: [N] seconds, ascending. onsets: [N] seconds. texts: [N] index of the text that was told.
    changes: [N] bool, False for the first and for whatever is not a CHANGE.
    """

    stamps: Floats
    onsets: Floats
    texts: NDArray[np.intp]
    changes: NDArray[np.bool_]


@dataclass(frozen=True)
class StreamScore:
    """Sums over one stream, so that streams can be pooled and resampled.

    event_share: sum over events of the share of their time with a right text. events: their number.
    right, seconds: seconds with a right text, and all of them. decodes: publications. delays:
    seconds from each onset to the first CHANGE before the event's text ceases to be right, inf
    where there is none. hits, boundaries, estimates: of the boundary match. false_alarms: CHANGEs
    without an onset in the preceding clip + 2 s. lookahead: events whose nearest publication in
    time (past or future) is right.
    """

    event_share: float
    events: int
    right: float
    seconds: float
    decodes: int
    delays: tuple[float, ...]
    hits: int
    boundaries: int
    estimates: int
    false_alarms: int
    lookahead: int


def score(stream: ChangeStream, showing: Showing) -> StreamScore:
    """Judge what was published on one stream."""
    texts = showing.texts
    shares, right, seconds = _shares(stream, showing.stamps, texts)
    changes = showing.stamps[showing.changes]
    boundaries = _boundaries(stream)
    hits = boundary_counts(boundaries, np.sort(showing.onsets[showing.changes]), TOLERANCE)
    return StreamScore(
        event_share=float(shares.sum()),
        events=len(stream.events),
        right=right,
        seconds=seconds,
        decodes=len(showing.stamps),
        delays=tuple(_delays(stream, changes)),
        hits=hits,
        boundaries=boundaries.size,
        estimates=changes.size,
        false_alarms=_false_alarms(boundaries, changes, stream.clip + GRACE),
        lookahead=_lookahead(stream, showing.stamps, texts),
    )


def _shares(
    stream: ChangeStream, stamps: Floats, texts: NDArray[np.intp]
) -> tuple[Floats, float, float]:
    """Share of each event's time with a right text [events], seconds right, seconds in all."""
    start = float(stream.stamps[0])
    grid = np.arange(start, stream.end, STEP)
    last = np.searchsorted(stamps, grid, side="right") - 1
    shown = (
        np.where(last >= 0, texts[np.maximum(last, 0)], -1)
        if len(texts)
        else np.full(grid.size, -1)
    )
    spans = [
        slice(*np.searchsorted(grid, [event.start, event.end + GRACE])) for event in stream.events
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
    return shares, float(right.sum() * STEP), float(grid.size * STEP)


def _boundaries(stream: ChangeStream) -> Floats:
    """[B] seconds, ascending: where events begin and end."""
    times = [event.start for event in stream.events] + [event.end for event in stream.events]
    return np.array(sorted(times), dtype=np.float64)


def _delays(stream: ChangeStream, changes: Floats) -> list[float]:
    found = []
    for event in stream.events:
        index = int(np.searchsorted(changes, event.start))
        seen = changes[index] if index < changes.size else math.inf
        found.append(float(seen - event.start) if seen <= event.end + GRACE else math.inf)
    return found


def boundary_counts(truth: Floats, found: Floats, tolerance: float) -> int:
    """How many of two ascending lists of times match one to one within `tolerance` seconds.

    Taking the earliest that fit is optimal, because all intervals have the same length.
    """
    hits = i = j = 0
    while i < len(truth) and j < len(found):
        distance = found[j] - truth[i]
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


def _lookahead(stream: ChangeStream, stamps: Floats, texts: NDArray[np.intp]) -> int:
    """The paper's matching: each annotation (its middle) against the decode nearest in time."""
    if not len(texts):
        return 0
    middle = np.array([(event.start + event.end) / 2 for event in stream.events])
    truth = np.array([event.text for event in stream.events])
    right = np.clip(np.searchsorted(stamps, middle), 1, len(stamps) - 1) if len(stamps) > 1 else 0
    if len(stamps) == 1:
        return int((texts[0] == truth).sum())
    left = right - 1
    nearest = np.where(middle - stamps[left] <= stamps[right] - middle, left, right)
    return int((texts[nearest] == truth).sum())


@dataclass(frozen=True)
class Summary:
    """Pooled figures of a detector on a set of streams; the names are those of the JSON."""

    event_right_share: float
    text_right_share: float
    decodes_per_min: float
    boundary_f1_1s: float
    delay_s: float
    false_alarms_per_h: float
    false_alarms_interval: tuple[float, float]
    lookahead_right_share: float
    missed_share: float
    hours: float


def pool(scores: Sequence[StreamScore]) -> Summary:
    """Figures over streams: events and seconds count alike wherever they are.

    `delay_s` is the median, inf where more than half of the events are missed.
    """
    events = max(1, sum(one.events for one in scores))
    seconds = sum(one.seconds for one in scores)
    alarms = sum(one.false_alarms for one in scores)
    delays = np.array([delay for one in scores for delay in one.delays])
    found = sum(one.boundaries + one.estimates for one in scores)
    low, high = poisson_interval(alarms)
    hours = seconds / 3600.0
    return Summary(
        event_right_share=sum(one.event_share for one in scores) / events,
        text_right_share=sum(one.right for one in scores) / seconds,
        decodes_per_min=sum(one.decodes for one in scores) / (seconds / 60.0),
        boundary_f1_1s=2.0 * sum(one.hits for one in scores) / max(1, found),
        delay_s=float(np.median(delays)) if delays.size else math.inf,
        false_alarms_per_h=alarms / hours,
        false_alarms_interval=(low / hours, high / hours),
        lookahead_right_share=sum(one.lookahead for one in scores) / events,
        missed_share=float(np.isinf(delays).mean()) if delays.size else 0.0,
        hours=hours,
    )


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a Poisson mean after `count` events (Garwood 1936)."""
    tail = (1.0 - level) / 2.0

    def at_most(events: int, mean: float) -> float:
        terms = np.arange(events + 1)
        logs = -mean + terms * math.log(mean) - np.array([math.lgamma(k + 1.0) for k in terms])
        return float(np.exp(logs).sum())

    def solve(events: int, wanted: float) -> float:
        low, high = 1e-12, 2.0 * events + 20.0
        for _ in range(80):
            middle = (low + high) / 2.0
            low, high = (middle, high) if at_most(events, middle) > wanted else (low, middle)
        return (low + high) / 2.0

    lower = 0.0 if count == 0 else solve(count - 1, 1.0 - tail)
    return lower, solve(count, tail)
