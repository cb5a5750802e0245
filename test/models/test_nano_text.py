from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, TextTokenizer, split_words


def test_words_go_to_numbers_and_back() -> None:
    words = DecoderWords(["the", "door", "opens", ",", "it's"])
    assert words.text(words.ids("The door opens, it's")) == "the door opens, it's"
    assert words.ids("the unknown door") == [2, 3, DecoderWords.END]
    assert words.text([2, 3, DecoderWords.END, 4]) == "the door"
    # The decoder may have more rows than the list has words.
    assert words.text([2, 99, DecoderWords.PAD, 3]) == "the door"


@given(st.text(max_size=60))
def test_any_text_is_split_without_loss_of_letters(text: str) -> None:
    assert "".join(split_words(text)) == "".join(text.lower().split())


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1, 2]"])
def test_a_word_list_must_be_one(tmp_path: Path, content: str) -> None:
    file = tmp_path / "words.json"
    file.write_text(content)
    with pytest.raises(ModelError, match="JSON list of"):
        DecoderWords.load(file)


def test_a_tokenizer_file_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a tokenizer file"):
        TextTokenizer(tmp_path / "tokenizer.json")


def test_padding_marks_what_is_real() -> None:
    ids, valid = pad_ids([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert valid.tolist() == [[1, 1, 1], [1, 0, 0]]
