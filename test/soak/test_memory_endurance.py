from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from memory_endurance import kill_test, soak

pytestmark = pytest.mark.timeout(0)
Keep = Callable[[dict[str, Any]], None]


def test_kills_lose_at_most_one_batch_each(
    tmp_path: Path, request: pytest.FixtureRequest, keep: Keep
) -> None:
    result = kill_test(tmp_path, request.config.getoption("--kills"))
    keep(result)
    assert result["opened"] == result["kills"]
    assert result["holes"] == 0
    assert result["largest_loss"] <= result["batch"]


def test_soak_loses_nothing(tmp_path: Path, request: pytest.FixtureRequest, keep: Keep) -> None:
    result = soak(tmp_path / "memory", request.config.getoption("--seconds"))
    keep(result)
    assert result["dropped"] == 0
    assert result["closed"]
    assert result["problems"] == []
