"""`vljepa bench bags`: bags of the simulated world into the memory, and found again by text."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.result_file import write_result
from vljepa_ros.cli.arguments import natural_number, positive_seconds
from vljepa_ros.cli.failure import CliError, CliUsageError
from vljepa_ros.cli.memory_place import add_model_options, load_model, reported


def add(benches: Any) -> None:
    """Add the subcommand of `vljepa bench`."""
    parser = benches.add_parser(
        "bags",
        help="share of texts whose moment is found in indexed bags, and speed of indexing",
        description="Make bags of the test world (sqlite3 and mcap, raw and JPEG), index them, and "
        "look for the texts of `vljepa eval retrieval`, beside that task itself on the same "
        "scenes; then index a 640x480 camera of 10 fps in each format.",
    )
    add_model_options(parser)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="a data set with the splits test_a and val (default: rendered, see `vljepa eval`)",
    )
    parser.add_argument(
        "--scenes", type=natural_number, default=400, metavar="N", help="default: 400"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments drawn (default: 0)")
    parser.add_argument(
        "--seconds",
        type=positive_seconds,
        default=60.0,
        metavar="S",
        help="of each bag whose indexing is timed (default: 60)",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=reported(_run))


def _run(args: argparse.Namespace) -> int:
    from vljepa_lab.evaluation.bench_bags import bag_retrieval, bag_speed
    from vljepa_lab.evaluation.provenance import provenance
    from vljepa_lab.evaluation.quality.scenes import cached_data
    from vljepa_ros.resources import model_dir

    if args.data is not None and not args.data.is_dir():
        raise CliUsageError(f"--data {args.data}: no such folder")
    engine = load_model(args)
    try:
        clip = model_dir(args.model) / "demo" / "clip.mp4"
        result = {"speed": bag_speed(engine, clip, args.seconds, _note)}
        needed = {"test_a": args.scenes, "val": args.scenes}
        data = args.data or cached_data(needed, engine.config.input_size)
        result["find"] = bag_retrieval(engine, data, args.scenes, args.seed, _note)
    except (FileNotFoundError, ValueError) as error:
        raise CliError(str(error)) from error
    result |= {"model_id": engine.config.model_id, "run": provenance()}
    write_result(result, args.save)
    print(json.dumps(result, indent=None if args.json else 2))
    return 0


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
