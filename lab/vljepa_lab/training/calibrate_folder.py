"""`vljepa train calibrate`: fit the calibration of a model folder anew, through its own graphs.

Only `config.json` is changed, and in it only `calibration`: weights, graphs and model_id stay.
Validation scenes only, plain and furnished ones, with questions in trained wordings and in those of
`calibrate_own_words.yaml`. Their rooms are of the kinds that training knows,
where a model is right more often, and no less sure, than where it will work: so most clips are seen
through another lens and with unknown things in the background. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vljepa_lab.training.augmentation import distract
from vljepa_lab.training.calibration import ScoredSet, draw_scored, fit_calibration
from vljepa_lab.world.dataset import open_shards
from vljepa_lab.world.own_words import CALIBRATE, ask_in_own_words, read_table
from vljepa_lab.world.questions import Question, ask
from vljepa_lab.world.records import Record
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.models.config import Calibration, ModelError
from vljepa_ros.resources import model_dir

Floats = NDArray[np.float32]
_BATCH = 32
_PER_KIND = 1000
"""Sets of candidates of questions in other words, of each kind: as many as of the trained tasks."""
_LACKING = 0.1
"""Share of the sets of three or more candidates in other words that lack the answer. With none, a
missing answer of trained questions is noticed less often (62% instead of 81%); people who ask in
their own words mostly give the answer among the candidates."""
_CHANGED, _ZOOM, _ASIDE = 2 / 3, 0.1, 0.04


def calibrate_folder(
    folder: Path, data: Path, scenes: int = 150, clips: int = 6, seed: int = 0
) -> Calibration:
    """Fit on validation scenes and write the result into `folder`.

    The scenes are in `data/val`, and in `data/val_furnished` where that exists.

    Args:
        folder: of the model.
        data: has the scenes.
        scenes: of each of the two, at most.
        clips: of each scene, at most.
        seed: of the draws.

    Raises:
        ModelError: the folder cannot be loaded.
        FileNotFoundError: there are no scenes.
    """
    engine = load_engine(folder, threads=1)
    predictions: list[tuple[Question, Floats]] = []
    in_other_words: list[tuple[Question, Floats]] = []
    for split in ("val", "val_furnished"):
        trained, others = _predict(engine, data / split, scenes, clips, seed)
        predictions += trained
        in_other_words += others
    if not predictions:
        raise FileNotFoundError(f"no scenes in {data / 'val'}: shard_*.npy are expected")
    say(f"{len(predictions)} questions asked; embedding the candidates")
    sets = draw_scored(predictions, lambda texts: _encoded(engine, texts), seed)
    sets += _in_other_words(in_other_words, engine, seed)
    say(f"{len(sets)} sets of candidates; fitting")
    fitted = fit_calibration(sets)
    fitted = replace(fitted, decode_above=engine.config.calibration.decode_above)
    engine.close()
    file = folder / "config.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    raw["calibration"] = {**raw.get("calibration", {}), **asdict(fitted)}
    with atomic_write(file, "w") as out:
        out.write(json.dumps(raw, indent=1) + "\n")
    return fitted


def _in_other_words(
    asked: Sequence[tuple[Question, Floats]], engine: Engine, seed: int
) -> list[ScoredSet]:
    """Whole sets of candidates of such questions, equally many of each kind; few lack it."""
    by_kind: defaultdict[str, list[tuple[Question, Floats]]] = defaultdict(list)
    for question, vector in asked:
        by_kind[question.task].append((question, vector))
    rng = random.Random(seed)
    drawn = [pair for kind in sorted(by_kind) for pair in rng.choices(by_kind[kind], k=_PER_KIND)]
    texts = list(dict.fromkeys(text for question, _ in drawn for text in question.candidates))
    known = dict(zip(texts, _encoded(engine, texts), strict=True)) if texts else {}
    sets = []
    for question, vector in drawn:
        similarities = np.stack([known[text] for text in question.candidates]) @ vector
        right = question.keys.index(question.key)
        if len(similarities) > 2 and rng.random() < _LACKING:
            similarities, right = np.delete(similarities, right), -1
        sets.append(ScoredSet(similarities, right))
    return sets


def _predict(
    engine: Engine, split: Path, scenes: int, clips: int, seed: int
) -> tuple[list[tuple[Question, Floats]], list[tuple[Question, Floats]]]:
    """Questions about random clips, with the embeddings that the Predictor answers with.

    They are in trained wordings; about the first clip of each scene also in other words.
    """
    rng, entries = random.Random(seed), read_table(CALIBRATE)
    length = engine.config.clip_frames
    tokens: list[Floats] = []
    by_text: defaultdict[str, list[tuple[Question, int, bool]]] = defaultdict(list)
    shards = (zip(frames, records, strict=True) for frames, records in open_shards(split))
    for done, (video, raw) in enumerate(chain.from_iterable(shards), 1):
        if done == scenes + 1:
            break
        record = Record.from_dict(raw)
        ends = range(length - 1, len(record.states))
        lasts = sorted(rng.sample(ends, min(clips, len(ends))))
        cut = []
        for t in lasts:
            span = slice(t - length + 1, t + 1)
            video_clip = np.asarray(video[span])
            if rng.random() < _CHANGED:
                video_clip = _elsewhere(distract(video_clip, record.states[span], rng), rng)
            cut.append(Clip(video_clip, tuple(range(length))))
        encoded = engine.encode(cut, [None] * len(cut))
        for t, one in zip(lasts, encoded, strict=True):
            for question in ask(record, t, rng):
                if len(question.candidates) > 1:
                    by_text[question.text].append((question, len(tokens), True))
            if t == lasts[0]:
                for one_of in ask_in_own_words(entries, record, t, f"{seed} {done}"):
                    question = one_of.question
                    by_text[question.text].append((question, len(tokens), False))
            tokens.append(one.tokens)
        if done % 25 == 0:
            say(f"{done} scenes")
    predictions: list[tuple[Question, Floats]] = []
    in_other_words: list[tuple[Question, Floats]] = []
    for text, rows in by_text.items():
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            vectors = engine.embed([tokens[place] for _, place, _ in part], text)
            for (question, _, trained), vector in zip(part, vectors, strict=True):
                (predictions if trained else in_other_words).append((question, vector))
    return predictions, in_other_words


def _elsewhere(frames: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """The same clip [T, S, S, 3] through a slightly longer or shorter lens that points aside."""
    size = frames.shape[1]
    zoom = rng.uniform(1 - _ZOOM, 1 + _ZOOM)
    right, down = (rng.uniform(-_ASIDE, _ASIDE) * size for _ in range(2))
    middle = size / 2 * (1 - zoom)
    matrix = np.array([[zoom, 0, middle + right], [0, zoom, middle + down]], np.float32)
    return np.stack(
        [
            cv2.warpAffine(frame, matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101)
            for frame in frames
        ]
    ).astype(np.uint8, copy=False)


def _encoded(engine: Engine, texts: list[str]) -> Floats:
    parts = [engine.encode_text(texts[s : s + 256]) for s in range(0, len(texts), 256)]
    return np.concatenate(parts)


def folder_parser(
    command: str, description: str | None, splits: str, scenes: int, scenes_of: str
) -> argparse.ArgumentParser:
    """Options --model, --data, --scenes and --seed of `vljepa train COMMAND`.

    Args:
        command: COMMAND.
        description: of the command.
        splits: what must lie in the folder of --data.
        scenes: how many by default.
        scenes_of: what they are for.
    """
    parser = argparse.ArgumentParser(prog=f"vljepa train {command}", description=description)
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"has {splits}")
    parser.add_argument(
        "--scenes", type=int, default=scenes, help=f"{scenes_of} (default: {scenes})"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser


def say(text: str) -> None:
    """A line of progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def run_parsed(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    work: Callable[[argparse.Namespace, Path], object],
) -> int:
    """Do `work` with the arguments and the model folder, on one thread; returns the exit status."""
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        work(args, model_dir(args.model))
    except (ModelError, FileNotFoundError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train calibrate`."""
    parser = folder_parser("calibrate", __doc__, "val", 150, "of each split")
    parser.add_argument("--clips", type=int, default=6, help="of each scene (default: 6)")

    def work(args: argparse.Namespace, folder: Path) -> None:
        fitted = calibrate_folder(folder, args.data, args.scenes, args.clips, args.seed)
        print(f"{folder / 'config.json'}: {fitted}")

    return run_parsed(parser, argv, work)
