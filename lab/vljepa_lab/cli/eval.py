"""`vljepa eval`: quality of a model on held-out scenes of the simulated world."""

from __future__ import annotations

import argparse
import json
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vljepa_lab.cli import eval_events
from vljepa_lab.results import (
    print_result,
    print_written,
    provenance,
    show_progress,
    write_result,
)
from vljepa_ros.cli.options import CliError, CliUsageError, natural_number


def add(commands: Any) -> None:
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
        help="only these: labels, vqa, retrieval, captions, events, or single tasks (default: all "
        "but events)",
    )
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="default: auto")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a data set with test splits")
    parser.add_argument(
        "--scenes",
        type=natural_number,
        default=450,
        metavar="N",
        help="scenes of each test split, at most (default: 450; of test_b and val 150 are made)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the questions drawn (default: 0)")
    parser.add_argument(
        "--threads", type=natural_number, default=1, metavar="N", help="of the engine (default: 1)"
    )
    parser.add_argument(
        "--beside",
        metavar="NAME_OR_FOLDER",
        help="another version of the model, evaluated beside it as the reference of its parity",
    )
    parser.add_argument(
        "--beside-engine", default="auto", metavar="NAME", help="its engine (default: auto)"
    )
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
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object, no table"
    )
    eval_events.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    if args.data is not None and not args.data.is_dir():
        raise CliUsageError(f"--data {args.data}: no such folder")
    if "events" in args.tasks:
        return eval_events.run(args)
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
    if args.data is None and find_spec("mujoco") is None:
        raise CliError(
            "rendering the test scenes needs mujoco, which is not installed: "
            "pip install 'vljepa_lab[world]', or give a data set with --data"
        )
    return _evaluate(args, folder, tasks)


def _evaluate(args: argparse.Namespace, folder: Path, tasks: frozenset[str]) -> int:
    from vljepa_lab.evaluation.quality.compare_models import LEAST_CLIPS, compare, read_clips
    from vljepa_lab.evaluation.quality.evaluate import BLIND_SPLIT, evaluate
    from vljepa_lab.evaluation.quality.report import print_table, write_plots
    from vljepa_lab.evaluation.quality.scenes import cached_data
    from vljepa_lab.evaluation.quality.tasks import splits_of
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    blind = _blind_figures(args.blind, folder)
    start = time.monotonic()
    try:
        engine = load_engine(folder, args.engine, threads=args.threads)
        splits = (BLIND_SPLIT, *splits_of(tasks))
        needed = {s: min(args.scenes, 450 if s == "test_a" else 150) for s in splits}
        data = args.data or cached_data(needed, engine.config.input_size)
        with show_progress("scenes") as show:
            result, evaluation = evaluate(engine, data, args.scenes, tasks, args.seed, show, blind)
            if args.beside:
                other = load_engine(
                    model_dir(args.beside), args.beside_engine, threads=args.threads
                )
                figures, _ = evaluate(other, data, args.scenes, tasks, args.seed, show)
                clips = read_clips(data / "test_a", engine.config, LEAST_CLIPS)
                result["beside"] = compare(engine, other, figures, clips)
                result["beside"]["what"] = f"{args.beside_engine}, {other.info.precision}"
    except (ModelError, FileNotFoundError, ValueError) as error:
        raise CliError(str(error)) from error
    result["seconds"] = round(time.monotonic() - start, 1)
    result["run"] = provenance()
    if args.plots is not None:
        print_written(write_plots(evaluation, result, args.plots))
    if args.card:
        _write_card(folder, result)
    write_result(result, args.save)
    print_result(args, result, print_table)
    return 0


def _write_card(folder: Path, result: dict[str, Any]) -> None:
    from vljepa_lab.evaluation.quality.report import fill_card

    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
    card.write_text(fill_card(text, result), encoding="utf-8")
    print_written([card])


def _blind_figures(file: Path | None, folder: Path) -> dict[str, float]:
    """Accuracy by task of the Predictor trained blind; none where nobody trained one."""
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


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CliUsageError(f"{file}: not a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise CliUsageError(f"{file}: must hold a JSON object")
    return found
