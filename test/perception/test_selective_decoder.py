"""Words at changes only; the same words are no news."""

from __future__ import annotations

from colour_engine import COLOURS, ColourEngine

from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.selective_decoder import SceneUpdate, SelectiveDecoder


def play(decoder: SelectiveDecoder, texts: list[str], start: float = 0.0) -> list[SceneUpdate]:
    vectors = ColourEngine().encode_text(texts)
    told = [decoder.observe(start + i / 5, vector) for i, vector in enumerate(vectors)]
    return [update for update in told if update is not None]


def decoder() -> SelectiveDecoder:
    return SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), ColourEngine().generate)


def test_each_change_is_told_once_with_what_was_before() -> None:
    told = play(decoder(), ["red"] * 20 + ["green"] * 20 + ["blue"] * 20)
    assert [n.text for n in told] == ["it is red", "it is green", "it is blue"]
    assert [n.previous_text for n in told] == ["", "it is red", "it is green"]
    assert [n.sequence for n in told] == [0, 1, 2]
    assert [n.is_first for n in told] == [True, False, False]
    assert all(n.is_event for n in told)
    assert told[1].change > 0.9


def test_decoding_happens_at_changes_only() -> None:
    n = decoder()
    play(n, ["red"] * 100 + ["green"] * 100)
    assert n.decodes == 2


def test_a_change_that_reads_the_same_is_no_news() -> None:
    n = decoder()
    told = play(n, ["red"] * 20 + ["red yellow"] * 20 + ["blue"] * 20)
    assert [(t.text, t.is_event, t.sequence) for t in told] == [
        ("it is red", True, 0),
        ("it is red", False, 0),
        ("it is blue", True, 1),
    ]
    assert told[2].previous_text == "it is red"


def test_describing_counts_as_no_event() -> None:
    n = decoder()
    play(n, ["red"] * 5)
    green = ColourEngine().encode_text(list(COLOURS))[1]
    said = n.describe(9.0, green)
    assert (said.text, said.is_event, said.sequence) == ("it is green", False, 0)
    assert n.last is not None
    assert n.last.text == "it is red"
