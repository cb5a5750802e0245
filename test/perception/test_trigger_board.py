"""The board: it equals one plain trigger after another, and every change is published once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.calibration import EncodedText, EncodedTexts
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.trigger_board import Reason, State, StateChange, TriggerBoard
from vljepa_ros.perception.triggers import Trigger

DIM = 6
SECOND = 10**9
CALIBRATION = Calibration(logit_scale=12.0, none_similarity=0.3)
VECTORS = np.eye(DIM, dtype=np.float32)
TEXTS = EncodedTexts(
    "nano-1", {f"text {i}": EncodedText(v, CALIBRATION) for i, v in enumerate(VECTORS)}
)
NOW = 7  # the node's clock, where only that is known


def trigger(*texts: int, **fields: object) -> Trigger:
    return Trigger(
        "planner",
        **{  # type: ignore[arg-type]
            "id": f"trigger {texts}",
            "texts": tuple(f"text {i}" for i in texts),
            "threshold": 0.5,
            "release": 0.8,
            **fields,
        },
    )


def seen(scores: dict[int, float]) -> np.ndarray:
    """An embedding of which these texts have these scores."""
    vector = np.zeros(DIM)
    for i, score in scores.items():
        vector[i] = 0.3 + math.log(score / (1 - score)) / 12.0
    rest = 1.0 - float(vector @ vector)
    vector[DIM - 1] += math.sqrt(max(0.0, rest))
    return vector.astype(np.float32)


class Plain:
    """One trigger, as the module's text says it. Stamps in seconds."""

    def __init__(self, of: Trigger) -> None:
        self.of, self.state, self.reason = of, State.UNKNOWN, Reason.NOT_SCORED
        self.begun, self.fell = math.inf, -math.inf

    def judge(self, stamp: float, score: float) -> None:
        t = self.of
        if self.state == State.UNKNOWN:
            self.reason = Reason.NOT_SCORED
        if self.state == State.TRUE:
            beyond = score < t.threshold * t.release
        else:
            cooling = 0 <= stamp - self.fell < t.cooldown / SECOND
            beyond = score >= t.threshold and not cooling
        self.begun = min(self.begun, stamp) if beyond else math.inf
        if beyond and stamp - self.begun >= t.hold / SECOND:
            if self.state == State.TRUE:
                self.fell = stamp
            self.to(State.FALSE if self.state == State.TRUE else State.TRUE)
        elif self.state == State.UNKNOWN and not beyond:
            self.to(State.FALSE)

    def to(self, state: State, reason: Reason = Reason.SCORED) -> None:
        self.state, self.reason, self.begun = state, reason, math.inf


class History:
    """What subscribers have received of each trigger."""

    def __init__(self) -> None:
        self.received: dict[tuple[str, str], State] = {}

    def take(self, board: TriggerBoard, changes: list[StateChange]) -> None:
        for change in changes:
            key = board.triggers[change.index].key
            state = State(board.state[change.index])
            assert change.previous == self.received.get(key, State.UNKNOWN), "begins where it ended"
            assert state != change.previous, "no event without a change"
            self.received[key] = state

    def agrees(self, board: TriggerBoard) -> None:
        for i, of in enumerate(board.triggers):
            assert self.received.get(of.key, State.UNKNOWN) == board.state[i], "no change missed"
            assert (board.reason[i] == Reason.SCORED) == (board.state[i] != State.UNKNOWN)


SCORES = st.sampled_from([0.1, 0.39, 0.41, 0.49, 0.51, 0.7])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["see", "see", "see", "see", "stop", "turn", "straight", "replace"]),
        st.sampled_from([0.0, 0.125, 0.25, 3.0, -1.0]),
        st.tuples(SCORES, SCORES, SCORES),
    ),
    max_size=50,
)
LIMITS = st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.sampled_from([0.0, 0.5]))


