"""Triggers: lists are checked, edges alternate, the vectorised board equals a plain one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.triggers import (
    MAX_TRIGGERS,
    Edge,
    EncodedTriggers,
    Trigger,
    TriggerBoard,
    checked_triggers,
    parse_triggers,
    trigger_strings,
)
from vljepa_ros.perception.vocabulary import VocabularyError

DIM = 6
CALIBRATION = Calibration(logit_scale=12.0, none_similarity=0.3)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="|"), min_size=1, max_size=20).map(
    str.strip
)
LISTS = st.lists(TEXTS.filter(bool), unique=True, max_size=8)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def encoded(count: int = 3, release: float = 0.8, **fields: object) -> EncodedTriggers:
    embeddings = np.eye(DIM, dtype=np.float32)[:count]
    triggers = [Trigger(f"text {i}") for i in range(count)]
    return EncodedTriggers(
        triggers,
        embeddings,
        "nano-1",
        CALIBRATION,
        default=0.5,
        release=release,
        **fields,  # type: ignore[arg-type]
    )


def test_a_text_is_never_judged_against_nothing() -> None:
    args = [Trigger("zzqx 0000")], np.eye(DIM, dtype=np.float32)[:1], "clip-1", Calibration(100.0)
    board = TriggerBoard(EncodedTriggers(*args, default=0.5, release=0.8), settle=0.0)
    assert board.observe(0.0, np.eye(DIM, dtype=np.float32)[0]) == []
    assert not board.active.any()
    assert board.scores[0] == 0.0


@settings(max_examples=60, deadline=None)
@given(st.data(), LISTS)
def test_the_parameter_form_is_read_as_it_was_written(data: st.DataObject, texts: list) -> None:
    limits = data.draw(
        st.one_of(
            st.just([]),
            st.lists(
                st.floats(1 / 1024, 1023 / 1024, width=32), min_size=len(texts), max_size=len(texts)
            ),
        )
    )
    triggers = checked_triggers(texts, limits)
    again = parse_triggers(trigger_strings(triggers))
    assert [t.text for t in again] == texts
    for one, other in zip(triggers, again, strict=True):
        assert (one.threshold is None) == (other.threshold is None)
        assert one.threshold is None or math.isclose(one.threshold, other.threshold, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("texts", "thresholds", "message"),
    [
        (["a", "b"], [0.5], "1 thresholds for 2 texts, allowed: one for each text, or none"),
        (["a", " a "], [], "triggers appear twice: 'a'; allowed: each text once"),
        (["a", " "], [], "text 1 of the triggers has 0 characters, allowed: 1 to 512"),
        (["a" * 513], [], "has 513 characters, allowed: 1 to 512"),
        (["a|b"], [], "'a|b' contains '|'"),
        (["a"], [1.0], "threshold of the trigger 'a' is 1, allowed: between 0 and 1"),
        (["a"], [0.0], "is 0, allowed"),
        (["a"], [math.nan], "is nan, allowed"),
        ([f"t{i}" for i in range(MAX_TRIGGERS + 1)], [], "1001 triggers, allowed: 1 to 1000"),
    ],
)
def test_a_bad_list_is_refused_and_told_what_is_allowed(
    texts: list, thresholds: list, message: str
) -> None:
    with pytest.raises(VocabularyError, match=r"allowed|contains") as caught:
        checked_triggers(texts, thresholds)
    assert message in str(caught.value)


def test_a_threshold_that_is_no_number_is_refused() -> None:
    with pytest.raises(VocabularyError, match="'high' of the trigger 'a door' is no number"):
        parse_triggers(["a door | high"])


@pytest.mark.parametrize("none", [[], [""]])
def test_an_empty_list_means_none(none: list) -> None:
    assert parse_triggers(none) == ()
    assert checked_triggers([], []) == ()
    assert trigger_strings(()) == [""]


@settings(max_examples=60, deadline=None)
@given(st.floats(-1.0, 1.0, width=32))
def test_scores_are_those_of_the_memory(similarity: float) -> None:
    score = encoded().scores(np.array([similarity]))[0]
    assert score == pytest.approx(1 / (1 + math.exp(-12.0 * (similarity - 0.3))), abs=1e-6)


class Plain:
    """One trigger, as the module's text says it."""

    def __init__(self, threshold: float, release: float, settle: float) -> None:
        self.threshold, self.low, self.settle = threshold, threshold * release, settle
        self.active, self.since = False, math.inf

    def observe(self, stamp: float, score: float) -> bool:
        beyond = score < self.low if self.active else score >= self.threshold
        self.since = min(self.since, stamp) if beyond else math.inf
        if stamp - self.since < self.settle:
            return False
        self.active, self.since = not self.active, math.inf
        return True


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.25, 3.0, -1.0]),
        st.integers(0, 2),
        st.floats(-0.2, 1.0, allow_nan=False),
    ),
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.sampled_from([0.0, 0.2, 1.0]), st.sampled_from([0.3, 0.8, 1.0]))
def test_the_board_equals_one_plain_trigger_after_another(
    steps: list, settle: float, release: float
) -> None:
    triggers = encoded(release=release)
    board = TriggerBoard(triggers, settle)
    plain = [Plain(0.5, release, settle) for _ in range(3)]
    told: dict[str, list[bool]] = {text: [] for text in triggers.texts}
    stamp = 100.0
    for step, which, share in steps:
        stamp += step
        other = triggers.embeddings[(which + 1) % 3]
        vector = unit(share * triggers.embeddings[which] + (1.0 - share) * other)
        scores = triggers.scores(triggers.embeddings @ vector)
        near = np.abs(scores - 0.5) < 1e-5, np.abs(scores - 0.5 * release) < 1e-5
        if np.any(near):  # rounding decides
            continue
        expected = [t.observe(stamp, float(s)) for t, s in zip(plain, scores, strict=True)]
        edges = {edge.text: edge for edge in board.observe(stamp, vector)}
        assert set(edges) == {t for t, e in zip(triggers.texts, expected, strict=True) if e}
        for text, edge in edges.items():
            told[text].append(edge.rising)
        assert board.active.tolist() == [t.active for t in plain]
        assert np.allclose(board.scores, scores, atol=1e-6)
    for edge in board.deactivate_all():
        assert not edge.rising
        told[edge.text].append(False)
    for kinds in told.values():
        assert kinds == [i % 2 == 0 for i in range(len(kinds))], "rising and falling alternate"
        assert len(kinds) % 2 == 0, "what rose has fallen"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.2, 3.0]),
            st.one_of(st.none(), st.floats(0.0, 1.0, width=32)),
            st.floats(0.0, 1.0, width=32),
        ),
        max_size=40,
    ),
    st.sampled_from([0.0, 0.4]),
)
def test_a_label_goes_by_its_own_score_alone(steps: list, settle: float) -> None:
    triggers = encoded()
    board = TriggerBoard(triggers, settle, labels={"text 1", "another label"})
    assert board.labelled
    assert not TriggerBoard(triggers, settle).labelled
    plain, stamp = Plain(0.5, 0.8, settle), 10.0
    for step, score, other in steps:
        stamp += step
        edges = board.observe(stamp, triggers.embeddings[1])
        assert "text 1" not in [edge.text for edge in edges], "its embedding says nothing"
        if score is None:  # the group is not in this message
            assert board.observe_labels(stamp, ["another label"], [other]) == []
            continue
        if abs(score - 0.4) < 1e-6:
            continue
        edges = board.observe_labels(stamp, ["another label", "text 1"], [other, score])
        assert bool(edges) == plain.observe(stamp, score)
        for edge in edges:
            assert (edge.text, edge.rising) == ("text 1", plain.active)
            assert edge.score == pytest.approx(score)
        assert board.scores[1] == pytest.approx(score)


