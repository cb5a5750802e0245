"""`vljepa eval events`: when to decode. Detectors of change against uniform decoding and Ward."""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from vljepa_lab.results import (
    print_result,
    print_written,
    provenance,
    show_progress,
    write_result,
)
from vljepa_ros.cli.options import CliError, CliUsageError, natural_number


def add_options(parser: Any) -> None:
    """Add the options that only `vljepa eval events` has."""
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


def run(args: argparse.Namespace) -> int:
    """Judge and print."""
    if args.tasks != ["events"]:
        raise CliUsageError("`events` is judged alone, without other tasks")
    if args.world and args.synthetic_only:
        raise CliUsageError("--world and --synthetic-only exclude each other")
    if find_spec("sklearn") is None:
        raise CliError(
            "offline Ward needs scikit-learn, which is not installed: "
            "pip install 'vljepa_lab[eval]'"
        )
    if not args.synthetic_only and find_spec("mujoco") is None:
        raise CliError(
            "streams of the world need mujoco, which is not installed: "
            "pip install 'vljepa_lab[world]', or take --synthetic-only"
        )
    from vljepa_lab.evaluation.change.report import print_table, write_plots
    from vljepa_lab.evaluation.change.run import EventsConfig
    from vljepa_lab.evaluation.change.run import run as judge
    from vljepa_lab.world.renderer import WorldError
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    given = {
        name: getattr(args, name)
        for name in ("streams", "hours", "workers")
        if getattr(args, name) is not None
    }
    try:
        config = EventsConfig(
            world=not args.synthetic_only,
            synthetic=not args.world,
            seed=args.seed,
            engine=args.engine,
        )
        config = replace(config, **given)
        if config.world:
            config = replace(config, model=model_dir(args.model))
    except (ModelError, ValueError) as error:
        raise CliUsageError(str(error)) from error
    try:
        with show_progress() as show:
            result = judge(config, show)
    except (ModelError, WorldError) as error:
        raise CliError(str(error)) from error
    result["run"] = provenance()
    if args.plots is not None:
        print_written(write_plots(result, args.plots))
    write_result(result, args.save, indent=1)
    print_result(args, result, print_table)
    return 0
