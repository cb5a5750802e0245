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
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.own_words import OwnWordsAnswer, ask_entries
from vljepa_lab.evaluation.quality.scenes import encode_scenes, scenes_of
from vljepa_lab.evaluation.quality.vqa import Answerer
from vljepa_lab.training.augmentation import distract
from vljepa_lab.training.calibration import ScoredSet, draw_scored, fit_calibration
from vljepa_lab.world.dataset import open_shards
from vljepa_lab.world.own_words import CALIBRATE, read_table
from vljepa_lab.world.questions import Question, ask
from vljepa_lab.world.records import Record
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.models.config import Calibration, ModelError
from vljepa_ros.resources import model_dir

Floats = NDArray[np.float32]
_BATCH = 32
_TOGETHER = 8  # scenes through the X-Encoder
_PER_KIND = 1000  # sets of candidates of questions in other words
_CHANGED, _ZOOM, _ASIDE = 2 / 3, 0.1, 0.04


def calibrate_folder(
    folder: Path, data: Path, scenes: int = 150, clips: int = 6, seed: int = 0
) -> Calibration:
    """Fit on the validation scenes in `data/val` (and `data/val_furnished`, where there are any)
    and write the result into `folder`.

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
    predictions = [
        row
        for split in ("val", "val_furnished")
        for row in _predict(engine, data / split, scenes, clips, seed)
    ]
    if not predictions:
        raise FileNotFoundError(f"no scenes in {data / 'val'}: shard_*.npy are expected")
    say(f"{len(predictions)} questions asked; embedding the candidates")
    sets = draw_scored(predictions, lambda texts: _encoded(engine, texts), seed)
    sets += _in_other_words(engine, data, scenes, seed)
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


def _in_other_words(engine: Engine, data: Path, scenes: int, seed: int) -> list[ScoredSet]:
    """Answers to the questions of the table to calibrate with, equally many of each kind."""
    entries, answerer = read_table(CALIBRATE), Answerer(engine)
    by_kind: defaultdict[str, list[OwnWordsAnswer]] = defaultdict(list)
    for split in ("val", "val_furnished"):
        if not (data / split).is_dir():
            continue
        videos = scenes_of(data, split, scenes)
        while some := list(islice(videos, _TOGETHER)):
            encoded = zip(some, encode_scenes(engine, some), strict=True)
            for answer in ask_entries(answerer, entries, list(encoded), seed):
                if answer.entry is not None:
                    by_kind[answer.kind].append(answer)
    rng = random.Random(seed)
    drawn = [a for kind in sorted(by_kind) for a in rng.choices(by_kind[kind], k=_PER_KIND)]
    return [ScoredSet(a.similarities, a.question.keys.index(a.question.key)) for a in drawn]


def _predict(
    engine: Engine, split: Path, scenes: int, clips: int, seed: int
) -> list[tuple[Question, Floats]]:
    """Questions about random clips with the embeddings that the Predictor answers with."""
    rng = random.Random(seed)
    length = engine.config.clip_frames
    tokens: list[Floats] = []
    by_text: defaultdict[str, list[tuple[Question, int]]] = defaultdict(list)
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
                    by_text[question.text].append((question, len(tokens)))
            tokens.append(one.tokens)
        if done % 25 == 0:
            say(f"{done} scenes")
    predictions = []
    for text, rows in by_text.items():
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            vectors = engine.embed([tokens[place] for _, place in part], text)
            predictions += [(question, v) for (question, _), v in zip(part, vectors, strict=True)]
    return predictions


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
