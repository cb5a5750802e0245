"""The definitions of `vljepa eval events` on streams small enough to work out by hand."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vljepa_lab.evaluation.change.judge import Curve, judge_alarms, judge_set, rate_for, share_at
from vljepa_lab.evaluation.change.measures import (
    DecodeTrace,
    boundary_counts,
    poisson_interval,
    pool,
    score,
)
from vljepa_lab.evaluation.change.replay import constant, uniform
from vljepa_lab.evaluation.change.report import print_table, write_plots
from vljepa_lab.evaluation.change.run import merge
from vljepa_lab.evaluation.change.streams import (
    ChangeStream,
    Event,
    NearestText,
    StreamConfig,
    synthetic_stream,
)


def small_stream() -> ChangeStream:
    """Text 0 is the state, text 1 an event from 10 to 12 s, text 2 the state after it; 30 s."""
    stamps = np.arange(0.0, 30.0, 0.5)
    shown = np.where(stamps < 10, 0, np.where(stamps < 12, 1, 2))
    return ChangeStream(
        stamps=stamps,
        embeddings=np.eye(3, dtype=np.float32)[shown],
        clip=1.5,
        read=NearestText(np.eye(3, dtype=np.float32)),
        events=(Event(10.0, 12.0, 1, strong=True),),
        states=((0.0, frozenset({0})), (12.0, frozenset({2}))),
        turn_rates=np.zeros(stamps.size),
        end=30.0,
    )


def trace(*decoded: tuple[float, int]) -> DecodeTrace:
    stamps = np.array([stamp for stamp, _ in decoded])
    return DecodeTrace(
        stamps, stamps, np.array([text for _, text in decoded]), np.arange(len(decoded)) > 0
    )


def test_an_event_is_right_from_its_onset_until_two_seconds_after_its_end() -> None:
    scored = score(small_stream(), trace((0.0, 0), (11.0, 1), (13.5, 2)))
    assert scored.event_share == pytest.approx(2.5 / 4.0, abs=0.02)
    assert scored.right == pytest.approx(10.0 + 2.5 + 16.0, abs=0.15)
    assert scored.delays == scored.strong_delays == (1.0,)
    assert scored.decodes == 3


def test_the_state_is_wrong_during_an_event_and_right_after_it() -> None:
    scored = score(small_stream(), trace((0.0, 0), (14.0, 2)))
    assert scored.event_share == 0.0
    assert scored.right == pytest.approx(26.0, abs=0.15)
    assert scored.delays == (4.0,)
    assert score(small_stream(), trace((0.0, 0))).delays == (math.inf,)


def test_a_false_alarm_has_no_onset_in_the_clip_and_two_seconds_before_it() -> None:
    early, near, late = (score(small_stream(), trace((0.0, 0), (t, 0))) for t in (5.0, 15.4, 15.6))
    assert (early.false_alarms, near.false_alarms, late.false_alarms) == (1, 0, 1)


def test_boundaries_match_one_to_one() -> None:
    truth, found = np.array([1.0, 5.0, 9.0]), np.array([0.5, 1.2, 5.9, 20.0])
    assert boundary_counts(truth, found, 1.0) == 2
    assert boundary_counts(truth, np.array([]), 1.0) == 0
    scored = pool([score(small_stream(), trace((0.0, 0), (10.5, 1), (11.5, 2)))])
    assert scored["boundary_f1_1s"] == 1.0


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)]
)
def test_poisson_interval_is_garwoods(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=2e-3)


def test_decoding_every_sample_of_a_clean_stream_is_all_right_and_a_constant_text_is_not() -> None:
    stream = small_stream()
    texts = stream.embeddings.argmax(axis=1)
    ceiling = score(stream, uniform(stream, texts, 1))
    assert ceiling.event_share == pytest.approx(0.5, abs=0.02), (
        "the text after the event comes early"
    )
    assert ceiling.decodes == 60
    assert score(stream, constant(stream)).right == pytest.approx(16.0, abs=0.2)


def test_curves_are_read_in_both_directions() -> None:
    rates, shares = np.array([1.0, 100.0, 10.0]), np.array([0.2, 0.8, 0.5])
    assert share_at(rates, shares, 10.0) == pytest.approx(0.5)
    assert rate_for(rates, shares, 0.65)[0] == pytest.approx(10**1.5)
    assert rate_for(rates, shares, 0.9) == (100.0, False)
    assert rate_for(rates, shares, 0.1) == (1.0, True)


def test_a_curve_pools_streams_by_their_weight() -> None:
    scored = score(small_stream(), trace((0.0, 0), (10.0, 1), (14.0, 2)))
    nothing = score(small_stream(), trace((0.0, 0)))
    curve = Curve.of([[scored, nothing]])
    rates, shares = curve.points()
    assert (rates[0], shares[0]) == (pytest.approx(4.0), pytest.approx(0.5))
    assert curve.points(np.array([2.0, 0.0]))[1][0] == pytest.approx(1.0)


def test_synthetic_streams_are_reproducible_and_what_they_say() -> None:
    config = StreamConfig(gap=12.0, seconds=240.0, perturbed=True, dim=64)
    one, same, other = (synthetic_stream(config, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.embeddings, same.embeddings)
    assert not np.array_equal(one.stamps, other.stamps)
    assert (np.diff(one.stamps) > 0).all()
    assert np.allclose(np.linalg.norm(one.embeddings, axis=1), 1.0, atol=1e-5)
    assert 12 <= len(one.events) <= 25
    onsets = [event.start for event in one.events]
    assert onsets == sorted(onsets)
    clean = synthetic_stream(StreamConfig(gap=12.0, seconds=240.0, dim=64, noise=(0.01, 0.02)), 1)
    event = max(clean.events, key=lambda e: e.end - e.start)
    during = clean.embeddings[(clean.stamps > event.start + 1.6) & (clean.stamps < event.end)]
    assert (clean.read(during) == event.text).all()


def test_an_evaluation_of_given_streams_has_every_figure(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="offline Ward needs the extra [eval]")
    config = StreamConfig(gap=6.0, seconds=40.0, dim=32)
    streams = [synthetic_stream(config, seed) for seed in (1, 2)]
    shaken = [synthetic_stream(replace(config, perturbed=True), seed) for seed in (1, 2)]
    parts = [judge_set("gap3", streams, 20), judge_set("gap3.perturbed", shaken, 20)]
    alarms = {"false_alarms": {"quiet": judge_alarms(streams)}}
    result = {"source": "synthetic", **merge([*parts, alarms])}
    figures = result["streams"]["gap3"]["anchor_drift"]
    names = ("event_right_share", "text_right_share", "decodes_per_min", "boundary_f1_1s")
    assert all(figures[name] >= 0.0 for name in (*names, "delay_s", "false_alarms_per_h"))
    assert result["streams"]["gap3"]["perturbed"]["anchor_drift"].keys() == figures.keys()
    assert result["saved_vs_uniform"]["gap3"] > 0
    low, high = result["vs_ward"]["gap3"]["ci"]
    assert low <= high
    assert 0 < result["ceiling"]["gap3"] <= 1
    assert result["of_ward_bound"]["gap3.perturbed"] > 0
    json.dumps(result, allow_nan=False)
    text = io.StringIO()
    print_table(result, text)
    assert "> anchor_drift" in text.getvalue()
    for picture in write_plots(result, tmp_path):
        assert picture.read_bytes().startswith(b"\x89PNG")
