"""The vocabulary and its form as a parameter: round trip, what is refused, encoding in slices."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import pytest
from colour_engine import COLOURS, ColourEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.perception.vocabulary import (
    MAX_LABELS,
    PresenceError,
    VocabularyEncoder,
    VocabularyError,
    checked_texts,
    encode_texts,
    from_groups,
    in_slices,
    parse,
)

TEXT = st.text(
    st.characters(exclude_characters="|", exclude_categories=["Cc", "Cs", "Z"]),
    min_size=1,
    max_size=20,
)


@given(st.dictionaries(TEXT, st.lists(TEXT, min_size=1, max_size=6, unique=True), min_size=1))
@settings(max_examples=50, deadline=None)
def test_the_parameter_form_survives_a_round_trip(groups) -> None:
    made = from_groups(groups)
    assert parse(made.as_strings(), "default") == made
    assert made.size == sum(map(len, groups.values()))


def test_entries_without_a_bar_are_labels_of_the_default_prompt() -> None:
    made = parse(["a cat", "where? | left | right", "a dog"], "what?")
    assert made == from_groups({"what?": ["a cat", "a dog"], "where?": ["left", "right"]})


def test_one_group_can_be_replaced() -> None:
    made = from_groups({"what?": ["a", "b"], "where?": ["c"]}).with_group("what?", ["d"])
    assert made == from_groups({"what?": ["d"], "where?": ["c"]})


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "label list is empty, allowed: 1 to 10000"),
        (["what? |"], r"text 0 .* has 0 characters"),
        (["what? | a | a | b | b"], "'a', 'b'; allowed: each label once"),
        (["a", "b", "a"], "appear twice: 'a'"),
        (["what? | a", "what? | b"], "prompt 'what\\?' has two groups"),
        (["what? | " + "x" * 513], "has 513 characters, allowed: 1 to 512"),
        ([" | a"], "has 0 characters"),
        ([""], "has 0 characters, allowed: 1 to 512"),
        ([str(i) for i in range(MAX_LABELS + 1)], "10001 labels .*, allowed: 1 to 10000"),
        ([f"{p} | " + " | ".join(map(str, range(7000))) for p in "abc"], "21000 labels in all"),
    ],
)
def test_refusals_name_what_is_allowed(entries: list[str], reason: str) -> None:
    with pytest.raises(VocabularyError, match=reason):
        parse(entries, "default")


def test_a_label_alone_in_its_group_needs_a_model_that_judges_presence() -> None:
    made = from_groups({"what?": ["a", "b"], "where?": ["c"]})
    engine = ColourEngine()
    made.check(engine)
    engine.capabilities -= {"presence"}
    with pytest.raises(VocabularyError, match=r"1 label of 'where\?', allowed: 2 to .*'presence'"):
        made.check(engine)


def test_a_bar_in_a_label_is_refused() -> None:
    with pytest.raises(VocabularyError, match="separates labels"):
        from_groups({"what?": ["a|b"]})


def test_ten_thousand_labels_are_allowed() -> None:
    assert parse([str(i) for i in range(MAX_LABELS)], "what?").size == MAX_LABELS


def test_texts_are_stripped_and_limited() -> None:
    assert checked_texts([" a ", "b"], "texts", 2) == ("a", "b")
    with pytest.raises(VocabularyError, match="3 texts, allowed: 1 to 2"):
        checked_texts(["a", "b", "c"], "texts", 2)


def test_many_texts_are_encoded_in_slices() -> None:
    engine = ColourEngine()
    engine.text_seconds = 0.002
    texts = [f"{colour} {i}" for i in range(20) for colour in COLOURS]
    counts = [0]

    def watched() -> Generator[str, None, None]:
        vectors = yield from encode_texts(engine, texts)
        assert np.array_equal(vectors, ColourEngine().encode_text(texts))

    said = []
    for progress in watched():
        counts.append(len(engine.texts))
        said.append(progress)
    assert len(counts) > 5
    kept = counts[-1]
    assert (
        said[-1] == f"{kept} of {len(texts)} texts are encoded and kept, ask again for the others"
    )
    assert max(np.diff(counts)) <= 64
    with pytest.raises(StopIteration) as end:
        next(encode_texts(engine, []))
    assert end.value.value.shape == (0, len(COLOURS))


def test_a_vocabulary_comes_into_use_when_all_of_it_is_encoded_and_the_newest_wins() -> None:
    ready: list[int] = []
    engine = ColourEngine()
    engine.text_seconds = 0.002
    encoder = VocabularyEncoder(engine, lambda v: ready.append(v.version))
    encoder.replace(1, from_groups({"what?": [f"red {i}" for i in range(100)]}))
    encoder.advance()
    assert encoder.current is None
    encoder.replace(2, from_groups({"what?": ["green", "blue"], "where?": ["red"]}))
    while encoder.pending:
        encoder.advance()
    assert ready == [2]
    assert encoder.current is not None
    assert [g.embeddings.shape[0] for g in encoder.current.groups] == [2, 1]


def test_a_vocabulary_at_which_the_engine_failed_is_begun_afresh_by_the_next_call() -> None:
    class Failing(ColourEngine):
        failures = 1

        def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("no memory left")
            return super().encode_text(texts)

    ready: list[int] = []
    encoder = VocabularyEncoder(Failing(), lambda v: ready.append(v.version))
    encoder.replace(1, from_groups({"what?": ["red", "green"]}))
    with pytest.raises(RuntimeError, match="no memory left"):
        encoder.advance()
    assert encoder.pending
    encoder.advance()
    assert ready == [1]
    assert not encoder.pending


def test_a_taught_name_is_no_text() -> None:
    engine, name = ColourEngine(), "red as it was shown"
    taught = {name: EncodedText(engine.encode_text(["red"])[0], engine.config.calibration)}
    vocabulary = from_groups({"what?": ["blue", name, "green"], "lit?": [name]})
    engine.capabilities -= {"presence"}
    vocabulary.check(engine, taught)
    with pytest.raises(PresenceError):
        vocabulary.check(engine)
    encoder = VocabularyEncoder(engine, lambda used: None)
    encoder.replace(1, vocabulary, taught)
    while encoder.pending:
        encoder.advance()
    assert encoder.current is not None
    first, second = encoder.current.groups
    assert first.taught == {1: taught[name]}
    assert second.taught == {0: taught[name]}
    assert not first.embeddings[1].any()
    assert np.array_equal(first.embeddings[[0, 2]], engine.encode_text(["blue", "green"]))


def test_texts_of_about_the_same_length_are_encoded_together_and_come_back_in_order() -> None:
    texts = ["red " * (1 + number % 7) + str(number) for number in range(40)]
    batches: list[list[str]] = []

    def encode(batch: Sequence[str]) -> np.ndarray:
        batches.append(list(batch))
        return np.array([[float(text.split()[-1])] for text in batch], np.float32)

    def encoded() -> Generator[str, None, None]:
        found.append((yield from in_slices(encode, texts, 1)))

    found: list[np.ndarray] = []
    list(encoded())
    assert found[0].ravel().tolist() == list(range(40))
    lengths = [len(text) for batch in batches for text in batch]
    assert lengths == sorted(lengths)
