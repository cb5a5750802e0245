"""Refuse clips that a model does not take, before they reach its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelConfig, ModelError


def check_clips(config: ModelConfig, clips: Sequence[Clip], states: Sequence[Any]) -> None:
    """Compare clips with the model's input.

    :raises ModelError: another frame size or dtype, no frames, or not as many states as clips.
    """
    if len(clips) != len(states):
        raise ModelError(f"{len(clips)} clips, but {len(states)} states")
    size = config.input_size
    for clip in clips:
        shape = clip.frames.shape
        if len(shape) != 4 or shape[1:] != (size, size, 3) or clip.frames.dtype != np.uint8:
            raise ModelError(
                f"clip is {clip.frames.dtype} {list(shape)}; model '{config.name}' takes uint8 "
                f"[frames, {size}, {size}, 3]"
            )
        if len(clip.stamps) != shape[0] or not shape[0]:
            raise ModelError(f"clip has {len(clip.stamps)} stamps for {shape[0]} frames")


def unit_rows(values: Any) -> Any:
    """Rows scaled to L2 norm 1, float32."""
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
