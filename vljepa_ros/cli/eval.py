"""`vljepa eval`: quality of a model on held-out scenes of the simulated world."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vljepa_ros.cli import eval_events
from vljepa_ros.cli.arguments import natural_number
from vljepa_ros.cli.failure import CliError, CliUsageError

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "eval",
        help="measure a model's quality on held-out scenes",
        description="Measure a model on held-out scenes of the simulated world, through the engine "
        "that the nodes use. Progress goes to standard error.",
        epilog="Tasks are named in doc/cli.md. Without --data the test scenes are rendered first "
        "and kept in a cache (needs the extra [world]).",
    )
    parser.add_argument("tasks", metavar="TASK", nargs="*", help="only these tasks (default: all)")
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="default: auto")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a data set with test splits")
    parser.add_argument(
        "--scenes",
        type=natural_number,
        default=400,
        metavar="N",
        help="scenes of each test split (default: 400)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the questions drawn (default: 0)")
    parser.add_argument(
        "--threads", type=natural_number, default=1, metavar="N", help="of the engine (default: 1)"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots as PNG")
    parser.add_argument(
        "--card",
        action="store_true",
        help="write the result into the README.md of the model's folder",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON object, no table"
    )
    eval_events.add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    if "events" in args.tasks:
        return eval_events.run(args)
    if args.data is not None and not args.data.is_dir():
        raise CliUsageError(f"--data {args.data}: no such folder")
    from vljepa_ros.evaluation.tasks import TASKS

    unknown = sorted(set(args.tasks) - set(TASKS))
    if unknown:
        raise CliUsageError(f"unknown task {', '.join(unknown)}; tasks: {', '.join(TASKS)}")
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    try:
        folder = model_dir(args.model)
    except ModelError as error:
        raise CliUsageError(str(error)) from error
    if args.data is None and find_spec("mujoco") is None:
        raise CliError(
            "rendering the test scenes needs mujoco, which is not installed: "
            "pip install 'vljepa_ros[world]', or give a data set with --data"
        )
    return _evaluate(args, folder, frozenset(args.tasks or TASKS))


def _evaluate(args: argparse.Namespace, folder: Path, tasks: frozenset[str]) -> int:
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.evaluation.data import cached_data
    from vljepa_ros.evaluation.plots import write_plots
    from vljepa_ros.evaluation.provenance import provenance
    from vljepa_ros.evaluation.report import fill_card, print_table
    from vljepa_ros.evaluation.run_eval import BLIND_SPLIT, evaluate
    from vljepa_ros.evaluation.tasks import splits_of
    from vljepa_ros.models.config import ModelError

    try:
        engine = load_engine(folder, args.engine, threads=args.threads)
        needed = dict.fromkeys((BLIND_SPLIT, *splits_of(tasks)), args.scenes)
        data = args.data or cached_data(needed, engine.config.input_size)
        with _progress() as show:
            result, evaluation = evaluate(engine, data, args.scenes, tasks, args.seed, show)
    except (ModelError, FileNotFoundError, ValueError) as error:
        raise CliError(str(error)) from error
    result["run"] = provenance()
    if args.plots is not None:
        for path in write_plots(evaluation, result, args.plots):
            print(f"written: {path}", file=sys.stderr)
    if args.card:
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else f"# {folder.name}\n"
        card.write_text(fill_card(text, result), encoding="utf-8")
        print(f"written: {card}", file=sys.stderr)
    if args.save is not None:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(result))
    else:
        print_table(result, sys.stdout)
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Progress with the time left, on standard error: a bar on a terminal, a line now and then
    else."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        known: dict[str, TaskID] = {}

        def show(split: str, done: int, total: int) -> None:
            if not console.is_terminal:
                if done % 40 < 8 or done >= total:
                    print(f"{split}: {done} of {total} scenes", file=sys.stderr, flush=True)
                return
            if split not in known:
                known[split] = bar.add_task(split, total=total)
            bar.update(known[split], completed=done)

        yield show
