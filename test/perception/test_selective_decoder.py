"""Words at changes only; the same words are no news."""

from __future__ import annotations

from typing import Any

import numpy as np
from colour_engine import COLOURS, ColourEngine

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.detector import Change
from vljepa_ros.perception.selective_decoder import SceneUpdate, SelectiveDecoder


def play(decoder: SelectiveDecoder, texts: list[str], start: float = 0.0) -> list[SceneUpdate]:
    vectors = ColourEngine().encode_text(texts)
    updates = [decoder.observe(start + i / 5, vector) for i, vector in enumerate(vectors)]
    return [update for update in updates if update is not None]


def decoder() -> SelectiveDecoder:
    return SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), ColourEngine().generate)


def test_each_change_is_published_once_with_what_was_before() -> None:
    updates = play(decoder(), ["red"] * 20 + ["green"] * 20 + ["blue"] * 20)
    assert [n.text for n in updates] == ["it is red", "it is green", "it is blue"]
    assert [n.previous_text for n in updates] == ["", "it is red", "it is green"]
    assert [n.sequence for n in updates] == [0, 1, 2]
    assert [n.reason for n in updates] == ["first", "change", "change"]
    assert all(n.is_event for n in updates)
    assert updates[1].change > 0.9


def test_decoding_happens_at_changes_only() -> None:
    n = decoder()
    play(n, ["red"] * 100 + ["green"] * 100)
    assert n.decodes == 2


def test_a_change_that_reads_the_same_is_no_news() -> None:
    n = decoder()
    updates = play(n, ["red"] * 20 + ["red yellow"] * 20 + ["blue"] * 20)
    assert [(t.text, t.is_event, t.sequence) for t in updates] == [
        ("it is red", True, 0),
        ("it is red", False, 0),
        ("it is blue", True, 1),
    ]
    assert updates[2].previous_text == "it is red"


def test_a_change_without_a_sure_text_is_an_event_that_can_be_corrected() -> None:
    def generate(states: Any) -> list[Generated]:
        ((text, *_),) = [[g.text] for g in engine.generate(states)]
        return [Generated(text, sure[text], True)]

    engine, sure = ColourEngine(), {"it is red": 0.9, "it is green": 0.3, "it is blue": 0.9}
    scripted = ScriptedDetector(["first", "change", "correction", "correction", "change"])
    made = SelectiveDecoder(scripted, generate, min_confidence=0.5)
    seen = [*engine.encode_text(["red", "green", "blue", "blue", "red"])]
    updates = [made.observe(float(i), vector) for i, vector in enumerate(seen)]
    assert [(t.text, t.reason, t.is_event, t.sequence, t.corrects) for t in updates if t] == [
        ("it is red", "first", True, 0, 0),
        ("", "change", True, 1, 1),
        ("it is blue", "correction", True, 2, 1),
        ("it is blue", "correction", False, 2, 2),
        ("it is red", "change", True, 3, 3),
    ]
    assert updates[1] is not None
    assert (updates[1].confidence, updates[1].decoded) == (0.0, False)


class ScriptedDetector(AnchorDrift):
    """Each sample is a change, for the reasons given."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(AnchorDriftConfig())
        self.reasons = iter(reasons)

    def observe(self, stamp: float, embedding: Any) -> Change:
        return Change(stamp, stamp, np.asarray(embedding, np.float32), 0.5, next(self.reasons))


def test_describing_counts_as_no_event() -> None:
    n = decoder()
    play(n, ["red"] * 5)
    green = ColourEngine().encode_text(list(COLOURS))[1]
    said = n.describe(9.0, green)
    assert (said.text, said.is_event, said.sequence) == ("it is green", False, 0)
    assert n.last is not None
    assert n.last.text == "it is red"


def test_the_visual_part_finds_changes_and_the_whole_state_is_described() -> None:
    """Six entries of language, which swing all the time, and two of the picture."""

    def generate(states: Any) -> list[Generated]:
        seen.append(states[0])
        return [Generated(f"{float(states[0][-1]):.1f}", 0.9, True)]

    seen: list[Any] = []
    chance = np.random.default_rng(0)
    made = SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), generate, sizes=(8, 2))
    updates = []
    for i in range(80):
        language = chance.normal(size=6)
        picture = np.array([1.0, 0.0] if i < 40 else [0.0, 1.0])
        parts = [part / np.linalg.norm(part) / np.sqrt(2) for part in (language, picture)]
        updates.append(made.observe(i / 5, np.concatenate(parts).astype(np.float32)))
    events = [update for update in updates if update]
    assert [update.reason for update in events] == ["first", "change"]
    assert events[1].change > 0.9
    for state in (*seen, *(update.state for update in events), made.present):
        assert np.linalg.norm(state) == np.float32(1.0) or abs(np.linalg.norm(state) - 1) < 1e-5
        assert np.abs(state[:6]).max() > 0.05, "the language part is whole"
    again = SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), generate, sizes=(8, 2))
    again.restore(events[1])
    assert again.observe(0.0, events[1].state) is None
    assert again.observe(0.2, np.ones(5, np.float32)) is None, "refused, not fatal"


def test_a_vocabulary_that_changes_under_an_unsure_state_is_no_event() -> None:
    made = SelectiveDecoder(
        AnchorDrift(AnchorDriftConfig()), ColourEngine().generate, min_confidence=0.95
    )
    play(made, ["red"] * 5)
    made.detector.reset()
    (again,) = play(made, ["red"] * 5, 5.0)
    assert (again.text, again.is_event, again.sequence) == ("", False, 0)


def test_pictures_out_of_the_domain_have_no_text_until_they_are_of_it_again() -> None:
    n = decoder()
    vectors = ColourEngine().encode_text(["red"] * 20 + ["green"] * 20 + ["green"] * 20)
    updates = [
        update
        for i, vector in enumerate(vectors)
        if (update := n.observe(i / 5, vector, not 10 <= i < 50))
    ]
    assert [(t.text, t.reason, t.is_event, t.corrects) for t in updates] == [
        ("it is red", "first", True, 0),
        ("", "correction", True, 0),
        ("", "change", True, 2),
        ("it is green", "correction", True, 2),
    ]
    assert n.decodes == 2


def test_a_decoder_that_fails_loses_no_change() -> None:
    engine, broken = ColourEngine(), [True]

    def generate(states: Any) -> list[Generated]:
        if broken:
            broken.pop()
            raise RuntimeError("no memory left on the device")
        return engine.generate(states)

    made, updates = SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), generate), []
    for i, vector in enumerate(engine.encode_text(["red"] * 20 + ["green"] * 20)):
        if i == 25:
            broken.append(True)
        try:
            updates.append(made.observe(i / 5, vector))
        except RuntimeError:
            assert made.last is None or made.last.text == "it is red"
    events = [update for update in updates if update is not None]
    assert [(one.text, one.reason, one.sequence) for one in events] == [
        ("it is red", "first", 0),
        ("it is green", "change", 1),
    ]
