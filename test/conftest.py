"""Fixtures of all tests."""

import os
from pathlib import Path

import pytest
from model_folders import clip_folder, naflex_folder, siglip_folder
from ros_domain import domain, ros_home

__all__ = [
    "clip_folder",
    "domain",
    "naflex_folder",
    "ros_home",
    "siglip_folder",
]
# Jazzy's message classes check a field's value only where this says so; Humble's always do.
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
_USE_TRANSFORMERS = [Path(__file__).parent / room for room in ("cli", "engines", "models")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs transformers imports it: seconds, or minutes on a busy machine."""
    for item in items:
        slow = any(room in item.path.parents for room in _USE_TRANSFORMERS)
        if slow and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))