@settings(max_examples=120, deadline=None)
@given(STEPS, LIMITS)
def test_the_board_equals_one_plain_trigger_after_another(steps: list, limits: tuple) -> None:
    hold, cooldown = (round(seconds * SECOND) for seconds in limits)
    triggers = [
        trigger(0, hold=hold, cooldown=cooldown),
        trigger(1, hold=hold, unknown_while_turning=True),
        trigger(0, 2, cooldown=cooldown),
        trigger(0, id="other wording", threshold=0.4, release=1.0),
    ]
    board, plain, history = TriggerBoard(triggers, TEXTS), list(map(Plain, triggers)), History()
    stamp, turning = 100.0, False
    for name, step, scores in steps:
        stamp += step
        if name == "see":
            history.take(board, board.observe(round(stamp * SECOND), seen(dict(enumerate(scores)))))
            for each, score in zip(
                plain, (scores[0], scores[1], max(scores[0], scores[2]), scores[0]), strict=True
            ):
                if not (turning and each.of.unknown_while_turning):
                    each.judge(stamp, score)
        elif name == "stop":
            history.take(board, board.forget(Reason.CAMERA_STOPPED, NOW))
            for each in plain:
                each.to(State.UNKNOWN, Reason.CAMERA_STOPPED)
        elif name == "replace":  # the same list, and one that is gone, then there again
            rest = TriggerBoard([triggers[2], triggers[0]], TEXTS)
            gone, replaced = rest.carry_over(board, NOW)
            history.take(board, gone)
            assert replaced == []
            assert all(board.reason[change.index] == Reason.REMOVED for change in gone)
            whole = TriggerBoard(triggers, TEXTS)
            assert whole.carry_over(rest, NOW) == ([], [])
            whole.turn(turning, NOW)
            board, plain[1], plain[3] = whole, Plain(triggers[1]), Plain(triggers[3])
            if turning:
                plain[1].reason = Reason.TURNING
        else:
            turning = name == "turn"
            history.take(board, board.turn(turning, NOW))
            if turning:
                plain[1].to(State.UNKNOWN, Reason.TURNING)
        history.agrees(board)
        assert board.state.tolist() == [each.state for each in plain]
        assert board.reason.tolist() == [each.reason for each in plain]


def test_a_state_holds_from_the_first_image_on_and_says_what_decided() -> None:
    board = TriggerBoard([trigger(0, 1, hold=SECOND)], TEXTS, now=5)
    assert (board.since[0], board.evaluated[0]) == (5, 0)
    for second in range(3):
        changes = board.observe(second * SECOND, seen({0: 0.2, 1: 0.9}))
    assert board.state[0] == State.TRUE
    assert board.since[0] == 0
    assert board.evaluated[0] == 2 * SECOND
    assert board.score[0] == pytest.approx(0.9, abs=1e-3)
    assert board.best_text(0) == "text 1"
    assert changes == [], "it was published a second before"
    assert board.forget(Reason.MODEL_GONE, NOW) == [StateChange(0, State.TRUE)]
    assert board.forget(Reason.CAMERA_STOPPED, 99) == []
    assert (board.since[0], board.reason[0]) == (NOW, Reason.CAMERA_STOPPED)


def test_after_it_was_false_it_waits_for_its_cooldown() -> None:
    board = TriggerBoard([trigger(0, cooldown=10 * SECOND)], TEXTS)
    states = []
    for second, score in enumerate([0.9, 0.1, 0.9, 0.9]):
        board.observe(second * SECOND, seen({0: score}))
        states.append(State(board.state[0]))
    assert states == [State.TRUE, State.FALSE, State.FALSE, State.FALSE]
    board.forget(Reason.CAMERA_STOPPED, NOW)
    board.observe(5 * SECOND, seen({0: 0.9}))
    assert board.state[0] == State.FALSE, "a pause does not end it"
    board.observe(11 * SECOND, seen({0: 0.9}))
    assert board.state[0] == State.TRUE
    assert board.since[0] == 11 * SECOND


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.25, 3.0]), st.one_of(st.none(), SCORES), SCORES),
        max_size=40,
    ),
    st.sampled_from([0.0, 0.4]),
)
def test_a_label_goes_by_its_own_score_alone(steps: list, hold: float) -> None:
    of = trigger(1, hold=round(hold * SECOND))
    board = TriggerBoard([trigger(0), of], TEXTS, labels={"text 1", "another label"})
    assert board.by_label.tolist() == [False, True]
    plain, stamp = Plain(of), 10.0
    for step, score, other in steps:
        stamp += step
        changes = board.observe(round(stamp * SECOND), VECTORS[1])
        assert 1 not in [change.index for change in changes], "its embedding says nothing"
        scores = {"another label": other} | ({} if score is None else {"text 1": score})
        board.observe_labels(round(stamp * SECOND), scores)
        if score is not None:
            plain.judge(stamp, score)
            assert board.score[1] == pytest.approx(score)
            assert board.evaluated[1] == round(stamp * SECOND)
        assert board.state[1] == plain.state


