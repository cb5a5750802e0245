"""Draws a demo as an animation: what the camera sees, what the robot says, and what was true."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.style import GREY, INK, LIGHT_GREY, ORANGE, TEAL
from vljepa_ros.cli.demo_record import DemoRecord
from vljepa_ros.perception.image_source import VideoFile

STEP_S, SPEED = 0.5, 2.5  # seconds of the clip from picture to picture; times as fast as real time
WIDTH, HEIGHT, PANEL = 400, 300, 120  # pixels: the camera's picture, and the panel below it
MARGIN = 12
_QUALITY = 42  # of WebP, 0..100
_INNER = WIDTH - 2 * MARGIN
_TRUE_Y, _SAID_Y, _LEGEND_Y, _BAR = 66, 80, 100, 10  # pixels: the panel's strips and their height


def draw_animation(record: DemoRecord, video: Path, path: Path) -> int:
    """Write an animated WebP that repeats for ever; returns its size in bytes.

    Args:
        record: of the whole video, its times from the video's beginning.
        video: what the camera showed.
        path: the file; folders above it are made.

    Raises:
        OSError: it cannot be written.
    """
    from PIL import Image

    source = VideoFile(video)
    every = max(1, round(STEP_S * source.rate))
    pictures = []
    for number, shot in enumerate(source.shots()):
        now = number / source.rate
        if now > record.end:
            break
        if number % every == 0:
            page = Image.new("RGB", (WIDTH, HEIGHT + PANEL), "white")
            seen = Image.fromarray(shot.bgr[..., ::-1].copy())
            page.paste(seen.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
            _draw_panel(page, record, now)
            pictures.append(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 * STEP_S / SPEED),
        loop=0,
        quality=_QUALITY,
        method=4,
    )
    return path.stat().st_size


def _draw_panel(page: Any, record: DemoRecord, now: float) -> None:
    """The text in force, and two strips: when something happened, when the text was true."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(page)
    said = [text for text in record.texts if text.received <= now]
    truth = record.truth_at(now)
    right = truth is not None and record.is_right(truth)
    text = f"“{said[-1].text}”" if said else "…"
    draw.text((MARGIN, HEIGHT + 6), "the robot says", GREY, _font(11))
    size = next(size for size in range(16, 6, -1) if _font(size).getlength(text) <= _INNER)
    draw.text((MARGIN, HEIGHT + 20), text, TEAL if right else ORANGE, _font(size))
    clips = sum(t.stamp <= now for t in record.truths) * record.frames // len(record.truths)
    counts = f"{now:.0f} s: {len(said)} texts instead of {clips}"
    draw.text((MARGIN, HEIGHT + 46), counts, INK, _font(11))
    legend = (
        ("something happens", INK),
        ("the text is true", TEAL),
        ("it is not, or not yet", ORANGE),
    )
    for place, (words, colour) in enumerate(legend):
        left, top = MARGIN + place * _INNER // 3, HEIGHT + _LEGEND_Y
        draw.rectangle((left, top + 3, left + 8, top + 11), fill=colour)
        draw.text((left + 13, top), words, GREY, _font(10))

    def bar(begin: float, end: float, y: int, colour: str) -> None:
        scale = _INNER / record.end
        left, right = MARGIN + begin * scale, MARGIN + end * scale
        draw.rectangle((left, HEIGHT + y, right, HEIGHT + y + _BAR), fill=colour)

    for y in (_TRUE_Y, _SAID_Y):
        bar(0.0, record.end, y, LIGHT_GREY)
    for begin, end, happening in record.stretches():
        if happening.event != "nothing" and begin <= now:
            bar(begin, min(end, now), _TRUE_Y, INK)
    for first, second in zip(record.truths, record.truths[1:], strict=False):
        if said and said[0].received <= first.stamp < now:
            colour = TEAL if record.is_right(first) else ORANGE
            bar(first.stamp, second.stamp, _SAID_Y, colour)


@cache
def _font(size: int) -> Any:
    """The font that comes with matplotlib, `size` pixels high."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
