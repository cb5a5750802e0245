"""Measures how reliable a trigger is, how much it finds and how late, and chooses a threshold.

Intervals written by hand are not exact, and a trigger that looks back over a clip is late: nothing
within `tolerance` seconds of an interval is wrong, and TRUE up to that long after an interval
counts as right, for at most the length of the interval. The threshold is chosen on the first half
of the intervals and the figures are those of the second half, if both have enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.checking.spans import Spans, combine, seconds, spans

DEFAULT_THRESHOLD = 0.5  # of trigger_node
LEAST_INTERVALS = 3  # in what figures are reported on
LEAST_FALSE_S = 10.0  # in which the text is not true
USABLE = 0.8  # least precision, quiet, and share of the intervals that are found
COVERED = 0.5  # least share of the intervals' time
MOST_UNKNOWN = 0.5  # share of the time in which nothing is known
AS_GOOD = 0.02  # a threshold as good as the best one but for this is in the choice, too
RULE = (
    f"usable: right for at least {USABLE:.0%} of the time that it is TRUE, not TRUE for at least "
    f"{USABLE:.0%} of the rest, {USABLE:.0%} of the intervals found, and {COVERED:.0%} of their "
    "time"
)
_STEPS = np.round(np.arange(0.05, 0.96, 0.05), 2)


@dataclass(frozen=True)
class Figures:
    """Figures of a trigger in the evaluated time.

    Attributes:
        right: seconds for which it was TRUE in an interval, or late, at most the interval's length.
        wrong: seconds for which it was TRUE far from an interval.
        intervals: number of intervals in which the text is true.
        found: number of them in which it became or was TRUE.
        delays: seconds from the beginning of each found interval until it was TRUE.
        covered: share of the intervals' time, without the allowed delay, for which it was TRUE,
            0..1; NaN: they are too short.
        alarms: times at which it became TRUE far from an interval.
        false_s: seconds far from an interval.
        unknown: share of the time in which it was UNKNOWN, 0..1.
    """

    right: float
    wrong: float
    intervals: int
    found: int
    delays: tuple[float, ...]
    covered: float
    alarms: int
    false_s: float
    unknown: float

    @property
    def precision(self) -> float:
        """Share of the time in which it is TRUE that is right, 0..1; NaN: it is never TRUE."""
        active = self.right + self.wrong
        return self.right / active if active else np.nan

    @property
    def quiet(self) -> float:
        """Share of the time far from an interval in which it is not TRUE, 0..1; NaN: no such time.

        Precision alone is high for a trigger that is always TRUE of a text that mostly is.
        """
        return 1.0 - self.wrong / self.false_s if self.false_s else np.nan

    @property
    def recall(self) -> float:
        """Share of the intervals that are found, 0..1; NaN: there are no intervals."""
        return self.found / self.intervals if self.intervals else np.nan

    @property
    def delay(self) -> float:
        """Median, seconds; NaN: none was found."""
        return float(np.median(self.delays)) if self.delays else np.nan

    @property
    def alarms_per_hour(self) -> float:
        """False alarms for each hour in which the text is not true; NaN: there is no such time."""
        return 3600.0 * self.alarms / self.false_s if self.false_s else np.nan

    @property
    def quality(self) -> float:
        """Harmonic mean of the figures that a usable trigger needs, 0..1."""
        wanted = [self.precision, self.quiet, self.recall, self.covered]
        known = [value for value in wanted if not np.isnan(value)]
        if np.isnan(self.precision) or not all(known):
            return 0.0
        return len(known) / sum(1.0 / value for value in known)

    def as_dict(self) -> dict[str, float | int | None]:
        """Convert to a dict with stable names; None for missing values."""
        found: dict[str, float | int] = {
            "precision": self.precision,
            "recall": self.recall,
            "intervals": self.intervals,
            "found": self.found,
            "delay_s": self.delay,
            "longest_delay_s": max(self.delays, default=np.nan),
            "covered": self.covered,
            "quiet": self.quiet,
            "false_alarms": self.alarms,
            "false_alarms_per_hour": self.alarms_per_hour,
            "not_true_s": self.false_s,
            "unknown": self.unknown,
        }
        return {n: None if np.isnan(v) else round(v, 4) for n, v in found.items()}

    @property
    def lacks(self) -> str:
        """Why it is not usable; empty: it is."""
        if self.unknown > MOST_UNKNOWN:
            return f"UNKNOWN for {self.unknown:.0%} of the time"
        if not self.found:
            return "finds nothing"
        if self.precision < USABLE:
            return f"{self.precision:.0%} right"
        if self.quiet < USABLE:
            return f"TRUE for {1 - self.quiet:.0%} of the time when it is not so"
        if self.recall < USABLE:
            return f"finds {self.recall:.0%}"
        if self.covered < COVERED:
            return f"TRUE for {self.covered:.0%} of their time"
        return ""


def figures(on: Spans, unknown: Spans, true: Spans, judged: Spans, tolerance: float) -> Figures:
    """Compare the states of a trigger with what was true.

    Args:
        on: [N, 2] spans in seconds in which it was TRUE.
        unknown: [N, 2] spans in which it was UNKNOWN.
        true: [N, 2] spans in which the text is true.
        judged: [N, 2] evaluated spans, to which intervals are clipped.
        tolerance: Seconds.
    """
    true = combine(true, judged, np.logical_and)
    near = spans((begin - tolerance, end + tolerance) for begin, end in true)
    late = spans((begin + tolerance, end) for begin, end in true if end - begin > tolerance)
    far = combine(judged, near, np.greater)
    delays, right = [], 0.0
    for begin, end in true:
        active = combine(on, spans([(begin, end + tolerance)]), np.logical_and)
        if len(active):
            delays.append(float(active[0, 0] - begin))
            right += min(seconds(active), float(end - begin))
    rises = on[:, 0][:, np.newaxis]
    return Figures(
        right=right,
        wrong=seconds(combine(on, far, np.logical_and)),
        intervals=len(true),
        found=len(delays),
        delays=tuple(delays),
        covered=seconds(combine(on, late, np.logical_and)) / seconds(late) if len(late) else np.nan,
        alarms=int(((far[:, 0] <= rises) & (rises < far[:, 1])).sum()),
        false_s=seconds(far),
        unknown=seconds(combine(unknown, judged, np.logical_and)) / max(seconds(judged), 1e-9),
    )


@dataclass(frozen=True)
class TriggerTrace:
    """What one threshold makes of a text: when its trigger was TRUE, and when it was UNKNOWN."""

    threshold: float
    on: Spans
    unknown: Spans


@dataclass(frozen=True)
class Verdict:
    """The suggested threshold of a text, and how reliable it is.

    Attributes:
        threshold: suggested threshold.
        figures: figures with this threshold.
        by_default: figures with the default threshold, on the same time.
        held_out: whether the threshold was chosen on other intervals.
        problem: why it is not usable; empty: it is.
        too_little: whether the truth covers too little to decide that.
    """

    threshold: float
    figures: Figures
    by_default: Figures
    held_out: bool
    problem: str
    too_little: bool


def candidates(scores: NDArray[np.floating]) -> tuple[float, ...]:
    """Candidate thresholds for a text with the scores [N]: round values, and some scores."""
    own = np.quantile(scores, np.linspace(0.02, 0.98, 25)) if len(scores) else ()
    found = np.clip(np.round(np.concatenate([_STEPS, own]), 3), 0.001, 0.999)
    return tuple(np.unique(found).tolist())


def judge(traces: Sequence[TriggerTrace], true: Spans, judged: Spans, tolerance: float) -> Verdict:
    """Choose a threshold, and measure how right the text is with it.

    Args:
        traces: Traces by ascending threshold, DEFAULT_THRESHOLD among them.
        true: [N, 2] spans in which the text is true.
        judged: [N, 2] evaluated spans.
        tolerance: Seconds, see `figures`.
    """
    default = [one.threshold for one in traces].index(DEFAULT_THRESHOLD)
    true = combine(true, judged, np.logical_and)

    def measured(index: int, part: Spans) -> Figures:
        return figures(traces[index].on, traces[index].unknown, true, part, tolerance)

    whole = measured(default, judged)
    if why := _too_little(whole):
        return Verdict(DEFAULT_THRESHOLD, whole, whole, False, why, True)
    first, second = halves(true, judged)
    if any(_too_little(measured(default, part)) for part in (first, second)):
        first = second = judged
    qualities = [measured(index, first).quality for index in range(len(traces))]
    best = max(qualities)
    as_good = [i for i, quality in enumerate(qualities) if quality >= best - AS_GOOD]
    chosen = default if default in as_good else as_good[len(as_good) // 2]
    reported = measured(chosen, second)
    return Verdict(
        traces[chosen].threshold,
        reported,
        measured(default, second),
        first is not second,
        reported.lacks,
        False,
    )


def halves(true: Spans, judged: Spans) -> tuple[Spans, Spans]:
    """Divide the evaluated spans [N, 2] between intervals, with half of these in each part."""
    if len(true) < 2:
        return judged, judged
    half = len(true) // 2
    cut = (true[half - 1, 1] + true[half, 0]) / 2
    before = combine(judged, spans([(-np.inf, cut)]), np.logical_and)
    return before, combine(judged, before, np.greater)


def _too_little(found: Figures) -> str:
    if found.intervals < LEAST_INTERVALS:
        intervals = f"{found.intervals} interval{'s' * (found.intervals != 1)}"
        return f"true in {intervals}, {LEAST_INTERVALS} or more needed"
    if found.false_s < LEAST_FALSE_S:
        return (
            f"not true for {found.false_s:.0f} s beyond --tolerance, {LEAST_FALSE_S:.0f} or more "
            "needed"
        )
    return ""