def test_a_trigger_is_judged_only_when_all_its_texts_have_scores() -> None:
    mixed = replace(trigger(0), id="mixed", texts=("text 0", "a label"))
    missing = replace(trigger(0), id="missing", texts=("text 0", "not encoded"))
    board = TriggerBoard([mixed, missing], TEXTS, labels={"a label"})
    assert board.observe(0, VECTORS[0]) == []
    assert board.observe_labels(0, {"a label": 0.1}) == [StateChange(0, State.UNKNOWN)]
    assert (State(board.state[0]), board.best_text(0)) == (State.TRUE, "text 0")
    assert State(board.state[1]) == State.UNKNOWN
    assert board.observe_labels(SECOND, {"a label": math.nan}) == []


@pytest.mark.parametrize(
    "bad", [np.full(DIM, np.nan), np.zeros(DIM), np.ones(DIM + 1), np.full(DIM, np.inf)]
)
def test_what_is_no_embedding_is_refused(bad: np.ndarray) -> None:
    board = TriggerBoard([trigger(0)], TEXTS)
    assert board.observe(0, VECTORS[0]) == [StateChange(0, State.UNKNOWN)]
    assert board.observe(SECOND, bad.astype(np.float32)) == []
    assert State(board.state[0]) == State.TRUE


def test_a_trigger_that_is_replaced_begins_anew_and_others_go_on() -> None:
    old = TriggerBoard([trigger(0), trigger(1), trigger(2)], TEXTS)
    old.observe(0, seen({0: 0.9, 1: 0.6, 2: 0.9}))
    changed = trigger(1, threshold=0.6)
    new = TriggerBoard([trigger(2), changed, trigger(3)], TEXTS, now=NOW)
    gone, replaced = new.carry_over(old, NOW)
    assert (gone, replaced) == ([StateChange(0, State.TRUE)], [StateChange(1, State.TRUE)])
    assert new.state.tolist() == [State.TRUE, State.UNKNOWN, State.UNKNOWN]
    assert new.reason.tolist() == [Reason.SCORED, Reason.NOT_SCORED, Reason.NOT_SCORED]
    assert new.since.tolist() == [0, NOW, NOW]
    assert new.observe(1, seen({2: 0.9})) == [
        StateChange(1, State.UNKNOWN),
        StateChange(2, State.UNKNOWN),
    ], "the first is not published again"


def test_no_triggers_are_possible() -> None:
    board = TriggerBoard()
    assert board.observe(0, VECTORS[0]) == []
    assert board.observe_labels(0, {"a": 1.0}) == []
    assert board.forget(Reason.REMOVED, NOW) == []
    assert board.turn(True, NOW) == []


def test_a_taught_label_is_no_true_trigger_on_pictures_of_another_scene() -> None:
    taught = EncodedText(VECTORS[0], CALIBRATION, VECTORS[1], 0.3)
    texts = EncodedTexts("nano-1", {**TEXTS.texts, "text 0": taught})
    board = TriggerBoard([trigger(0), trigger(2)], texts)
    for place, shown in enumerate((True, False, True)):
        vector = np.zeros(DIM, np.float32)
        vector[[0, 1 if shown else 3]] = 0.5**0.5
        board.observe(place * SECOND, vector)
        assert (board.state[0] == State.TRUE) == shown
        assert board.state[1] == State.FALSE
