"""A description of a domain for `ColourEngine`: pictures with more red than blue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from vljepa_ros.models.config import ModelConfig


def write_domain(config: ModelConfig, folder: Path) -> ModelConfig:
    """The configuration with such a description in `folder`."""
    sides = np.array([[1, -1], [0, 0], [-1, 1]], np.float32) / 255  # red without blue, and so on
    arrays = {
        "cell.weight": sides,
        "cell.bias": np.zeros(2, np.float32),
        "hidden.weight": np.tile(np.eye(2, dtype=np.float32), (config.clip_frames, 1)),
        "hidden.bias": np.zeros(2, np.float32),
        "out.weight": np.array([[1], [-1]], np.float32),
        "out.bias": np.zeros(1, np.float32),
    }
    save_file(arrays, folder / "domain.safetensors")
    return replace(config, folder=folder, files={"domain": "domain.safetensors"})
