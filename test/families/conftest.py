"""Checkpoints that several tests share, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tiny_dual_encoders import tiny_clip, tiny_siglip
from tiny_perception import tiny_perception

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("hub") / "tiny-clip")


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_siglip(tmp_path_factory.mktemp("hub") / "tiny-siglip")


@pytest.fixture(scope="session")
def perception_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_perception(tmp_path_factory.mktemp("hub") / "tiny-pe-core")


@pytest.fixture(scope="session")
def naflex_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_siglip(tmp_path_factory.mktemp("hub") / "tiny-siglip2", naflex=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs transformers imports it: seconds, or minutes on a busy machine."""
    for item in items:
        own = Path(__file__).parent in item.path.parents
        if own and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))
