"""`vljepa train blind`: how far does the Predictor get when it is trained without seeing?

The same Predictor and text head, trained on the same questions with visual tokens zeroed; judged
on the questions of `vljepa eval`, which prints it as part of the blind baseline. Only its figures
are kept. Needs torch.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vljepa_lab.compare.comparison import open_model, open_scenes, questions_of, trainer_parser
from vljepa_lab.compare.heads import JepaHead, Setting, batches, train
from vljepa_lab.evaluation.quality.tasks import CLIP_TASKS
from vljepa_lab.results import provenance, write_result
from vljepa_lab.training.calibrate_folder import run_parsed, say
from vljepa_lab.training.model_folder_writer import trainable_parameters
from vljepa_lab.world.questions import Question
from vljepa_ros.files import JsonObject


def train_blind(
    folder: Path,
    data: Path,
    scenes: int,
    tested: int,
    setting: Setting,
    tasks: Sequence[str] = CLIP_TASKS,
    texts: Path | None = None,
) -> JsonObject:
    """Train and judge: accuracy by task.

    Args:
        folder: model folder whose sizes and text trunk are used.
        data: folder with the split `train` and the test splits.
        scenes: to train on, at most.
        tested: of each test split, at most.
        setting: of the training.
        tasks: to be asked.
        texts: see `open_model`.

    Raises:
        FileNotFoundError: no training scenes.
    """
    model, table = open_model(folder, texts)
    trained_on = open_scenes(data, "train", scenes)
    torch.manual_seed(setting.seed)
    head = JepaHead(model, table, slots=model.architecture.predictor.slots, blind=True)
    sizes = model.architecture
    windows = len(trained_on[0].frames)
    nothing = torch.zeros(1, 1, sizes.frame.grid**2, sizes.window.dim, dtype=torch.float16)
    tokens = nothing.expand(len(trained_on), windows, -1, -1)
    seconds = train({"blind": head}, batches(trained_on, tokens, table, setting), setting, say)
    head.module.eval()
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for split in ("test_a", "test_b"):
        if not any((data / split).glob("shard_*.jsonl")):
            continue
        by_words: defaultdict[str, list[Question]] = defaultdict(list)
        for _, _, _, question in questions_of(data, split, tested, frozenset(tasks)):
            by_words[question.text].append(question)
        say(f"{split}: {len(by_words)} different questions")
        for questions in by_words.values():
            answered = head.right(nothing[0, 0].float(), questions)
            for question, good in zip(questions, answered, strict=True):
                right[question.task].append(good)
    return {
        "tasks": {task: round(float(np.mean(rows)), 4) for task, rows in sorted(right.items())},
        "n": {task: len(rows) for task, rows in sorted(right.items())},
        "parameters": trainable_parameters(head.module),
        "setting": vars(setting) | {"scenes": len(trained_on), "tested": tested},
        "training_cpu_seconds": round(seconds["blind"], 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train blind`."""
    parser = trainer_parser("blind", __doc__, "train and the tests", 300, 450, 400)
    parser.add_argument("--save", type=Path, metavar="FILE", help="default: blind.json of --model")

    def work(args: argparse.Namespace, folder: Path) -> None:
        setting = Setting(steps=args.steps, seed=args.seed)
        result = train_blind(folder, args.data, args.scenes, args.tested, setting, texts=args.texts)
        result["run"] = provenance()
        file = args.save or folder / "blind.json"
        write_result(result, file, indent=1)
        print(f"written: {file}")
        for task, accuracy in result["tasks"].items():
            print(f"{task:24} {accuracy:.3f}")

    return run_parsed(parser, argv, work)