def test_a_label_of_two_groups_counts_with_its_best_score() -> None:
    board = TriggerBoard(encoded(), 0.0, labels={"text 1"})
    (edge,) = board.observe_labels(1.0, ["text 1", "text 1"], [0.9, 0.1])
    assert edge.score == pytest.approx(0.9)
    assert board.observe_labels(2.0, ["text 1"], [math.nan]) == []
    assert board.observe_labels(math.nan, ["text 1"], [0.0]) == []
    assert [e.rising for e in board.observe_labels(3.0, ["text 1"], [0.1])] == [False]


def test_hysteresis_keeps_a_score_that_wavers_quiet() -> None:
    triggers = encoded(1)
    board = TriggerBoard(triggers, 0.0)
    across = np.eye(DIM, dtype=np.float32)[1]

    def at(score: float) -> np.ndarray:
        cosine = 0.3 + math.log(score / (1 - score)) / 12.0
        return cosine * triggers.embeddings[0] + math.sqrt(1 - cosine**2) * across

    assert [e.rising for e in board.observe(0.0, at(0.55))] == [True]
    for i in range(1, 20):
        assert board.observe(i / 5, at(0.45 if i % 2 else 0.55)) == []
    (edge,) = board.observe(5.0, at(0.35))
    assert edge == Edge("text 0", 0.5, pytest.approx(0.35, abs=1e-3), False)


@pytest.mark.parametrize(
    "bad", [np.full(DIM, np.nan), np.zeros(DIM), np.ones(DIM + 1), np.full(DIM, np.inf)]
)
def test_what_is_no_embedding_is_refused_and_counted(bad: np.ndarray) -> None:
    board = TriggerBoard(encoded(), 0.0)
    good = board.triggers.embeddings[0]
    first = board.observe(0.0, good)
    assert board.observe(1.0, bad.astype(np.float32)) == []
    assert board.observe(math.nan, good) == []
    assert board.refused == 2
    assert [e.rising for e in first] == [True]
    assert board.observe(2.0, good) == []


def test_a_new_list_keeps_what_is_known_of_the_texts_it_shares() -> None:
    old = TriggerBoard(encoded(3), 0.0)
    for vector in old.triggers.embeddings[[0, 1]]:
        old.observe(0.0, vector)
    old.active[:] = [True, True, False]
    triggers = encoded(3)
    triggers.texts = ("text 2", "text 0", "another")
    new = TriggerBoard(triggers, 0.0)
    assert [(e.text, e.rising) for e in new.carry_over(old)] == [("text 1", False)]
    assert new.active.tolist() == [False, True, False]


def test_no_triggers_are_possible() -> None:
    board = TriggerBoard(
        EncodedTriggers((), np.zeros((0, DIM), np.float32), "m", CALIBRATION, 0.5, 0.8), 0.0
    )
    assert board.observe(0.0, np.ones(DIM, np.float32)) == []
    assert board.deactivate_all() == []
