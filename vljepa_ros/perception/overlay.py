"""Draws the text and the best labels of a scene over its image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_WIDTH = 480  # pixels in which a sentence can be read
MOST_ENLARGED = 4096  # pixels: no side becomes longer by it
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_LINE = 18  # pixels
_SHADE = 0.35  # brightness of the image behind letters, as a share
_INK = (255, 255, 255)
_BAR = (255, 190, 60)


def draw_overlay(
    image: NDArray[np.uint8], text: str, labels: Sequence[tuple[str, float]]
) -> NDArray[np.uint8]:
    """Draw text over a copy of an image, enlarged if it is too small for legible text.

    Args:
        image: [H, W, 3] uint8 RGB.
        text: one line along the lower edge; letters beyond ASCII become question marks.
        labels: (label, score 0..1), one line each from the upper edge, as many as fit.

    Returns:
        [k H, k W, 3] uint8 RGB, k the least whole number for a width of LEAST_WIDTH, less where H
        would be more than MOST_ENLARGED.
    """
    enlarge = max(1, min(-(-LEAST_WIDTH // image.shape[1]), MOST_ENLARGED // image.shape[0]))
    drawn = np.repeat(np.repeat(image, enlarge, axis=0), enlarge, axis=1)
    height, width = drawn.shape[:2]
    line = max(_LEAST_LINE, min(width // 24, height // 8))
    foot = height - line - line // 3 if text else height
    for row, (label, score) in enumerate(labels):
        top = row * line
        if top + line > foot:
            break
        words, scale, long = _fitted(f"{score:.2f} {label}", line, width)
        _shade(drawn, top, top + line, max(width // 3, long))
        bar, thick = int(width // 3 * min(max(score, 0.0), 1.0)), max(2, line // 12)
        drawn[top + line - thick : top + line, :bar] = _BAR
        _write(drawn, words, top, line - thick, scale)
    if text and foot >= 0:
        words, scale, _ = _fitted(text, height - foot, width)
        _shade(drawn, foot, height, width)
        _write(drawn, words, foot, height - foot, scale)
    return drawn


def _shade(image: NDArray[np.uint8], top: int, bottom: int, width: int) -> None:
    part = image[top:bottom, :width]
    part[:] = (part * _SHADE).astype(np.uint8)


def _fitted(text: str, height: int, width: int) -> tuple[str, float, int]:
    """Shorten a line to what is legible at this height; also its scale and width in pixels."""
    (long, tall), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    scale, room = 0.55 * height / tall, width - 2 * _margin(width)
    if scale * long > room:
        scale = max(0.7 * scale, room / long)
        kept = int(len(text) * room / (scale * long))
        text = text if kept >= len(text) else text[: max(0, kept - 3)] + "..."
    (long, _), _ = cv2.getTextSize(text, _FONT, scale, _thickness(scale))
    return text, scale, long + 2 * _margin(width)


def _thickness(scale: float) -> int:
    return max(1, round(scale))


def _margin(width: int) -> int:
    return width // 80


def _write(image: NDArray[np.uint8], text: str, top: int, height: int, scale: float) -> None:
    (_, tall), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    place = _margin(image.shape[1]), top + int((height + scale * tall) / 2)
    cv2.putText(image, text, place, _FONT, scale, _INK, _thickness(scale), cv2.LINE_AA)
