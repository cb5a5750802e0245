"""Draws what is known of a scene over its picture: the text below, the best labels with bars
above."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHADE = 0.45  # what is left of the picture's light behind letters
_INK = (255, 255, 255)
_BAR = (255, 190, 60)


def draw_overlay(
    image: NDArray[np.uint8], text: str, labels: Sequence[tuple[str, float]]
) -> NDArray[np.uint8]:
    """A copy of the picture with words on it, sized by its width.

    Args:
        image: [H, W, 3] uint8 RGB.
        text: one line along the lower edge; letters beyond ASCII become question marks.
        labels: (label, score 0..1), one line each from the upper edge down.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    drawn = np.array(image, np.uint8, order="C")
    height, width = drawn.shape[:2]
    line = max(12, width // 24)
    for row, (label, score) in enumerate(labels):
        top = row * line
        if top + line > height:
            break
        _shade(drawn, top, top + line, width // 2)
        bar = int(width // 2 * min(max(score, 0.0), 1.0))
        drawn[top + line - 2 : top + line, :bar] = _BAR
        _write(drawn, f"{score:.2f} {label}", top, line, width // 2)
    if text:
        top = max(0, height - line - line // 3)
        _shade(drawn, top, height, width)
        _write(drawn, text, top, height - top, width)
    return drawn


def _shade(image: NDArray[np.uint8], top: int, bottom: int, width: int) -> None:
    part = image[top:bottom, :width]
    part[:] = (part * _SHADE).astype(np.uint8)


def _write(image: NDArray[np.uint8], text: str, top: int, height: int, width: int) -> None:
    """One line, as large as fits into height and width."""
    (long, tall), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    scale = min(0.6 * height / tall, 0.96 * width / max(long, 1))
    baseline = top + int((height + scale * tall) / 2)
    cv2.putText(image, text, (width // 50, baseline), _FONT, scale, _INK, 1, cv2.LINE_AA)
