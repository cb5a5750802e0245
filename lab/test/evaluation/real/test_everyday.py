"""The embedded model for real pictures, on photographs that come in wheels of the tests' extras."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from vljepa_lab.evaluation.real.pictures import WHAT, fitted
from vljepa_lab.evaluation.real.truth import read_truth
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.models.calibration import independent_probabilities
from vljepa_ros.perception.frames import picture_to_rgb
from vljepa_ros.perception.scoring import score_group
from vljepa_ros.perception.vocabulary import EncodedGroup, Group, encode_texts
from vljepa_ros.perception.worker import finished
from vljepa_ros.perception.yes_no import PERSON
from vljepa_ros.resources import model_dir

SHOWN = {
    "skimage/data/chelsea.png": "a cat",
    "skimage/data/coffee.png": "a cup",
    "skimage/data/motorcycle_left.png": "a motorcycle",
    "sklearn/datasets/images/flower.jpg": "a flower",
}
PEOPLE = {"skimage/data/astronaut.png": True, **dict.fromkeys(SHOWN, False)}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(model_dir("everyday"), threads=1)


@pytest.fixture(scope="module")
def embeddings(engine: Engine) -> dict[str, np.ndarray]:
    found = {}
    for name in PEOPLE:
        package, _, path = name.partition("/")
        spec = find_spec(package)
        assert spec is not None, f"{package} is missing: install the extras test and eval"
        assert spec.origin is not None
        picture = Path(spec.origin).parent / path
        image = fitted(engine, picture_to_rgb(picture.read_bytes(), name))
        (seen,) = engine.encode([Clip(image[None], (0,))], [None])
        found[name] = engine.embed([seen.tokens], WHAT)[0]
    return found


def test_photographs_are_named_rightly(engine: Engine, embeddings: dict[str, np.ndarray]) -> None:
    labels = read_truth().objects
    encoded = EncodedGroup(Group(WHAT, labels), finished(encode_texts(engine, labels)))
    best = {
        name: score_group(embeddings[name], encoded, engine.config.calibration).labels[0]
        for name in SHOWN
    }
    assert best == SHOWN


def test_a_person_is_found_and_nobody_where_nobody_is(
    engine: Engine, embeddings: dict[str, np.ndarray]
) -> None:
    (person,) = finished(encode_texts(engine, [PERSON]))
    calibration = engine.config.calibration
    found = {
        name: float(independent_probabilities(row @ person, calibration))
        for name, row in embeddings.items()
    }
    assert {name: score >= 0.5 for name, score in found.items()} == PEOPLE, found
