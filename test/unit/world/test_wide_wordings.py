"""Wordings for training alone: none is asked in an evaluation, nothing unseen is in them."""

from __future__ import annotations

import re

import pytest

from vljepa_ros.world.captions import key_of, wide_event_texts, wide_state_texts
from vljepa_ros.world.event_wordings import EVENTS
from vljepa_ros.world.questions import WIDE_TEMPLATES
from vljepa_ros.world.state import ACTIONS
from vljepa_ros.world.unseen_wordings import UNSEEN_EVENTS, UNSEEN_QUESTIONS, UNSEEN_STATES
from vljepa_ros.world.wide_wordings import (
    CHECK_EVENTS,
    CHECK_STATES,
    LEAD_INS,
    WIDE_EVENTS,
    WIDE_QUESTIONS,
    WIDE_STATES,
)
from vljepa_ros.world.wordings import QUESTIONS, STATES

# Words without which no sentence can be made; they carry no meaning of an action or state.
GLUE = {"be", "i", "not", "we", "set", "stands", "rests"}


def words(*tables: dict[str, tuple[str, ...]]) -> set[str]:
    texts = [text for table in tables for options in table.values() for text in options]
    return {word for text in texts for word in re.findall(r"[a-z']+", text.lower())} - {"x", "y"}


def test_no_word_of_the_unseen_wordings_alone_is_trained() -> None:
    unseen = words(UNSEEN_EVENTS, UNSEEN_STATES, UNSEEN_QUESTIONS)
    new = unseen - words(EVENTS, STATES, QUESTIONS)
    assert len(new) > 100
    trained = words(WIDE_EVENTS, WIDE_STATES, WIDE_QUESTIONS, {"": LEAD_INS})
    assert trained & new <= GLUE
    assert words(CHECK_EVENTS, CHECK_STATES) & new <= GLUE


def test_the_words_to_choose_by_are_not_trained_either() -> None:
    trained = {t for table in (EVENTS, WIDE_EVENTS) for texts in table.values() for t in texts}
    checked = {text for texts in CHECK_EVENTS.values() for text in texts}
    assert not trained & checked
    assert set(CHECK_EVENTS) == set(EVENTS) == set(WIDE_EVENTS) == set(ACTIONS)
    assert set(CHECK_STATES) == set(STATES) == set(WIDE_STATES)


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_action_has_many_wordings_and_each_means_one_thing(kind: str) -> None:
    texts = (*EVENTS[kind], *WIDE_EVENTS[kind])
    assert 30 <= len(set(texts)) == len(texts) <= WIDE_TEMPLATES
    others = {
        text
        for other in ACTIONS
        if other != kind
        for text in (*wide_event_texts(other), *wide_event_texts(other, check=True))
    }
    states = {text for key in STATES if key != "held" for text in wide_state_texts(key)}
    assert not set(wide_event_texts(kind)) & (others | states)


def test_a_wide_wording_never_has_another_known_meaning() -> None:
    for kind in ACTIONS:
        for text in wide_event_texts(kind):
            assert key_of(text) in (None, f"event:{kind}"), text
    for key in STATES:
        if key != "held":
            for text in wide_state_texts(key):
                assert key_of(text) in (None, key), text
