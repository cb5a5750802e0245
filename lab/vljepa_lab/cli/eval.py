"""`vljepa eval`: quality of a model on held-out scenes of the simulated world.

`vljepa eval events` judges when to decode: detectors of change against uniform decoding and Ward.
`vljepa eval real` judges any model on real pictures and clips.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from vljepa_lab.results import (
    add_result_options,
    print_written,
    publish_result,
    show_progress,
)
from vljepa_ros.cli.options import (
    CliError,
    CliUsageError,
    Commands,
    add_model_options,
    add_number_option,
    natural_number,
)
from vljepa_ros.files import JsonObject
from vljepa_ros.resources import NANO


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "eval",
        help="measure a model's quality on held-out scenes",
        description="Measure a model on held-out scenes of the simulated world, through the engine "
        "that the nodes use. Progress goes to standard error.",
        epilog="Tasks and fields are named in doc/evaluation.md. Without --data the test scenes "
        "are rendered first and kept in a cache (needs the extra [world]).",
    )
    parser.add_argument(
        "tasks",
        metavar="TASK",
        nargs="*",
        help="only these: labels, vqa, retrieval, captions, or single tasks (default: all of "
        "these); or events, or real",
    )
    add_model_options(parser, NANO)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a data set with test splits")
    parser.add_argument(
        "--scenes",
        type=natural_number,
        default=450,
        metavar="N",
        help="scenes of each test split, at most (default: 450; of test_b and val 150 are made)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the questions drawn (default: 0)")
    add_number_option(parser, "--threads", 1, "of the engine", natural_number, "N")
    parser.add_argument(
        "--blind",
        type=Path,
        metavar="FILE",
        help="figures of a Predictor trained blind (default: blind.json of the model, or of nano)",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots as PNG")
    parser.add_argument(
        "--card",
        action="store_true",
        help="write the result into the README.md of the model's folder",
    )
    parser.add_argument(
        "--card-from",
        type=Path,
        metavar="FILE",
        help="evaluate nothing: write the card from what --save wrote",
    )
    add_result_options(parser)
    _add_events_options(parser)
    _add_real_options(parser)
    parser.set_defaults(run=run)


def _add_events_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "options of `vljepa eval events`",
        "Judges detectors of change on streams of the simulated world, embedded by the model, and "
        "on synthetic ones; --seed is the number of the first stream. Frames and embeddings are "
        "kept in the cache: an interrupted run goes on where it was.",
    )
    group.add_argument(
        "--streams", type=natural_number, metavar="N", help="of each set (default: 12)"
    )
    group.add_argument(
        "--sets", nargs="+", metavar="SET", help="gap3.perturbed for instance (default: all six)"
    )
    group.add_argument(
        "--hours",
        type=float,
        metavar="H",
        help="of quiet stream for false alarms, over 24 scenes; a quarter of it is perturbed as "
        "well (default: 24; 0: none)",
    )
    group.add_argument(
        "--workers",
        type=natural_number,
        metavar="N",
        help="processes that render, embed and judge (default: 1)",
    )
    group.add_argument("--world", action="store_true", help="only streams of the world")
    group.add_argument("--synthetic-only", action="store_true", help="only synthetic streams")


def _add_real_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "options of `vljepa eval real`",
        "Judges a model on real pictures, questions and clips, whose truth was written before any "
        "model saw them. They are fetched into the cache by pip, npm and apt-get; what cannot be "
        "had is named and left out.",
    )
    group.add_argument(
        "--half",
        choices=("choose", "report"),
        default="report",
        help="of the pictures: settings are chosen on one, figures are those of the other "
        "(default: report)",
    )
    group.add_argument(
        "--clones",
        type=Path,
        metavar="DIR",
        help="with clones of the public repositories of evaluation/real/sources.yaml (DIR/NAME or "
        "DIR/OWNER/NAME); without it their pictures are left out",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    if args.data is not None and not args.data.is_dir():
        raise CliUsageError(f"--data {args.data}: no such folder")
    if "events" in args.tasks:
        return _judge_events(args)
    if "real" in args.tasks:
        return _judge_real(args)
    from vljepa_lab.evaluation.quality.tasks import wanted_tasks
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    try:
        tasks = wanted_tasks(args.tasks)
        folder = model_dir(args.model)
    except (ModelError, ValueError) as error:
        raise CliUsageError(str(error)) from error
    if args.card_from is not None:
        _write_card(folder, _read_json(args.card_from))
        return 0
    if args.data is None:
        otherwise = ", or give a data set with --data"
        _require("mujoco", "rendering the test scenes needs", "world", otherwise)
    return _evaluate(args, folder, tasks)


def _evaluate(args: argparse.Namespace, folder: Path, tasks: frozenset[str]) -> int:
    from vljepa_lab.evaluation.quality.evaluate import BLIND_SPLIT, evaluate
    from vljepa_lab.evaluation.quality.report import print_table, write_plots
    from vljepa_lab.evaluation.quality.scenes import cached_data
    from vljepa_lab.evaluation.quality.tasks import splits_of
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError

    blind = _blind_figures(args.blind, folder)
    start = time.monotonic()
    try:
        engine = load_engine(folder, args.engine, threads=args.threads)
        splits = (BLIND_SPLIT, *splits_of(tasks))
        needed = {s: min(args.scenes, 450 if s == "test_a" else 150) for s in splits}
        data = args.data or cached_data(needed, engine.config.input_size)
        with show_progress("scenes") as show:
            result, evaluation = evaluate(engine, data, args.scenes, tasks, args.seed, show, blind)
    except (ModelError, FileNotFoundError, ValueError) as error:
        raise CliError(str(error)) from error
    result["seconds"] = round(time.monotonic() - start, 1)
    publish_result(args, result, print_table, partial(write_plots, evaluation))
    if args.card:
        _write_card(folder, result)
    return 0


def _judge_events(args: argparse.Namespace) -> int:
    if args.tasks != ["events"]:
        raise CliUsageError("`events` is judged alone, without other tasks")
    if args.world and args.synthetic_only:
        raise CliUsageError("--world and --synthetic-only exclude each other")
    _require("sklearn", "offline Ward needs", "eval")
    if not args.synthetic_only:
        _require("mujoco", "streams of the world need", "world", ", or take --synthetic-only")
    from vljepa_lab.evaluation.change.report import print_table, write_plots
    from vljepa_lab.evaluation.change.run import SET_NAMES, EventsConfig
    from vljepa_lab.evaluation.change.run import run as judge
    from vljepa_lab.world.renderer import WorldError
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    names = ("sets", "streams", "hours", "workers", "seed", "engine")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    try:
        if not args.synthetic_only:
            given["model"] = model_dir(args.model)
        given["sets"] = tuple(given.get("sets", SET_NAMES))
        config = EventsConfig(world=not args.synthetic_only, synthetic=not args.world, **given)
    except (ModelError, ValueError) as error:
        raise CliUsageError(str(error)) from error
    try:
        with show_progress() as show:
            result = judge(config, show)
    except (ModelError, WorldError) as error:
        raise CliError(str(error)) from error
    publish_result(args, result, print_table, write_plots, indent=1)
    return 0


def _judge_real(args: argparse.Namespace) -> int:
    if args.tasks != ["real"]:
        raise CliUsageError("`real` is judged alone, without other tasks")
    if args.clones is not None and not args.clones.is_dir():
        raise CliUsageError(f"--clones {args.clones}: no such folder")
    from vljepa_lab.evaluation.real.report import print_table
    from vljepa_lab.evaluation.real.run import evaluate
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    try:
        engine = load_engine(model_dir(args.model), args.engine, threads=args.threads)
        with show_progress() as show:
            result = evaluate(engine, args.half, args.clones, show)
    except (ModelError, ValueError) as error:
        raise CliError(str(error)) from error
    publish_result(args, result, print_table, lambda result, folder: [])
    return 0


def _require(package: str, what: str, extra: str, otherwise: str = "") -> None:
    """Raise CliError where an optional package is missing."""
    if find_spec(package) is None:
        name = {"sklearn": "scikit-learn"}.get(package, package)
        raise CliError(
            f"{what} {name}, which is not installed: pip install 'vljepa_lab[{extra}]'{otherwise}"
        )


def _write_card(folder: Path, result: JsonObject) -> None:
    from vljepa_lab.evaluation.quality.report import fill_card

    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    card.write_text(fill_card(text, result), encoding="utf-8")
    print_written([card])


def _blind_figures(file: Path | None, folder: Path) -> dict[str, float]:
    """Accuracy by task of the Predictor trained blind; none where there is none."""
    from vljepa_ros.resources import share_dir

    if file is None:
        places = (folder / "blind.json", share_dir() / "models" / "nano" / "blind.json")
        file = next((place for place in places if place.is_file()), None)
    if file is None:
        return {}
    try:
        return {str(name): float(value) for name, value in _read_json(file)["tasks"].items()}
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CliUsageError(f"--blind {file}: not what blind training wrote: {error}") from error


def _read_json(file: Path) -> JsonObject:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CliUsageError(f"{file}: not a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise CliUsageError(f"{file}: must hold a JSON object")
    return found
