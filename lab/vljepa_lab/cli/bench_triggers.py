"""`vljepa bench triggers`: what hundreds of triggers cost for each embedding, and how right they
are on the shipped clip."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.result_file import write_result
from vljepa_ros.cli.arguments import natural_number
from vljepa_ros.cli.failure import CliError, CliUsageError


def add(benches: Any) -> None:
    """Add the subcommand of `vljepa bench`."""
    parser = benches.add_parser(
        "triggers",
        help="cost of semantic triggers for each embedding, and how right they are",
        description="Compare embeddings of 256 and 1536 numbers with 10 to 1000 triggers, changes "
        "of scene among them; a few seconds on one core. With --clip, also watch the model's demo "
        "clip with its vocabulary as triggers.",
    )
    parser.add_argument(
        "--samples",
        type=natural_number,
        default=2000,
        metavar="N",
        help="embeddings for each figure (default: 2000)",
    )
    parser.add_argument("--clip", action="store_true", help="watch the demo clip, too")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw that; goes with --clip")
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from vljepa_lab.evaluation.bench_triggers import bench_triggers
    from vljepa_lab.evaluation.provenance import provenance

    if args.plot is not None and not args.clip:
        raise CliUsageError("--plot shows the demo clip: give --clip, too")
    result = bench_triggers(samples=args.samples)
    if args.clip:
        result["clip"] = _clip(args)
    result["run"] = provenance()
    write_result(result, args.save)
    if args.json:
        print(json.dumps(result))
        return 0
    for dim, by_number in result["observe_ms"].items():
        for number, times in by_number.items():
            print(
                f"{number:>5} triggers of {dim:>4}-d  {1000 * times['median']:8.1f} us median  "
                f"{1000 * times['p99']:8.1f} us p99"
            )
    for name, values in result.get("clip", {}).items():
        print(f"{name:<20}  {values}")
    return 0


def _clip(args: argparse.Namespace) -> dict[str, Any]:
    from vljepa_lab.evaluation.trigger_plot import plot_triggers
    from vljepa_lab.evaluation.trigger_replay import measures, replay
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import model_dir

    try:
        folder = model_dir(args.model)
        engine = load_engine(folder)
        found = replay(engine, folder / "demo")
    except (ModelError, FileNotFoundError) as error:
        raise CliError(str(error)) from error
    engine.close()
    if args.plot is not None:
        plot_triggers(found, args.plot)
    actions = next(iter(engine.config.vocabulary.values()), ())
    return {"model_id": engine.config.model_id, **measures(found, actions)}
