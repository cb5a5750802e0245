"""Runs of minutes to hours, not part of `make test`: `pytest test/soak --save FILE`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vljepa_lab.results import provenance, write_result


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--save", type=Path, help="write the figures to this file (one test only)")
    parser.addoption("--kills", type=int, default=50, help="kills of the memory's writer")
    parser.addoption("--samples", type=int, default=10_000_000, help="through one detector")
    parser.addoption("--seconds", type=float, default=1080.0, help="length of a soak")


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], None]:
    """Prints figures and writes them where `--save` says."""

    def keep(result: dict[str, Any]) -> None:
        print(json.dumps(result, indent=2))
        write_result(result | {"run": provenance()}, request.config.getoption("--save"))

    return keep
