"""A model is judged through the package's own code, on pictures and clips made here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vljepa_lab.evaluation.real.clips import judge_clips
from vljepa_lab.evaluation.real.pictures import judge_pictures
from vljepa_lab.evaluation.real.truth import File, Picture, Question, RealClip, Seen, Truth
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.resources import model_dir

NOTHING: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(model_dir("nano"), threads=1)


def picture(name: str, clear: str = "", unclear: str = "", person: bool | None = None) -> Picture:
    named = [frozenset([text]) if text else NOTHING for text in (clear, unclear)]
    seen, nowhere = Seen(*named), Seen(NOTHING, NOTHING)
    file = File(name, "here", f"{name}.png", "")
    return Picture(file, None, seen, nowhere, person, None, name, "choose")


def test_every_figure_counts_the_pictures_it_is_about(engine: Engine, tmp_path: Path) -> None:
    pictures = (
        picture("red", "a red cube", person=False),
        picture("unsure", unclear="a blue cube", person=True),
        picture("away", "a red cube"),
    )
    files = {}
    for name, colour in (("red", (30, 30, 220)), ("unsure", (200, 60, 30))):
        files[name] = tmp_path / f"{name}.png"
        cv2.imwrite(str(files[name]), np.full((60, 80, 3), colour, np.uint8))
    question = Question("red", "is there a cube?", "yes", frozenset({"people"}))
    texts = ("a red cube", "a blue cube", "a green ball")
    truth = Truth(texts, ("a kitchen", "a street"), pictures, (question,), ())
    result = judge_pictures(engine, truth, files, lambda what, done, total: None)
    figures = result["figures"]
    assert result["pictures"] == 2
    assert figures["objects_top1"]["n"] == 1
    assert figures["nothing_fits_below"]["n"] == 1
    assert figures["places_top1"]["value"] is None
    assert figures["person_auc"]["n"] == 2
    assert figures["indoors_auc"]["n"] == 0
    assert result["yes_no"]["all"]["answered"]["n"] == 1
    assert result["yes_no"]["negated"]["answered"]["n"] == 0


def test_a_state_of_a_clip_is_taught_and_its_changes_are_found(
    engine: Engine, tmp_path: Path
) -> None:
    place = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(place), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (96, 96))
    noise = np.random.default_rng(0)
    there = ((36, 75), (110, 145))
    for frame in range(180):
        image = noise.integers(90, 110, (96, 96, 3)).astype(np.uint8)
        if any(first <= frame <= last for first, last in there):
            image[20:80, 20:80] = (40, 40, 230)
        writer.write(image)
    writer.release()
    clip = RealClip(File("clip", "here", "clip.avi", ""), "domain", "red", "grey", there, ())
    found = judge_clips(engine, [clip], {"clip": place}, lambda what, done, total: None)["clip"]
    assert found["taught"]["balanced_accuracy"] >= 0.75  # nano knows no such picture
    assert found["change"]["changes"] == 4
    assert judge_clips(engine, [clip], {}, lambda what, done, total: None) == {}
