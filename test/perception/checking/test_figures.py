"""Figures of a trigger against a count of tenths of a second, and the choice of a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.checking.figures import (
    DEFAULT_THRESHOLD,
    TriggerTrace,
    candidates,
    figures,
    halves,
    judge,
)
from vljepa_ros.perception.checking.spans import seconds, spans

NOTHING = spans(())
LENGTH = 60  # steps
times = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 12)).map(lambda p: (p[0], p[0] + p[1])), max_size=5
)


def steps(of: np.ndarray) -> np.ndarray:
    """[LENGTH] whether each step lies in it."""
    found = np.zeros(LENGTH, bool)
    for begin, end in of.astype(int):
        found[max(begin, 0) : max(end, 0)] = True
    return found


@settings(max_examples=60)
@given(times, times, times, st.integers(0, 4))
def test_as_if_counted(
    on: list[tuple[int, int]],
    true: list[tuple[int, int]],
    unclear: list[tuple[int, int]],
    tolerance: int,
) -> None:
    """Every step by itself; nothing of the arithmetic of spans."""
    judged = ~steps(np.array(unclear).reshape(-1, 2))
    says = steps(np.array(on).reshape(-1, 2))
    holds = steps(np.array(true).reshape(-1, 2)) & judged
    edges = np.diff(np.concatenate([[0], holds.astype(int), [0]]))
    intervals = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True))
    near = np.zeros(LENGTH, bool)
    late = np.zeros(LENGTH, bool)
    delays, right = [], 0
    for begin, end in intervals:
        near[max(begin - tolerance, 0) : end + tolerance] = True
        late[begin + tolerance : end] = True
        after = np.flatnonzero(says[begin : end + tolerance])
        delays += after[:1].tolist()
        right += min(len(after), end - begin)
    rises = np.flatnonzero(np.diff(np.concatenate([[0], says.astype(int)])) == 1)

    def as_spans(mask: np.ndarray) -> np.ndarray:
        return spans((i, i + 1) for i in np.flatnonzero(mask))

    found = figures(
        as_spans(says), as_spans(~says), spans(true), as_spans(judged), float(tolerance)
    )
    assert found.intervals == len(intervals)
    assert found.delays == tuple(delays)
    assert found.right == right
    assert found.wrong == (says & judged & ~near).sum()
    assert found.alarms == sum(judged[i] and not near[i] for i in rises)
    assert found.false_s == (judged & ~near).sum()
    covered = (says & late).sum() / late.sum() if late.any() else np.nan
    assert found.covered == pytest.approx(covered, nan_ok=True)
    if judged.any():
        assert found.unknown == pytest.approx((~says & judged).sum() / judged.sum())


def every(begin: float, end: float, first: float, length: float, period: float = 30.0):
    return spans((t + first, t + first + length) for t in np.arange(begin, end, period))


def verdict(on: np.ndarray, true: np.ndarray, length: float = 600.0):
    traces = TriggerTrace(DEFAULT_THRESHOLD, on, NOTHING)
    return judge([traces], true, spans([(0.0, length)]), 2.0)


def test_what_makes_a_text_unusable() -> None:
    true = every(0, 600, 10.0, 8.0)
    assert verdict(every(0, 600, 11.0, 8.5), true).problem == ""
    assert verdict(NOTHING, true).problem == "finds nothing"
    assert verdict(spans([(0.0, 600.0)]), true).problem == "31% right"  # 8 of 8 + 18 s
    assert verdict(every(0, 600, 11.0, 15.0), true).problem == "57% right"
    assert verdict(every(0, 600, 10.0, 3.0), true).problem == "TRUE for 17% of their time"
    mostly = every(0, 600, 1.0, 24.0)
    assert verdict(mostly, mostly).problem == ""
    always = verdict(spans([(0.0, 600.0)]), mostly)
    assert always.problem == "TRUE for 100% of the time when it is not so", always.figures
    assert verdict(every(300, 450, 11.0, 8.0), true).problem == "finds 50%"
    unknown = TriggerTrace(DEFAULT_THRESHOLD, NOTHING, spans([(0.0, 550.0)]))
    found = judge([unknown], true, spans([(0.0, 600.0)]), 2.0)
    assert found.problem == "UNKNOWN for 83% of the time"


@pytest.mark.parametrize(
    ("true", "length", "problem"),
    [
        (NOTHING, 600.0, "true in 0 intervals, 3 or more needed"),
        (spans([(1.0, 500.0)]), 600.0, "true in 1 interval, 3 or more needed"),
        (every(0, 90, 1.0, 27.0), 90.0, "not true for 0 s beyond --tolerance, 10 or more needed"),
    ],
)
def test_too_little_truth_is_no_verdict(true: np.ndarray, length: float, problem: str) -> None:
    found = verdict(true, true, length)
    assert found.too_little
    assert (found.problem, found.held_out) == (problem, False)
    assert found.threshold == DEFAULT_THRESHOLD


def test_the_threshold_is_chosen_on_other_intervals_than_it_is_judged_on() -> None:
    """One threshold is right in the first half alone, another in the second half alone."""
    true, whole = every(0, 600, 10.0, 8.0), spans([(0.0, 600.0)])
    first = TriggerTrace(0.2, spans(true[:10]), NOTHING)
    second = TriggerTrace(0.5, spans(true[10:]), NOTHING)
    found = judge([first, second], true, whole, 2.0)
    assert found.held_out
    assert found.threshold == 0.2
    assert found.figures.found == 0
    assert found.problem == "finds nothing"
    assert found.by_default.found == 10
    few = judge([first, second], true[:5], whole, 2.0)
    assert not few.held_out
    assert few.figures.found == 5


def test_the_default_is_kept_where_it_is_as_good() -> None:
    true, whole = every(0, 600, 10.0, 8.0), spans([(0.0, 600.0)])
    traces = [TriggerTrace(limit, true, NOTHING) for limit in (0.1, 0.3, 0.5, 0.7)]
    assert judge(traces, true, whole, 2.0).threshold == 0.5
    traces[2:] = [TriggerTrace(limit, NOTHING, NOTHING) for limit in (0.5, 0.7)]
    assert judge([TriggerTrace(0.05, true, NOTHING), *traces], true, whole, 2.0).threshold == 0.1


@settings(max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=6, max_size=20))
def test_halves_are_apart_and_leave_nothing_out(gaps: list[int]) -> None:
    begins = np.cumsum(gaps) * 2.0
    true, judged = spans((t, t + 1.0) for t in begins), spans([(0.0, begins[-1] + 5.0)])
    first, second = halves(true, judged)
    assert first[-1, 1] == second[0, 0]
    assert seconds(first) + seconds(second) == pytest.approx(seconds(judged))
    assert sum(end <= first[-1, 1] for _, end in true) == len(true) // 2


def test_thresholds_worth_trying() -> None:
    found = candidates(np.array([0.61, 0.62, 0.65, 1.0, 0.0]))
    assert DEFAULT_THRESHOLD in found
    assert found == tuple(sorted(set(found)))
    assert sum(0.6 < one < 0.66 for one in found) > 5
    assert all(0.001 <= one <= 0.999 for one in found)
