"""The catalogue: what is in it, and what is said of an entry that is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.catalogue import read_catalogue
from vljepa_ros.models.config import ModelError
from vljepa_ros.resources import catalogue, model_names

GOOD = {"family": "dual_encoder", "licence": "MIT", "best_at": "cups", "tried": "never"}


def test_it_lists_what_is_shipped_and_what_can_be_fetched() -> None:
    entries = catalogue()
    shipped = {name for name, entry in entries.items() if not entry.hub}
    assert set(model_names()) <= shipped
    for name, entry in entries.items():
        assert bool(entry.hub) == bool(entry.download_gb), name
        assert not entry.revision or (len(entry.revision) == 40 and entry.hub), name
    assert entries["open-vljepa"].convert_with["x_encoder"] == "facebook/vjepa2-vitl-fpc64-256"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"a": GOOD | {"colour": "red"}}, "a: unknown colour; allowed: family, licence"),
        ({"a": {1: 2}}, "a: unknown 1; allowed"),
        ({"a": {"family": "dual_encoder"}}, "a lacks licence, best_at, tried"),
        ({"a": GOOD | {"family": "clip"}}, r"a.family is 'clip', allowed: vl_jepa"),
        ({"a": GOOD | {"download_gb": "1.5 GB"}}, r"a.download_gb is '1.5 GB', allowed: a number"),
        ({"a": GOOD | {"revision": 1234567}}, "a.revision is '1234567', allowed: a text"),
        ({"a": GOOD | {"hub": "clip"}}, "a.hub is 'clip', allowed: OWNER/NAME"),
        ({"a": GOOD | {"convert_with": {"x": "y"}}}, "a.convert_with has x, not query_tokenizer"),
        ({"a": "siglip"}, "a must be an object, not str"),
        ({"a/b": GOOD}, "a/b is not a short name: lower case"),
        (["a"], "must hold names with their entries"),
    ],
)
def test_what_is_wrong_is_named_with_entry_and_field(
    tmp_path: Path, entry: object, message: str
) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(yaml.safe_dump(entry))
    with pytest.raises(ModelError, match=message):
        read_catalogue(file)


@given(
    st.one_of(
        st.text(max_size=20),
        st.dictionaries(
            st.one_of(st.integers(), st.sampled_from([*GOOD, "hub", "convert_with", "gpu_gb"])),
            st.one_of(st.none(), st.text(max_size=5), st.floats(), st.lists(st.integers())),
        ).map(lambda entry: yaml.safe_dump({"a": GOOD | entry})),
    )
)
@settings(deadline=None, max_examples=40)
def test_no_text_is_more_than_a_model_error(tmp_path_factory: pytest.TempPathFactory, text: str):
    file = tmp_path_factory.mktemp("catalogue") / "catalogue.yaml"
    file.write_text(text, encoding="utf-8", newline="", errors="surrogatepass")
    with contextlib.suppress(ModelError):
        assert set(read_catalogue(file)) <= {"a"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"catalogue.yaml' cannot be read: .*No such file"):
        read_catalogue(tmp_path / "catalogue.yaml")
