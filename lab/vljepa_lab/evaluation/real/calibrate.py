"""Fit how sure a model is to the real pictures of the half to choose on.

    python -m vljepa_lab.evaluation.real.calibrate FOLDER > calibration.json

Random sets of labels are drawn for each picture, with one that is right or with none, and the
calibrator that every model has is fitted to them. It knows similarities and sizes of sets only, no
names. The result also goes into `config.json` of the folder. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.real.pictures import fitted
from vljepa_lab.evaluation.real.sources import fetch, read_picture
from vljepa_lab.evaluation.real.truth import Truth, read_truth
from vljepa_lab.training.calibration import ScoredSet, fit_calibration
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import JsonObject, atomic_write

_SETS = 12  # of each picture and kind of label
_WITH_RIGHT = 0.75  # share of sets, of pictures that have a right label
_FITTED = ("logit_scale", "none_similarity", "abstain_below", "scale_weights", "none_weights")


def calibration_of(engine: Engine, truth: Truth, files: dict[str, Path]) -> JsonObject:
    """Fields of `calibration` in a model's configuration.

    Args:
        engine: That embeds pictures and texts.
        truth: Of one half.
        files: Name of a picture -> its file; those that are missing are left out.
    """
    pictures = [picture for picture in truth.pictures if picture.file.name in files]
    rows = []
    for picture in pictures:
        frame = fitted(engine, read_picture(picture, files[picture.file.name]))
        (seen,) = engine.encode([Clip(frame[None], (0,))], [None])
        rows.append(engine.embed([seen.tokens], engine.config.default_query)[0])
    rng, sets = random.Random(0), []
    for kind, labels in (("objects", truth.objects), ("places", truth.places)):
        similarities: NDArray[np.float32] = np.stack(rows) @ engine.encode_text(labels).T
        for picture, values in zip(pictures, similarities, strict=True):
            shown = getattr(picture, kind)
            of_label = dict(zip(labels, values, strict=True))
            right = [of_label[label] for label in labels if label in shown.clear]
            left_out = shown.clear | shown.unclear
            sets += draw_sets(right, [v for k, v in of_label.items() if k not in left_out], rng)
    # no text of unknown words comes near a picture: they need no allowance of their own
    found = asdict(replace(fit_calibration(sets), unknown_words=0.0))
    return {name: found[name] for name in (*_FITTED, "unknown_words")}


def draw_sets(right: Sequence[Any], wrong: Sequence[Any], rng: random.Random) -> list[ScoredSet]:
    """Sets of 2 to all wrong labels, small ones as often as large ones, some with a right one.

    Args:
        right: Similarities of the labels that a picture shows.
        wrong: Of those that it does not show, at least two.
        rng: For the draws.
    """
    drawn = []
    for _ in range(_SETS):
        size = round(math.exp(rng.uniform(math.log(2), math.log(len(wrong)))))
        some = rng.sample(wrong, size)
        there = bool(right) and rng.random() < _WITH_RIGHT
        if there:
            some.append(rng.choice(right))
        drawn.append(ScoredSet(np.array(some, np.float32), len(some) - 1 if there else -1))
    return drawn


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, write and print."""
    parser = argparse.ArgumentParser(prog="calibrate.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the model's")
    parser.add_argument("--clones", type=Path, metavar="DIR", help="as in `vljepa eval real`")
    args = parser.parse_args(argv)
    truth = read_truth().of_half("choose")
    files, missing = fetch([picture.file for picture in truth.pictures], args.clones)
    for source, why in missing.items():
        print(f"left out: {source}: {why}", file=sys.stderr)
    engine = load_engine(args.folder, threads=1)
    found = calibration_of(engine, truth, files)
    file = args.folder / "config.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    raw["calibration"] = {**raw["calibration"], **found}
    with atomic_write(file, "w") as out:
        out.write(json.dumps(raw, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
