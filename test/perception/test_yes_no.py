"""Yes/no questions reduced to what they name, and what presence says to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vljepa_ros.models.config import Calibration, ModelConfig
from vljepa_ros.perception.questions import Answer, checked_question, yes_or_no
from vljepa_ros.perception.yes_no import NO, UNSURE, YES, Presence, answer_kind, parse

CONFIG = ModelConfig(
    Path("."), "m", "dual_encoder", "m-1", 4, 1, 0.2, 8, "?",
    calibration=Calibration(20.0, 0.3, abstain_below=0.5),
)  # fmt: skip

NOUNS = st.sampled_from(
    ["dog", "red cup", "washing machine", "building", "bottle of water", "small painting", "king"]
)
PRESENT = st.sampled_from(
    [
        "is there a {}", "there is a {}, isn't there", "can you see a {}", "do you see a {} here",
        "does the picture show a {}", "is a {} visible", "is a {} in sight", "do we have a {}",
        "isn't there a {}", "can't you see a {}", "is there not a {}", "a {} here", "is this a {}",
        "it is a {}", "could there be a {} in the room", "does this image contain a {}",
        "is a {} to be seen", "are you looking at a {}", "is there any sign of a {}",
        "is there a {} in front of the camera", "can you recognise a {}",
        "can you recognize a {}", "is there a picture of a {}",
    ]
)  # fmt: skip
ABSENT = st.sampled_from(
    [
        "is a {} missing", "is a {} absent from the picture", "is a {} not there", "is a {} gone",
        "there isn't a {}", "you cannot see a {}", "the picture does not show a {}",
        "is the room free of a {}", "there is not a {} in the picture, is there",
    ]
)  # fmt: skip
POLITE = st.sampled_from(
    [
        "{}?", "{}", "Please, {}?", "{}, please?", "{} right now?", "Hey robot, {}?",
        "OK, {} or not?", "{} at the moment?",
    ]
)  # fmt: skip
ASIDE = st.sampled_from(
    [
        "{}?", "Could you tell me whether {}?", "I would like to know if {}.", "Are you sure {}?",
        "Do you think that {}?", "Is it true that {}?", "Can you check whether {}?",
        "Do you know if {} or not?", "Tell me if {}, please",
    ]
)  # fmt: skip


@given(NOUNS, PRESENT, POLITE, st.booleans())
def test_what_is_asked_about_is_found_in_any_wording(
    noun: str, form: str, polite: str, capitals: bool
) -> None:
    asked = polite.format(form.format(noun))
    found = parse(asked.capitalize() if capitals else asked)
    assert found == Presence((f"a {noun}",)), asked


@given(NOUNS, ABSENT, POLITE)
def test_a_yes_can_mean_that_it_is_absent(noun: str, form: str, polite: str) -> None:
    asked = polite.format(form.format(noun))
    assert parse(asked) == Presence((f"a {noun}",), absent=True), asked


@given(NOUNS, ASIDE, st.sampled_from(["there is a {}", "there isn't a {}"]))
def test_polite_forms_change_nothing(noun: str, aside: str, form: str) -> None:
    asked = aside.format(form.format(noun))
    assert parse(asked) == Presence((f"a {noun}",), absent="isn't" in form), asked


@given(
    st.sampled_from(["is there {}", "are there {} here", "can you see {}", "{} here"]),
    st.sampled_from(["any", "some", "no", ""]),
    st.sampled_from(["dogs", "milk", "old chairs"]),
)
def test_any_some_and_no(form: str, article: str, noun: str) -> None:
    asked = form.format(f"{article} {noun}".strip())
    if article or form != "{} here":
        assert parse(asked) == Presence((noun,), absent=article == "no"), asked


@given(
    st.sampled_from(
        ["is {} here", "is there {}", "{} in sight", "can you see {}", "is {} in the room", "{}"]
    ),
    st.sampled_from(
        ["somebody", "someone", "anybody", "any one", "nobody", "no one", "any people"]
    ),
    POLITE,
)
def test_people_in_any_wording(form: str, who: str, polite: str) -> None:
    asked = polite.format(form.format(who))
    assert parse(asked) == Presence(("a person",), absent=who.startswith("no")), asked


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("is the room empty?", Presence(("a person",), absent=True)),
        ("Is this kitchen empty of people?", Presence(("a person",), absent=True)),
        ("is the office occupied?", Presence(("a person",))),
        ("are there no people?", Presence(("a person",), absent=True)),
        ("is there a cat or a dog?", Presence(("a cat", "a dog"))),
        ("is there a cat, a dog and a bird?", Presence(("a cat", "a dog", "a bird"), every=True)),
        ("is there a red or green cup?", Presence(("a red or green cup",))),
        ("is there a cup on the table?", Presence(("a cup",), unchecked="on the table")),
        ("Is the cup on the floor?", Presence(("cup",), unchecked="on the floor")),
        ("are there no cups on it?", Presence(("cups",), absent=True, unchecked="on it")),
        ("is anybody in the kitchen?", Presence(("a person",), unchecked="in the kitchen")),
        ("is there a man riding a bike?", Presence(("a man",), unchecked="riding a bike")),
        ("is there a door open?", Presence(("a door",), unchecked="open")),
        ("is there a cup bigger than it?", Presence(("a cup",), unchecked="bigger than it")),
        ("is there a cup that leaks?", Presence(("a cup",), unchecked="that leaks")),
    ],
)
def test_forms_of_their_own(question: str, found: Presence) -> None:
    assert parse(question) == found


@pytest.mark.parametrize(
    "asked",
    ["is it {}?", "are we {}", "was this picture taken {}?", "is this an {} scene?",
     "Tell me whether you are {}."],
)  # fmt: skip
def test_indoors_and_outdoors(asked: str) -> None:
    for place, other in (("indoors", "outdoors"), ("outdoors", "indoors")):
        found = parse(asked.format(place if "an {}" not in asked else place[:-1]))
        assert found is not None
        assert found.contrast
        assert place in found.texts[0]
        assert other in found.texts[1]


@pytest.mark.parametrize(
    "question",
    ["Is the door open?", "Is the front door open?", "are the lights on?", "Are there two cups?",
     "is there more than one person?", "is the person waving?", "is a dog sleeping?", "is it dark?",
     "is the cup bigger than the bottle?", "did the cup fall?", "is the table empty?", "is it on?",
     "is there anything on the table?", "what is on the table?", "who is here?", "why?", "", "?",
     "how many people are in the room?", "is everybody here?", "is this the same room?"],
)  # fmt: skip
def test_other_forms_are_not_answered_and_the_message_says_how_to_ask(question: str) -> None:
    assert parse(question) is None
    if question.strip("?"):
        asked = checked_question(question, ["yes", "no"], {"presence"}, reads_questions=False)
        names = question.startswith(("wh", "how"))  # a candidate that names something may fit
        assert ("'is there a ...?'" in asked.unsupported) != names


@given(st.text(max_size=60))
def test_no_text_is_too_odd(question: str) -> None:
    found = parse(question)
    assert found is None or all(found.texts)


def test_wordings_of_yes_and_no() -> None:
    for kind, texts in {
        YES: "yes|Yes!|yes, there is|true|yeah|There is|it is|they are|there are some|Y",
        NO: "no|No.|no one|false|nobody|there isn't|It is not|not there|none|no, there is not",
        UNSURE: "maybe|I don't know|not sure|cannot tell|unknown",
        "": "a dog|open|there is a dog|yesterday|northern lights|north|somebody",
    }.items():
        for text in texts.split("|"):
            assert answer_kind(text) == kind, text


def answer(
    question: str, *cosines: float, candidates: str = "yes|no", least: float = 0.5
) -> Answer:
    asked = checked_question(question, candidates.split("|"), {"presence"}, reads_questions=False)
    assert asked.presence is not None, asked
    assert len(cosines) == len(asked.compared)
    return yes_or_no(asked, np.array(cosines, np.float32), CONFIG, least)


def test_presence_decides_with_a_band_in_which_there_is_no_answer() -> None:
    assert answer("is there a dog?", 0.5).text == "yes"
    assert answer("is there a dog?", 0.0).text == "no"
    between = answer("is there a dog?", 0.22)
    assert (between.text, between.index) == ("", -1)
    assert "not clear whether there is 'a dog' (probability 0.17)" in between.message
    assert answer("is there no dog?", 0.5).text == "no"
    assert answer("is nobody here?", 0.0, candidates="false|true").text == "true"
    assert answer("is there a dog?", 0.5, candidates="yes").text == "yes"
    assert answer("is there a cat or a dog?", 0.0, 0.5).text == "yes"
    assert answer("is there a cat and a dog?", 0.0, 0.5).text == "no"
    assert answer("is it indoors?", 0.3, 0.1).text == "yes"
    assert answer("is it indoors?", 0.1, 0.3).text == "no"
    assert answer("is it indoors?", 0.1, 0.1).text == ""
    assert answer("is there a dog?", 0.33, least=0.95).text == ""


def test_a_place_is_never_answered_as_if_it_had_been_looked_at() -> None:
    assert answer("is there a dog on the sofa?", 0.0).text == "no"
    assert answer("is there no dog on the sofa?", 0.0).text == "yes"
    for question in ("is there a dog on the sofa?", "is there no dog on the sofa?"):
        there = answer(question, 0.9)
        assert there.text == ""
        assert "cannot tell whether it is 'on the sofa'" in there.message


@given(st.floats(-1, 1), st.sampled_from(["yes|no", "yes", "no|maybe|yes", "yes|true|no|no"]))
def test_scores_add_up(cosine: float, candidates: str) -> None:
    found = answer("is there a dog?", cosine, candidates=candidates)
    asked = list(dict.fromkeys(candidates.split("|")))
    each = [found.scores[candidates.split("|").index(one)] for one in asked]
    assert sum(each) + found.none_score == pytest.approx(1.0, abs=1e-5)
    assert (found.index >= 0) == (found.status == "ANSWERED") == (not found.message)
