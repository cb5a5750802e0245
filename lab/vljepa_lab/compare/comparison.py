"""`vljepa train comparison`: VL-JEPA against a head that writes words, everything else being equal.

Same X-Encoder (that of a model folder, fixed), same data, steps and batches; the writing head has
twice the trainable parameters. With --attentions also the three ways in which the Predictor may
attend to visual tokens. Needs torch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vljepa_lab.compare.heads import (
    GeneratingSizes,
    Head,
    JepaHead,
    Setting,
    WritingHead,
    batches,
    train,
)
from vljepa_lab.evaluation.bootstrap import scene_bootstrap
from vljepa_lab.evaluation.quality.scenes import records_of
from vljepa_lab.evaluation.quality.tasks import VQA_TASKS, draw
from vljepa_lab.results import provenance, write_result
from vljepa_lab.training.calibrate_folder import folder_parser, run_parsed, say
from vljepa_lab.training.model_folder_writer import trainable_parameters
from vljepa_lab.training.predictions import clip_tokens
from vljepa_lab.training.store import Scene, SceneStore
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.questions import Question
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.files import JsonObject
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import TextTokenizer
from vljepa_ros.models.vl_jepa.nano_weights import load_model

TIMED_ANSWERS = 200

SceneQuestion = tuple[int, str, int, Question]
"""Number of the scene, its name, frame at which the clip ends, and what is asked."""


def open_model(folder: Path, texts: Path | None = None) -> tuple[VLJEPA, TextTable]:
    """A model folder in torch, and the outputs of its text trunk.

    Args:
        folder: of the model.
        texts: where such outputs are kept from one call to the next; of the same trunk only.

    Raises:
        ModelError: not a folder of nano's form.
    """
    config = load_config(folder)
    config.verify()
    model = load_model(config.path("weights"), Architecture.from_dict(config.architecture))
    table = TextTable(model.text_trunk, TextTokenizer(config.path("tokenizer")))
    if texts is not None:
        table.load(texts)
    return model, table


def tokens_of(model: VLJEPA, scenes: Sequence[Scene]) -> Tensor:
    """Visual tokens of each clip of each scene: [scenes, windows, N, D] float16."""
    tokens = []
    for number, scene in enumerate(scenes):
        lasts = list(range(CLIP_FRAMES - 1, len(scene.frames)))
        tokens.append(clip_tokens(model, scene, lasts).half())
        if (number + 1) % 50 == 0:
            say(f"{number + 1} of {len(scenes)} scenes encoded")
    return torch.stack(tokens)


def questions_of(
    data: Path, split: str, scenes: int, tasks: frozenset[str], seed: int = 0
) -> Iterator[SceneQuestion]:
    """What `vljepa eval` asks; `Question.task` is the name in the report."""
    for number, (record, scene) in enumerate(records_of(data, split, scenes)):
        for t, question in draw(record, scene, seed, tasks):
            yield number, scene, t, question


def _evaluate(
    heads: dict[str, Head], tokens: Tensor, asked: list[SceneQuestion]
) -> dict[str, JsonObject]:
    by_clip: defaultdict[tuple[int, str, int], list[Question]] = defaultdict(list)
    for number, scene, t, question in asked:
        by_clip[number, scene, t].append(question)
    judged = {}
    for name, head in heads.items():
        right: defaultdict[str, list[bool]] = defaultdict(list)
        scenes: list[str] = []
        every: list[bool] = []
        for (number, scene, t), questions in by_clip.items():
            seen = tokens[number, t - CLIP_FRAMES + 1].float()
            for question, good in zip(questions, head.right(seen, questions), strict=True):
                right[question.task].append(good)
                every.append(good)
                scenes.append(scene)
        tasks = {task: round(float(np.mean(rows)), 4) for task, rows in sorted(right.items())}
        estimate = scene_bootstrap(every, scenes)
        judged[name] = {
            "tasks": tasks,
            "macro_vqa": round(float(np.mean(list(tasks.values()))), 4),
            "accuracy": round(estimate.value, 4),
            "ci": [round(estimate.low, 4), round(estimate.high, 4)],
        }
        say(f"{name}: macro {judged[name]['macro_vqa']}")
    return judged


def _times(heads: dict[str, Head], tokens: Tensor, asked: list[SceneQuestion]) -> dict[str, float]:
    """Median milliseconds of one answer, one question at a time; heads take turns."""
    chosen = asked[:: max(1, len(asked) // TIMED_ANSWERS)][:TIMED_ANSWERS]
    took: dict[str, list[float]] = {name: [] for name in heads}
    for number, _, t, question in chosen:
        seen = tokens[number, t - CLIP_FRAMES + 1].float()
        for name, head in heads.items():
            begin = time.perf_counter()
            head.answer(seen, question)
            took[name].append(1e3 * (time.perf_counter() - begin))
    return {name: round(statistics.median(values), 3) for name, values in took.items()}


def _heads(model: VLJEPA, table: TextTable, attentions: bool, seed: int) -> dict[str, Head]:
    torch.manual_seed(seed)
    heads: dict[str, Head] = {
        "VL-JEPA": JepaHead(model, table),
        "VL-JEPA with object slots": JepaHead(model, table, slots=2),
        "writing head": WritingHead(model, table, GeneratingSizes()),
    }
    if attentions:
        heads["VL-JEPA, prefix"] = JepaHead(model, table, "prefix")
        heads["VL-JEPA, joint"] = JepaHead(model, table, "joint")
    return heads


def open_scenes(data: Path, split: str, scenes: int) -> list[Scene]:
    """The first scenes of a split.

    Raises:
        FileNotFoundError: there are none.
    """
    store = SceneStore([data / split], scenes)
    store.refresh()
    if not store.scenes:
        raise FileNotFoundError(f"no scenes in {data / split}")
    return store.scenes


def compare(
    folder: Path,
    data: Path,
    scenes: int,
    tested: int,
    setting: Setting,
    attentions: bool,
    tasks: Sequence[str] = VQA_TASKS,
    texts: Path | None = None,
) -> JsonObject:
    """Train and judge; a JSON object with a row for each head.

    Args:
        folder: model whose X-Encoder and text trunk are used.
        data: folder with the splits `train` and `test_a`.
        scenes: to train on, at most.
        tested: to test on, at most.
        setting: of the training.
        attentions: also train the Predictor with its other ways of attending.
        tasks: to be asked.
        texts: see `open_model`.

    Raises:
        FileNotFoundError: no scenes to train or to test on.
    """
    model, table = open_model(folder, texts)
    trained_on = open_scenes(data, "train", scenes)
    held_out = open_scenes(data, "test_a", tested)
    heads = _heads(model, table, attentions, setting.seed)
    stream = batches(trained_on, tokens_of(model, trained_on), table, setting)
    seconds = train(heads, stream, setting, say)
    for head in heads.values():
        head.module.eval()
    tokens = tokens_of(model, held_out)
    asked = list(questions_of(data, "test_a", tested, frozenset(tasks)))
    times = _times(heads, tokens, asked)
    judged = _evaluate(heads, tokens, asked)
    return {
        "model_id": load_config(folder).model_id,
        "setting": vars(setting) | {"scenes": len(trained_on), "tested": len(held_out)},
        "questions": len(asked),
        "heads": {
            name: {
                "parameters": trainable_parameters(head.module),
                "ms_per_answer": times[name],
                "training_cpu_seconds": round(seconds[name], 1),
                **judged[name],
            }
            for name, head in heads.items()
        },
    }


def table_of(result: JsonObject) -> str:
    """The Markdown table of a comparison."""
    lines = [
        "| head | trainable parameters | accuracy, all questions | macro over tasks | ms an answer "
        "| training, CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result["heads"].items():
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.2f} M | {row['accuracy']:.3f} "
            f"({row['ci'][0]:.3f} to {row['ci'][1]:.3f}) | {row['macro_vqa']:.3f} | "
            f"{row['ms_per_answer']:.1f} | {row['training_cpu_seconds']:.0f} |"
        )
    names = list(result["heads"])
    tasks = sorted({task for row in result["heads"].values() for task in row["tasks"]})
    lines += ["", "| task | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for task in tasks:
        cells = [f"{result['heads'][name]['tasks'].get(task, 0.0):.2f}" for name in names]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def trainer_parser(
    command: str, description: str | None, splits: str, scenes: int, tested: int, steps: int
) -> argparse.ArgumentParser:
    """Options that `vljepa train comparison` and `blind` share; see `folder_parser`."""
    parser = folder_parser(command, description, splits, scenes, "to train on")
    parser.add_argument(
        "--tested", type=int, default=tested, help=f"scenes of each test split (default: {tested})"
    )
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--texts", type=Path, metavar="FILE", help="texts.pt of the model's run")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train comparison`."""
    parser = trainer_parser("comparison", __doc__, "train and test_a", 600, 60, Setting().steps)
    parser.add_argument(
        "--attentions", action="store_true", help="the Predictor with prefix and joint as well"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON")

    def work(args: argparse.Namespace, folder: Path) -> None:
        setting = Setting(steps=args.steps, seed=args.seed)
        result = compare(
            folder, args.data, args.scenes, args.tested, setting, args.attentions, texts=args.texts
        )
        result["run"] = provenance()
        write_result(result, args.save, indent=1)
        print(table_of(result))

    return run_parsed(parser, argv, work)
