"""Figures and animation of the demo clip, and of further clips that are rendered once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bench_demo
import pytest
from bench_demo import figures, further_clips, replay
from PIL import Image

from vljepa_lab.evaluation.demo_animation import STEP_S, draw_animation
from vljepa_ros.cli.demo_record import DemoRecord, PublishedText, Truth
from vljepa_ros.engines.load import load_engine
from vljepa_ros.perception.image_source import demo_clip
from vljepa_ros.resources import model_dir


def test_the_first_seconds_of_the_shipped_clip_watched_and_drawn(tmp_path: Path) -> None:
    engine = load_engine(model_dir("nano"), threads=1)
    record = replay(engine, demo_clip(), seconds=10.0)
    engine.close()
    assert len(record.truths) == 100
    assert record.frames == 43  # five a second, from the first whole clip on
    assert len(record.event_delays()) == 1  # the door opens after five quiet seconds
    assert record.summary()["text_right_share"] > 0.5
    size = draw_animation(record, demo_clip(), tmp_path / "new" / "demo.webp")
    assert 0 < size < 1.5 * 2**20
    with Image.open(tmp_path / "new" / "demo.webp") as drawn:
        assert drawn.n_frames == pytest.approx(10.0 / STEP_S)  # type: ignore[attr-defined]


def test_further_clips_are_rendered_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rendered = []

    def render(seed: int, folder: Path, **options: str) -> None:
        rendered.append(seed)
        folder.mkdir(parents=True)
        (folder / "ground_truth.jsonl").touch()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bench_demo, "fitting_seeds", lambda: iter([3, 5, 8, 13]))
    monkeypatch.setattr(bench_demo, "make_clip", render)
    assert [seed for seed, _ in further_clips(2)] == ["5", "8"], "3 is the shipped clip's"
    assert [clip.parent.name for _, clip in further_clips(3)] == ["5", "8", "13"]
    assert rendered == [5, 8, 13]


def test_the_further_clips_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def watched(engine: Any, clip: Path) -> DemoRecord:
        """The door opens after 5 s; named after 1 s, in the clip `wrong` never."""
        record = DemoRecord(latencies=[0.0] * 50, decodes=5)
        for tenth in range(100):
            event, text = ("door opens", "it opens") if 50 <= tenth < 60 else ("nothing", "quiet")
            record.truths.append(Truth(tenth / 10, event, "", (text,)))
        texts = ["quiet", "quiet" if clip.name == "wrong" else "it opens", "quiet"]
        for at, text in zip((0.0, 5.5, 6.0), texts, strict=True):
            record.texts.append(PublishedText(at, at, at, text, True))
        return record

    monkeypatch.setattr(bench_demo, "replay", watched)
    names = ("right", "wrong")
    monkeypatch.setattr(bench_demo, "further_clips", lambda n: [(x, Path(x)) for x in names[:n]])
    alone: Any = None
    assert list(figures(alone, 0)) == ["clips"]
    found = figures(alone, 2)
    assert list(found["clips"]) == ["shipped", "right", "wrong"]
    further = found["further"]
    assert (further["events"], further["events_named"]) == (2, 1)
    assert further["events_named_share"] == 0.5
    assert further["delay_s"] == 0.5
    assert further["text_right_share"] == pytest.approx((0.95 + 0.9) / 2)
    assert further["constant_text_right_share"] == pytest.approx(0.9)
