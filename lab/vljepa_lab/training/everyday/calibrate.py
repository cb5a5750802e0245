"""`vljepa train everyday --calibrate`: fit how sure `everyday` is to pictures of known truth.

Random sets of labels are drawn for each picture, with one that is right or with none, and the
calibrator that every model has is fitted to them. It knows similarities and sizes of sets only,
no names. Needs torch.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from vljepa_lab.training.calibration import ScoredSet, fit_calibration
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.frames import model_input, picture_to_rgb

CALIBRATION = Path(__file__).with_name("calibration.json")
_SETS = 12  # of each picture and kind of label
_WITH_RIGHT = 0.75  # share of sets, of pictures that have a right label
_KINDS = (("objects", "unclear"), ("places", "unclear_places"))


def fit_to_pictures(folder: Path, truth: Path, pictures: Path, seed: int = 0) -> Calibration:
    """Fit, and write the result into the folder's `config.json` and beside this file.

    Args:
        folder: Of the model.
        truth: YAML with `objects` and `places` (name -> text) and `pictures`, a list of `name`, the
            `objects` and `places` that are there, and those that are `unclear` and
            `unclear_places`, which are left out.
        pictures: Where they lie.
        seed: Of the draws.

    Raises:
        ModelError: The folder cannot be loaded.
        FrameError: A picture cannot be read.
    """
    engine = load_engine(folder, threads=1)
    known = yaml.safe_load(truth.read_text(encoding="utf-8"))
    rows = np.stack([_embed(engine, pictures / one["name"]) for one in known["pictures"]])
    rng = random.Random(seed)
    sets = []
    for kind, unclear in _KINDS:
        labels = known[kind]
        similarities = rows @ engine.encode_text(list(labels.values())).T
        for one, seen in zip(known["pictures"], similarities, strict=True):
            by_name = dict(zip(labels, seen, strict=True))
            right = [by_name[name] for name in labels if name in one[kind]]
            wrong = [by_name[n] for n in labels if n not in (*one[kind], *one[unclear])]
            sets += _draw(right, wrong, rng)
    # no text of unknown words comes near a picture: they need no allowance of their own
    fitted = replace(fit_calibration(sets), unknown_words=0.0)
    names = ("logit_scale", "none_similarity", "abstain_below", "scale_weights", "none_weights")
    found = {name: asdict(fitted)[name] for name in (*names, "unknown_words")}
    CALIBRATION.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    file = folder / "config.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    raw["calibration"] = {**raw["calibration"], **found}
    with atomic_write(file, "w") as out:
        out.write(json.dumps(raw, indent=1) + "\n")
    return fitted


def _draw(right: list[Any], wrong: list[Any], rng: random.Random) -> list[ScoredSet]:
    """Sets of 2 to all labels, small ones as often as large ones."""
    drawn = []
    for _ in range(_SETS):
        size = round(math.exp(rng.uniform(math.log(2), math.log(len(wrong)))))
        some = rng.sample(wrong, size)
        there = bool(right) and rng.random() < _WITH_RIGHT
        if there:
            some.append(rng.choice(right))
        drawn.append(ScoredSet(np.array(some, np.float32), len(some) - 1 if there else -1))
    return drawn


def _embed(engine: Engine, file: Path) -> NDArray[np.float32]:
    config = engine.config
    image = picture_to_rgb(file.read_bytes(), file.name)
    frame = model_input(image, config.input_size, preprocessing=config.preprocessing)
    (seen,) = engine.encode([Clip(frame[None], (0,))], [None])
    return engine.embed([seen.tokens], config.default_query)[0]
