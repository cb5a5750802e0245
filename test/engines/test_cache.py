from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.engines.cache import CacheKey, EngineCache
from vljepa_ros.models.config import ModelError

KEY = CacheKey(
    "clip-1", "abc", "{}", "tensorrt", "batch 1..8 (8)", "bf16", "11.4.0", "NVIDIA H200 sm90"
)
FIELDS = sorted(asdict(KEY))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    file = tmp_path / "made" / "vision.plan"
    file.write_bytes(b"engine")
    (tmp_path / "made" / "vision.plan.data").write_bytes(b"weights")
    return file


def test_an_entry_is_found_again(tmp_path: Path, plan: Path) -> None:
    cache = EngineCache(tmp_path / "cache")
    assert cache.explain(KEY).startswith("no tensorrt engine of 'clip-1' has been built")
    assert cache.find(KEY) == {}
    cache.store(KEY, {"vision": plan}, {"parity": 1.0})
    found = cache.find(KEY)
    assert found["vision"].read_bytes() == b"engine"
    assert found["vision"].with_name("vision.plan.data").read_bytes() == b"weights"
    assert EngineCache(tmp_path / "cache").explain(KEY) == ""


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_makes_an_entry_stale(field: str, tmp_path: Path, plan: Path) -> None:
    cache = EngineCache(tmp_path / "cache")
    cache.store(KEY, {"vision": plan}, {})
    other = replace(KEY, **{field: "another"})
    assert cache.find(other) == {}
    if field in ("precision", "version", "device"):
        assert "another" in cache.explain(other)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(max_size=6), min_size=8, max_size=8), st.integers(0, 7), st.text(max_size=6)
)
def test_keys_do_not_collide(values: list[str], index: int, changed: str) -> None:
    key = CacheKey(*values)
    values[index] = changed
    assert (CacheKey(*values).digest() == key.digest()) == (CacheKey(*values) == key)


def test_a_copied_folder_is_not_trusted(tmp_path: Path, plan: Path) -> None:
    """Somebody copies an engine built on another GPU to where ours would lie."""
    cache = EngineCache(tmp_path / "cache")
    folder = cache.store(KEY, {"vision": plan}, {})
    other = replace(KEY, device="NVIDIA Orin sm87")
    folder.rename(cache.root / f"{other.model}-{other.kind}-{other.digest()}")
    assert cache.find(other) == {}
    assert "made for something else" in cache.explain(other)
    assert "NVIDIA H200 sm90" in cache.explain(other)


def test_damage_is_noticed(tmp_path: Path, plan: Path) -> None:
    cache = EngineCache(tmp_path / "cache")
    cache.store(KEY, {"vision": plan}, {})
    cache.find(KEY)["vision"].write_bytes(b"engine!")
    assert cache.explain(KEY) == "the tensorrt entry is damaged: vision.plan"
    folder = cache.store(KEY, {"vision": plan}, {})
    assert cache.explain(KEY) == ""
    (folder / "entry.json").write_text("{")
    with pytest.raises(ModelError, match="is unreadable: delete it"):
        cache.explain(KEY)


def test_a_failed_store_leaves_nothing(tmp_path: Path, plan: Path) -> None:
    cache = EngineCache(tmp_path / "cache")
    with pytest.raises(TypeError):
        cache.store(KEY, {"vision": plan}, {"bad": object()})
    assert list(cache.root.iterdir()) == []


def test_notes_are_kept(tmp_path: Path, plan: Path) -> None:
    folder = EngineCache(tmp_path).store(KEY, {"vision": plan}, {"cosine": 0.5})
    assert json.loads((folder / "entry.json").read_text())["notes"] == {"cosine": 0.5}
