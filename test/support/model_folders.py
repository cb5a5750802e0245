"""Checkpoints in the hub's format that several tests share, made once. They need transformers."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_dual_encoders import tiny_clip

    return tiny_clip(tmp_path_factory.mktemp("hub") / "tiny-clip")


@pytest.fixture(scope="session")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_dual_encoders import tiny_siglip

    return tiny_siglip(tmp_path_factory.mktemp("hub") / "tiny-siglip")


@pytest.fixture(scope="session")
def naflex_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_dual_encoders import tiny_siglip

    return tiny_siglip(tmp_path_factory.mktemp("hub") / "tiny-siglip2", naflex=True)
