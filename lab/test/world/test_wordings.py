"""Wordings for training alone: none is asked in an evaluation, nothing unseen is in them."""

from __future__ import annotations

import re

import pytest

from vljepa_lab.world.captions import event_texts, key_of, state_texts
from vljepa_lab.world.records import ACTIONS
from vljepa_lab.world.wordings import LEAD_INS, wordings

# Words without which no sentence can be made; they carry no meaning of an action or state.
GLUE = {"be", "i", "not", "we", "set", "stands", "rests"}
# Questions of both polarities cannot be asked without these.
ASKING = {
    "about",
    "any",
    "anybody",
    "around",
    "could",
    "for",
    "further",
    "give",
    "got",
    "item",
    "items",
    "like",
    "more",
    "seen",
    "than",
    "through",
    "was",
    "way",
    "without",
}


def words(which: str, *subjects: str) -> set[str]:
    texts = [t for of in subjects for options in wordings(of, which).values() for t in options]
    texts += LEAD_INS if which == "wide" else ()
    return {word for text in texts for word in re.findall(r"[a-z']+", text.lower())} - {"x", "y"}


def test_no_word_of_the_unseen_wordings_alone_is_trained() -> None:
    everything = ("events", "states", "questions")
    new = words("unseen", *everything) - words("train", *everything)
    assert len(new) > 100
    assert words("wide", "events", "states") & new <= GLUE
    assert words("wide", "questions") & new <= GLUE | ASKING
    assert words("check", "events", "states") & new <= GLUE
    assert words("polar", "statements", "asked") & new <= GLUE | ASKING


def test_the_words_to_choose_by_are_not_trained_either() -> None:
    trained = {text for texts in wordings("events", "wide").values() for text in texts}
    checked = {text for texts in wordings("events", "check").values() for text in texts}
    assert not trained & checked


@pytest.mark.parametrize("which", ["train", "unseen", "wide", "check"])
def test_no_text_is_read_as_anything_but_text(which: str) -> None:
    """YAML takes a bare yes, no, on or off for a truth value."""
    for subject in ("events", "states") if which == "check" else ("events", "states", "questions"):
        for key, texts in wordings(subject, which).items():
            assert all(isinstance(text, str) and text for text in (key, *texts))


@pytest.mark.parametrize("which", ["unseen", "wide", "check"])
def test_every_set_has_wordings_of_the_same_things(which: str) -> None:
    assert set(wordings("events", which)) == set(wordings("events")) == set(ACTIONS)
    assert set(wordings("states", which)) == set(wordings("states"))
    if which != "check":
        assert set(wordings("questions", which)) == set(wordings("questions"))


def test_the_more_wordings_for_training_stand_behind_those_that_are_asked() -> None:
    for subject in ("events", "states"):
        for key, texts in wordings(subject).items():
            wide = wordings(subject, "wide")[key]
            assert wide[: len(texts)] == texts
            assert len(wide) > len(texts)


@pytest.mark.parametrize("kind", ACTIONS)
def test_every_action_has_many_wordings_and_each_means_one_thing(kind: str) -> None:
    texts = wordings("events", "wide")[kind]
    assert 30 <= len(set(texts)) == len(texts)
    others = {
        text
        for other in ACTIONS
        if other != kind
        for which in ("wide", "check")
        for text in event_texts(other, which=which)
    }
    states = {
        text for key in wordings("states") if key != "held" for text in state_texts(key, "wide")
    }
    assert not set(event_texts(kind, which="wide")) & (others | states)


def test_a_wide_wording_never_has_another_known_meaning() -> None:
    for kind in ACTIONS:
        for text in event_texts(kind, which="wide"):
            assert key_of(text) in (None, f"event:{kind}"), text
    for key in wordings("states"):
        if key != "held":
            for text in state_texts(key, "wide"):
                assert key_of(text) in (None, key), text
