"""The pipeline on a small engine that works: batches, rates, laziness, jumps in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from colour_domain import write_domain
from colour_engine import ColourEngine, painted
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.pipeline import (
    EMBEDDINGS,
    LABELS,
    CameraFeed,
    Observation,
    Pipeline,
)
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.vocabulary import EncodedVocabulary, from_groups

SECOND = 1_000_000_000


def decode(message) -> np.ndarray:
    if isinstance(message, str):
        return model_input(painted(message), 8)
    raise FrameError("not a colour")


class Setup:
    def __init__(
        self,
        names: str = "ab",
        max_rate: float = 1e6,
        domain: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = ColourEngine()
        if domain is not None:
            self.engine.config = write_domain(self.engine.config, domain)
        self.seen: list[Observation] = []
        self.ready: list[EncodedVocabulary] = []
        self.feeds = {
            name: CameraFeed(
                name, ClipRing(4, 0.5, decode), max_rate, frozenset({EMBEDDINGS, LABELS})
            )
            for name in names
        }
        self.pipeline = Pipeline(
            self.engine, list(self.feeds.values()), self.publish, self.ready.append, clock=clock
        )
        self.pipeline.watching = True

    def publish(self, observation: Observation) -> float:
        self.seen.append(observation)
        return 0.0

    def show(self, name: str, colour, start: float, seconds: float = 2.0) -> None:
        for i in range(int(seconds * 10)):
            stamp = round((start + i / 10) * SECOND)
            self.feeds[name].ring.push(stamp, colour, f"{name}_optical", time.monotonic())

    def label(self, **groups) -> None:
        self.pipeline.labels.replace(1, from_groups(groups))
        while self.pipeline.labels.pending:
            self.pipeline.step()


def test_cameras_with_something_new_are_one_batch_each_with_its_own_stamps() -> None:
    s = Setup()
    s.label(**{"what colour is it now?": ["red", "green"], "first colour?": ["blue", "red"]})
    s.show("a", "red", 100.0)
    s.show("b", "green", 7.0)
    s.pipeline.step()
    assert s.engine.batches == [2]
    a, b = s.seen
    assert (a.camera, b.camera) == ("a", "b")
    assert a.stamp == round(101.9 * SECOND)
    assert a.clip_start == round(100.4 * SECOND)
    assert b.tag == "b_optical"
    assert [g.labels[0] for g in a.groups] == ["red", "red"]
    assert b.groups[0].labels[0] == "green"
    assert a.vocabulary_version == 1
    s.show("b", "blue", 9.0, 0.1)
    s.pipeline.step()
    assert s.engine.batches == [2, 1], "a has nothing new"


def test_the_newest_images_count_and_the_rate_is_bounded() -> None:
    s = Setup("a", max_rate=10.0)
    s.show("a", "red", 0.0)
    begin = time.monotonic()
    stamp = 2.0
    while time.monotonic() < begin + 1.0:
        s.show("a", "red", stamp, 0.1)
        stamp += 0.1
        pause = s.pipeline.step()
        assert pause is None or 0.0 <= pause <= 0.2
        time.sleep(0.002)
    assert 8 <= len(s.seen) <= 12
    assert s.feeds["a"].ring.counts.dropped > 0


@settings(max_examples=15, deadline=None)
@given(
    rate=st.floats(2.0, 60.0),
    max_rate=st.floats(1.0, 30.0),
    jitter=st.floats(0.0, 0.2),
    seed=st.integers(0, 99),
)
@example(rate=25.0, max_rate=5.0, jitter=0.05, seed=0)
def test_a_clip_ends_at_an_image_that_has_just_come_at_any_phase_of_camera_and_rate(
    rate: float, max_rate: float, jitter: float, seed: int
) -> None:
    """Simulated time; the last image of all is taken too, though no other follows it."""
    random, s = np.random.default_rng(seed), Setup("a", max_rate, clock=lambda: now)
    arrivals = sorted((k + random.uniform(-jitter, jitter)) / rate for k in range(10, 210))
    now, due, ages = 0.0, math.inf, []
    for arrival in [*arrivals, arrivals[-1] + 60.0]:
        while now < arrival:
            now, before = min(arrival, due), len(s.seen)
            if now == arrival <= arrivals[-1]:
                s.feeds["a"].ring.push(round(now * SECOND), "red", now=now)
            pause = s.pipeline.step()
            due = math.inf if pause is None else now + pause
            ages += [now - seen.stamp / SECOND for seen in s.seen[before:]]
    lasted = arrivals[-1] - s.seen[0].stamp / SECOND
    expected = lasted * min(rate, max_rate)
    assert expected * 0.97 - 3 <= len(s.seen) <= lasted * max_rate + 3
    assert sum(age > 1e-9 for age in ages[1:-1]) <= len(ages) // 50


def test_nothing_is_encoded_while_nobody_listens_or_the_node_is_inactive() -> None:
    s = Setup("a")
    s.feeds["a"].subscriptions = frozenset()
    s.show("a", "red", 0.0)
    s.pipeline.step()
    s.feeds["a"].subscriptions = frozenset({EMBEDDINGS})
    s.pipeline.watching = False
    s.pipeline.step()
    assert s.engine.batches == []
    s.pipeline.watching = True
    s.label(q=["red"])
    assert s.engine.batches == [1]
    assert s.seen[-1].groups == (), "nobody wants labels"


def test_clips_that_a_question_had_encoded_are_published_too_and_not_encoded_again() -> None:
    s = Setup("a")
    for second in range(3):
        s.show("a", "red", 2.0 * second)
        assert s.pipeline.look([s.feeds["a"]], lambda times: True)
        s.pipeline.step()
    assert [seen.stamp for seen in s.seen] == [round((1.9 + 2 * i) * SECOND) for i in range(3)]
    assert s.engine.batches == [1, 1, 1]


def test_several_cameras_are_looked_at_in_one_batch_those_known_and_those_too_old_not() -> None:
    s = Setup("abc", max_rate=1.0)
    s.show("a", "red", 0.0)
    s.pipeline.step()
    for name in "abc":
        s.show(name, "green", 2.0)
    s.show("a", "green", 4.0, 0.1)
    feeds = list(s.feeds.values())
    found = s.pipeline.look(feeds, lambda times: times[1] >= 3 * SECOND)
    assert set(found) == set("abc")
    assert s.engine.batches == [1, 3]
    found = s.pipeline.look(feeds, lambda times: times[1] >= 4 * SECOND)
    assert set(found) == {"a"}
    assert s.engine.batches == [1, 3], "known"
    assert s.pipeline.look(feeds, lambda times: False) == {}


def test_a_new_vocabulary_does_not_stop_the_stream() -> None:
    s = Setup("a")
    s.engine.text_seconds = 0.002
    s.pipeline.labels.replace(1, from_groups({"q": [f"red {i}" for i in range(200)]}))
    stamp = 0.0
    while s.pipeline.labels.pending:
        s.show("a", "red", stamp, 2.0 if stamp == 0.0 else 0.1)
        stamp += 2.0 if stamp == 0.0 else 0.1
        s.pipeline.step()
    assert len(s.seen) >= 4
    assert [v.version for v in s.ready] == [1]


def test_after_a_jump_back_the_cached_features_are_not_used() -> None:
    s = Setup("a")
    s.show("a", "red", 100.0)
    s.pipeline.step()
    s.show("a", "red", 102.0, 0.1)
    s.pipeline.step()
    s.show("a", "green", 100.0)
    s.pipeline.step()
    assert [state is not None for state in s.engine.states] == [False, True, False]
    assert s.seen[-1].embedding.argmax() == 1


def test_a_broken_image_does_not_repeat_the_clip_before_it() -> None:
    s = Setup("a")
    s.show("a", "red", 0.0)
    s.pipeline.step()
    s.show("a", 1, 2.0, 0.1)
    s.pipeline.step()
    assert len(s.seen) == 1
    assert s.feeds["a"].ring.counts.failing == "not a colour"
    time.sleep(0.12)
    s.show("a", "red", 2.1, 0.1)
    s.pipeline.step()
    assert len(s.seen) == 2
    assert s.feeds["a"].ring.counts.failing == ""


def test_stages_are_timed() -> None:
    s = Setup("a")
    s.show("a", "red", 0.0)
    s.pipeline.step()
    times = s.pipeline.stages.milliseconds()
    assert set(times) == {
        "preprocess",
        "x_encoder",
        "predictor",
        "compare",
        "publish",
        "camera_to_embedding",
    }
    assert all(0 <= median <= p99 for median, p99 in times.values())


def test_a_camera_out_of_the_domain_is_marked_and_another_one_is_not(tmp_path: Path) -> None:
    s = Setup(domain=tmp_path)

    def seen(name: str, colour: str, start: float) -> list[bool]:
        s.seen.clear()
        for step in range(8):
            # a clip that is not whole yet would be looked at again only after a pause
            s.show(name, colour, start + step * 2.0)
            s.pipeline.step()
        return [one.in_domain for one in s.seen if one.camera == name]

    assert all(seen("a", "red", 0.0))
    assert all(seen("b", "red", 0.0))
    away = seen("a", "blue", 16.0)
    assert away[0]
    assert not away[-1]
    assert s.feeds["b"].domain.in_domain
    assert seen("a", "red", 32.0)[-1]
    seen("a", "blue", 48.0)
    s.pipeline.judges_domain = False
    assert all(seen("a", "blue", 64.0))


def test_a_camera_that_is_turned_while_its_clip_is_encoded_costs_the_others_nothing() -> None:
    """Its parameters change in another thread, which forgets what was encoded."""
    s = Setup()
    s.show("a", "red", 100.0)
    assert s.pipeline.look([s.feeds["a"]], lambda times: True), "a question had it encoded"
    s.show("b", "green", 7.0)
    encode = s.engine.encode

    def forgetting(clips, states):
        s.feeds["a"].forget()
        return encode(clips, states)

    s.engine.encode = forgetting
    s.pipeline.step()
    assert [one.camera for one in s.seen] == ["a", "b"]
