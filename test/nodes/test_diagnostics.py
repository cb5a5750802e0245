"""Warnings: each cause once in a while, and no flood of causes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vljepa_ros.nodes.diagnostics import MOST_CAUSES, Warnings


def test_a_text_that_always_differs_floods_no_log() -> None:
    log: list[str] = []
    node: Any = SimpleNamespace(get_logger=lambda: SimpleNamespace(warning=log.append))
    warnings = Warnings(node)
    for number in range(3 * MOST_CAUSES):
        warnings.warn(f"an image of {number} bytes cannot be used")
    assert len(log) == MOST_CAUSES
