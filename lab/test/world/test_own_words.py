"""Questions in words that no training step sees: read from tables, decided by the clip's truth."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.world.dataset import make_scene
from vljepa_lab.world.own_words import (
    CALIBRATE,
    REPORT,
    Entry,
    OwnWords,
    ask_in_own_words,
    read_table,
)
from vljepa_lab.world.records import CLIP_FRAMES, Record
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.wordings import wordings

TRAINED = (
    *(("events", "wide"), ("states", "wide"), ("questions", "wide")),
    *(("statements", "polar"), ("asked", "polar")),
)
OPPOSITES = ("door", "lights", "person", "exists", "holding")
SCENES = 6


@pytest.fixture(scope="module")
def records() -> list[Record]:
    renderer = Renderer(48, 48, textures=9)
    out = [Record.from_dict(make_scene(renderer, 700 + i, "test_a")[1]) for i in range(SCENES)]
    renderer.close()
    return out


@pytest.fixture(scope="module")
def tables() -> list[tuple[Entry, ...]]:
    return [read_table(file) for file in (CALIBRATE, REPORT)]


def _content(text: str) -> str:
    return " ".join(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", text).lower()))


def test_no_question_of_either_table_is_trained_or_stands_in_the_other() -> None:
    trained = {
        _content(text)
        for subject, which in TRAINED
        for texts in wordings(subject, which).values()
        for text in texts
    }
    calibrate, report = ({_content(e.text) for e in read_table(f)} for f in (CALIBRATE, REPORT))
    assert not calibrate & trained
    assert not report & trained
    assert not report & calibrate


def test_what_people_wrote_for_training_has_no_word_that_is_new_in_a_table() -> None:
    """Words of questions as people write them beside those of the other tables of training."""
    others = [pair for pair in TRAINED if pair != ("asked", "polar")]
    known = _words(t for pair in others for texts in wordings(*pair).values() for t in texts)
    written = _words(t for texts in wordings("asked", "polar").values() for t in texts)
    for file in (CALIBRATE, REPORT):
        new = _words(entry.text for entry in read_table(file)) - known
        shared = {word for word in written & new if len(word) > 4}
        assert len(shared) <= 0.15 * len(new), (file.name, len(shared), len(new))


def _words(texts: object) -> set[str]:
    assert hasattr(texts, "__iter__")
    return {word for text in texts for word in _content(text).split()}


def test_the_table_to_report_on_has_twelve_wordings_of_each_kind_and_both_polarities() -> None:
    by_kind: dict[str, list[Entry]] = defaultdict(list)
    for entry in read_table(REPORT):
        by_kind[entry.kind].append(entry)
    assert len(by_kind) == 12
    for kind, entries in by_kind.items():
        assert len(entries) >= 12, kind
        if kind in OPPOSITES:
            assert sum(entry.polarity == "opposite" for entry in entries) >= 4, kind


@settings(max_examples=25, deadline=None)
@given(scene=st.integers(0, SCENES - 1), t=st.integers(CLIP_FRAMES - 1, 23), seed=st.text())
def test_opposites_are_answered_oppositely(
    records: list[Record], tables: list[tuple[Entry, ...]], scene: int, t: int, seed: str
) -> None:
    for entries in tables:
        pairs: dict[str, dict[str, OwnWords]] = defaultdict(dict)
        for asked in ask_in_own_words(entries, records[scene], t, seed):
            question = asked.question
            assert "{" not in question.text + "".join(question.candidates)
            assert question.candidates[question.keys.index(question.key)] == question.answer
            if asked.entry.pair:
                pairs[asked.entry.pair][asked.entry.polarity] = asked
        for sides in pairs.values():
            if len(sides) == 2:
                assert sides["plain"].question.key != sides["opposite"].question.key


def test_answers_are_those_of_the_state(
    records: list[Record], tables: list[tuple[Entry, ...]]
) -> None:
    seen, entries = set(), tables[0]
    for record in records:
        for t in range(CLIP_FRAMES - 1, 24):
            state = record.states[t]
            for asked in ask_in_own_words(entries, record, t, "0"):
                entry, question = asked.entry, asked.question
                yes = (question.key == "yes") == (entry.polarity == "plain")
                if entry.polarity == "choice":
                    continue
                if entry.state == "door":
                    assert yes == (state.door > 0.5), question
                elif entry.state == "lights":
                    assert yes == state.lights, question
                elif entry.state == "person":
                    assert yes == (state.person_visible > 0), question
                elif entry.state == "holding":
                    assert yes == bool(state.held), question
                elif entry.state == "exists":
                    named = [o.name for o in state.objects if o.name in question.text]
                    assert yes == bool(named), question
                else:
                    continue
                seen.add(entry.state)
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kinds: {door: [{id: a, state: gate, polarity: plain, text: x}]}", "state 'gate'"),
        (
            "kinds: {door: [{id: a, state: door, polarity: choice, text: x},"
            " {id: a, state: door, polarity: choice, text: y}]}",
            "names stand twice: a",
        ),
        ("phrases: {p: {nothing: all is calm}}\nkinds: {}", "phrases p lack or have too many"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "table.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_table(file)
