"""Wordings for training alone: none is asked in an evaluation, nothing unseen is in them."""

from __future__ import annotations

import re

import pytest

from vljepa_lab.world.captions import key_of, wide_event_texts, wide_state_texts
from vljepa_lab.world.event_wordings import EVENTS
from vljepa_lab.world.state import ACTIONS
from vljepa_lab.world.unseen_wordings import UNSEEN_EVENTS, UNSEEN_QUESTIONS, UNSEEN_STATES
from vljepa_lab.world.wide_wordings import (
    LEAD_INS,
    check_events,
    check_states,
    wide_events,
    wide_questions,
    wide_states,
)
from vljepa_lab.world.wordings import QUESTIONS, STATES

# Words without which no sentence can be made; they carry no meaning of an action or state.
GLUE = {"be", "i", "not", "we", "set", "stands", "rests"}


def words(*tables: dict[str, tuple[str, ...]]) -> set[str]:
    texts = [text for table in tables for options in table.values() for text in options]
    return {word for text in texts for word in re.findall(r"[a-z']+", text.lower())} - {"x", "y"}


def test_no_word_of_the_unseen_wordings_alone_is_trained() -> None:
    unseen = words(UNSEEN_EVENTS, UNSEEN_STATES, UNSEEN_QUESTIONS)
    new = unseen - words(EVENTS, STATES, QUESTIONS)
    assert len(new) > 100
    trained = words(wide_events(), wide_states(), wide_questions(), {"": LEAD_INS})
    assert trained & new <= GLUE
    assert words(check_events(), check_states()) & new <= GLUE


def test_the_words_to_choose_by_are_not_trained_either() -> None:
    trained = {t for table in (EVENTS, wide_events()) for texts in table.values() for t in texts}
    checked = {text for texts in check_events().values() for text in texts}
    assert not trained & checked
    assert set(check_events()) == set(EVENTS) == set(wide_events()) == set(ACTIONS)
    assert set(check_states()) == set(STATES) == set(wide_states())


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_action_has_many_wordings_and_each_means_one_thing(kind: str) -> None:
    texts = (*EVENTS[kind], *wide_events()[kind])
    assert 30 <= len(set(texts)) == len(texts)
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
