"""Questions on a small engine that works: which clips count, batches, waiting, other families."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_domain import write_domain
from colour_engine import COLOURS, ColourEngine, painted

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.answering import PREDICTOR_ROWS, Answerer, AskedCamera, Freshness
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.pipeline import CameraFeed, Pipeline
from vljepa_ros.perception.questions import MAX_CANDIDATES, Answer, Question, checked_question
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.worker import CooperativeTask

SECOND = 1_000_000_000
ANY_AGE = Freshness(lambda: 0)


def decode(message: Any) -> np.ndarray:
    if message in COLOURS:
        return model_input(painted(message), 8)
    raise FrameError("not a colour")


def done(task: CooperativeTask[Any]) -> Any:
    """The result of a task that does not pause."""
    while True:
        try:
            assert not isinstance(next(task), float)
        except StopIteration as end:
            return end.value


class Setup:
    """Cameras whose images are 0.1 s apart, and a clock that stands at the last one of them."""

    def __init__(self, names: str = "a", max_rate: float = 1.0, domain: Path | None = None) -> None:
        self.engine = ColourEngine()
        if domain is not None:
            self.engine.config = write_domain(self.engine.config, domain)
        self.feeds = {n: CameraFeed(n, ClipRing(4, 0.5, decode), max_rate) for n in names}
        pipeline = Pipeline(
            self.engine, list(self.feeds.values()), lambda seen: 0.0, lambda used: None
        )
        self.answerer = Answerer(pipeline)
        self.now = 0

    def show(self, name: str, colour: Any, start: float, seconds: float = 2.0) -> None:
        for i in range(round(seconds * 10)):
            stamp = round((start + i / 10) * SECOND)
            self.feeds[name].ring.push(stamp, colour, f"{name}_optical", time.monotonic())
            self.now = max(self.now, stamp)

    def fresh(self, **conditions: Any) -> Freshness:
        return Freshness(lambda: self.now, **conditions)

    def start(
        self, cameras: str, questions: Sequence[Question], fresh: Freshness = ANY_AGE
    ) -> CooperativeTask[list[AskedCamera]]:
        return self.answerer.ask(list(cameras), questions, 0.5, fresh)

    def ask(self, fresh: Freshness = ANY_AGE, *candidates: str) -> tuple[AskedCamera, Answer]:
        question = checked_question("which?", candidates or ["green", "red", "blue"], {"presence"})
        (asked,) = done(self.start("a", [question], fresh))
        return asked, asked.answers[0]


def stamps(asked: AskedCamera) -> tuple[float, float]:
    assert asked.clip is not None
    return asked.clip.clip.stamps[0] / SECOND, asked.clip.clip.stamps[-1] / SECOND


def test_a_question_uses_what_was_encoded_or_encodes_on_demand() -> None:
    s = Setup()
    s.show("a", "red", 0.0)
    for _ in range(2):
        asked, got = s.ask()
        assert (got.text, got.index, stamps(asked)) == ("red", 1, (0.4, 1.9))
    assert s.engine.batches == [1]
    s.show("a", "blue", 2.0, 1.5)
    asked, got = s.ask()
    assert (got.text, stamps(asked)[1]) == ("blue", 3.4)
    assert s.engine.batches == [1, 1]


def test_a_question_does_not_wait_for_a_young_stream() -> None:
    s = Setup()
    s.feeds["a"].ring.push(SECOND, "green", "", time.monotonic())
    asked, got = s.ask()
    assert (got.text, stamps(asked)) == ("green", (1.0, 1.0))


def test_several_questions_about_several_cameras_are_two_batches() -> None:
    s = Setup("abcd")
    for name, colour in zip("abcd", COLOURS, strict=False):
        s.show(name, "white", 0.0, 1.0)
        s.show(name, colour, 1.0, 1.0)
    last = checked_question("which?", list(COLOURS), {"presence"})
    first = checked_question("first which?", list(COLOURS), {"presence"})
    asked = done(s.start("abcd", [last, first] * 4))
    assert s.engine.batches == [4]
    assert s.engine.embedded == [PREDICTOR_ROWS]
    assert len(s.engine.texts) == 2 * 8, "each set once a request, not once a camera"
    assert [one.camera for one in asked] == list("abcd")
    for one, colour in zip(asked, COLOURS, strict=False):
        assert [answer.text for answer in one.answers] == [colour, "white"] * 4
    done(s.start("dcb", [last]))
    asked = done(s.start("dcb", [last]))
    assert [one.answers[0].text for one in asked] == ["yellow", "blue", "green"]
    assert s.engine.batches == [4], "all are known"


def test_many_answers_leave_frames_their_turn() -> None:
    s = Setup("ab")
    s.show("a", "red", 0.0)
    s.show("b", "blue", 0.0)
    task = s.start("ab", [checked_question("?", ["red", "blue"], {"presence"})] * 40)
    pauses = 0
    while True:
        try:
            next(task)
            pauses += 1
        except StopIteration as end:
            asked = end.value
            break
    assert pauses >= 2
    assert max(s.engine.embedded) == PREDICTOR_ROWS
    assert {answer.text for answer in asked[0].answers} == {"red"}
    assert {answer.text for answer in asked[1].answers} == {"blue"}


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"max_age": 3 * SECOND}, r"'a': the newest image is 8.10 s old, allowed: 3.00 s"),
        ({"after": round(0.5 * SECOND)}, "the newest clip begins 0.10 s before `after`"),
        ({"after": round(0.4 * SECOND)}, "the newest clip begins 0.00 s before `after`"),
        ({"after": round(0.39 * SECOND), "max_age": 9 * SECOND}, ""),
        ({}, ""),
    ],
)
def test_clips_that_are_too_old_are_stale(conditions: dict[str, float], reason: str) -> None:
    s = Setup()
    s.show("a", "red", 0.0)
    s.now = 10 * SECOND
    asked, got = s.ask(s.fresh(**conditions))
    assert (got.status == "STALE") == (asked.clip is None) == bool(reason)
    assert reason in got.message
    assert (got.text, got.index, len(got.scores)) == (("", -1, 0) if reason else ("red", 1, 3))


def test_the_whole_clip_must_be_newer_a_partial_one_too() -> None:
    s = Setup()
    s.show("a", "red", 10.0, 0.3)
    assert s.ask(s.fresh(after=round(9.9 * SECOND)))[1].text == "red"
    assert s.ask(s.fresh(after=10 * SECOND))[1].status == "STALE"


def test_a_newer_clip_is_encoded_where_the_last_one_is_too_old() -> None:
    s = Setup()
    s.show("a", "red", 0.0)
    s.ask()
    s.show("a", "blue", 2.0, 0.5)
    assert s.ask()[1].text == "red", "within one period of max_rate"
    assert s.ask(s.fresh(max_age=0.3 * SECOND))[1].text == "blue"


def test_an_image_from_before_the_clock_went_back_is_stale() -> None:
    s = Setup()
    s.show("a", "red", 100.0)
    s.now = 1 * SECOND
    assert "is -100.90 s old" in s.ask(s.fresh(max_age=3 * SECOND))[1].message


def test_a_camera_without_usable_images_says_why() -> None:
    s = Setup()
    assert s.ask()[1].message == "camera 'a': no usable image yet"
    s.feeds["a"].ring.push(SECOND, 1, "", 0.0)
    assert s.ask()[1].message.endswith("; the last one was refused: not a colour")


def test_a_stale_camera_does_not_keep_others_from_being_answered() -> None:
    s = Setup("ab")
    s.show("a", "red", 0.0)
    s.show("b", "blue", 5.0)
    lone = checked_question("?", ["red"], set())
    questions = [checked_question("?", ["red", "blue"], set()), lone]
    old, new = done(s.start("ab", questions, s.fresh(max_age=2.0 * SECOND)))
    assert [answer.status for answer in old.answers] == ["STALE", "UNSUPPORTED"]
    assert [answer.status for answer in new.answers] == ["ANSWERED", "UNSUPPORTED"]
    assert new.answers[0].text == "blue"
    assert "'presence'" in new.answers[1].message


def test_a_question_pauses_until_all_cameras_have_a_clip_that_counts() -> None:
    s = Setup("ab")
    s.show("a", "red", 0.0)
    s.show("b", "red", 0.0)
    question = checked_question("which?", ["red", "blue"], {"presence"})
    fresh = s.fresh(after=2 * SECOND, until=time.monotonic() + 60.0)
    task = s.start("ab", [question], fresh)
    assert 50.0 < next(task) <= 60.0
    s.show("a", "blue", 2.1)
    assert next(task) > 50.0
    assert s.engine.batches == [], "nothing is encoded in vain"
    s.show("b", "blue", 2.1, 1.5)
    s.show("b", 1, 3.6, 0.1)
    assert next(task) > 50.0, "the newest image is broken, and without it the clip is too old"
    s.show("b", "blue", 3.7, 0.3)
    asked = done(task)
    assert [one.answers[0].text for one in asked] == ["blue", "blue"]
    assert all(stamps(one)[0] > 2 for one in asked)


def test_at_the_end_of_the_wait_the_cameras_that_are_ready_are_answered() -> None:
    s = Setup("ab")
    s.show("a", "red", 0.0)
    question = checked_question("which?", ["red", "blue"], {"presence"})
    task = s.start("ab", [question], s.fresh(until=time.monotonic() + 0.5))
    assert next(task) <= 0.5
    time.sleep(0.51)
    ready, stale = done(task)
    assert ready.answers[0].text == "red"
    assert (stale.clip, stale.answers[0].status) == (None, "STALE")


def test_candidates_that_were_asked_about_are_not_looked_up_again() -> None:
    s = Setup()
    s.show("a", "red", 0.0)
    first, again = (s.ask(ANY_AGE, "red", "blue", "red") for _ in range(2))
    assert s.engine.texts == ["red", "blue"]
    assert again[1].text == first[1].text == "red"
    assert again[1].scores.tolist() == first[1].scores.tolist()
    assert again[1].scores[0] == again[1].scores[2]
    s.ask(ANY_AGE, "blue", "red")
    assert len(s.engine.texts) == 4, "another order is another set"


def test_a_question_about_an_image() -> None:
    s = Setup()
    question = checked_question("?", ["red", "green"], {"presence"})
    assert done(s.answerer.ask_about(decode("green"), question, 0.5)).text == "green"
    lone = checked_question("?", ["green"], set())
    assert done(s.answerer.ask_about(decode("green"), lone, 0.5)).status == "UNSUPPORTED"


def test_a_thousand_new_candidates_are_answered_step_by_step_between_frames() -> None:
    s = Setup()
    s.show("a", "red", 0.0)
    question = checked_question(
        "?", [f"green {i}" for i in range(MAX_CANDIDATES - 1)] + ["red"], {"presence"}
    )
    s.engine.text_seconds = 0.001
    task = s.start("a", [question])
    counts = []
    for _ in range(5):
        next(task)
        counts.append(len(s.engine.texts))
    assert max(np.diff(counts)) <= 64, "what a frame may have to wait for"
    s.engine.text_seconds = 0.0
    s.show("a", "blue", 2.0, 1.5)
    (asked,) = done(task)
    assert stamps(asked)[1] == 3.4, "the newest clip, not that of long ago"


class Writer(ColourEngine):
    """A model without embeddings, as a token VLM: it scores one question at a time and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = frozenset({"score", "caption"})

    def encode_candidates(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        raise AssertionError("it has no embeddings")

    def caption(self, tokens: Sequence[np.ndarray], query: str) -> list[Generated]:
        return [Generated(f"it is {query}", 0.4 if "dark" in query else 0.8, True) for _ in tokens]


def test_yes_and_no_of_a_model_that_cannot_read_questions() -> None:
    s = Setup()
    s.show("a", "red", 0.0)
    texts = ("is there a red thing?", "is there a blue thing?", "is no green thing here?")
    asked = [checked_question(t, ["no", "yes"], {"presence"}, reads_questions=False) for t in texts]
    named = checked_question("which?", ["red", "blue"], {"presence"}, reads_questions=False)
    state = checked_question("is it open?", ["no", "yes"], {"presence"}, reads_questions=False)
    (camera,) = done(s.start("a", [asked[0], named, *asked[1:], state]))
    assert [answer.text for answer in camera.answers] == ["yes", "red", "no", "yes", ""]
    assert camera.answers[-1].status == "UNSUPPORTED"
    assert set(s.engine.texts) >= {"a red thing", "a blue thing", "green thing"}


def test_a_model_without_embeddings_is_asked_one_question_at_a_time() -> None:
    s = Setup("ab")
    s.engine = Writer()
    pipeline = Pipeline(s.engine, list(s.feeds.values()), lambda seen: 0.0, lambda used: None)
    s.answerer = Answerer(pipeline)
    s.show("a", "red", 0.0)
    s.show("b", "blue", 0.0)
    questions = [
        checked_question("which?", ["red", "blue"], s.engine.capabilities),
        checked_question("light", [], s.engine.capabilities),
        checked_question("dark", [], s.engine.capabilities),
    ]
    a, b = done(s.start("ab", questions))
    assert [answer.text for answer in a.answers] == ["red", "it is light", ""]
    assert b.answers[0].text == "blue"
    assert [answer.index for answer in a.answers] == [0, -1, -1]
    assert a.answers[2].status == "AMBIGUOUS"
    assert "'it is dark', have the probability 0.40" in a.answers[2].message
    assert s.engine.batches == [2]


def test_freshness_knows_no_limit() -> None:
    assert Freshness(lambda: 10**18, max_age=math.inf).holds((0, 0))
    assert not Freshness(lambda: 0).holds(None)


def test_pictures_out_of_the_domain_answer_no_question(tmp_path: Path) -> None:
    s = Setup(domain=tmp_path)
    asked = checked_question("what colour is it now?", ["red", "blue"], s.engine.capabilities)
    for start in range(0, 20, 2):
        s.show("a", "blue", float(start))
        (one,) = done(s.answerer.ask(["a"], [asked], 0.5, ANY_AGE))
    answer = one.answers[0]
    assert (answer.status, answer.text, answer.index) == ("OUT_OF_DOMAIN", "", -1)
    assert "model:=everyday" in answer.message
    assert not answer.in_domain
    for start in range(20, 30, 2):
        s.show("a", "red", float(start))
        (one,) = done(s.answerer.ask(["a"], [asked], 0.5, ANY_AGE))
    assert one.answers[0].in_domain
    assert one.answers[0].text == "red"
    for colour, fits in (("blue", False), ("red", True)):
        answer = done(s.answerer.ask_about(decode(colour), asked, 0.5))
        assert (answer.in_domain, answer.status == "ANSWERED") == (fits, fits)
