"""A few cases of every target of test/soak/fuzz.py, so that the long run finds them working."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "soak"))
import fuzz

TARGETS = fuzz.targets()


@pytest.mark.parametrize("name", TARGETS)
def test_random_input_is_used_or_refused(name: str) -> None:
    slow = name == "model folder"
    if slow:
        pytest.importorskip("transformers")
    done = fuzz.run_target(name, TARGETS[name], 1, range(8 if slow else 60))
    assert done["failures"] == {}
    unnamed = {one for one in done["outcomes"] if one.startswith("refused") and one != "refused"}
    assert unnamed == set(), "a refusal without its reason"
