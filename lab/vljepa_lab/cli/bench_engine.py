"""`vljepa bench engine`: speed and parity of every engine of a model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.result_file import write_result
from vljepa_ros.cli.arguments import natural_number
from vljepa_ros.cli.failure import CliError


def add(benches: Any) -> None:
    """Add the subcommand of `vljepa bench`."""
    parser = benches.add_parser(
        "engine",
        help="ms per clip and part of every engine, ratio to torch eager, parity",
        description="Every engine of a model in one run, alternating. The ratio is torch "
        "eager's time "
        "in fp32 over the engine's. With --random-weights a full-sized VL-JEPA is measured "
        "without a "
        "checkpoint; --tiny makes it small enough for any CPU.",
    )
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument(
        "--engines",
        type=_names,
        metavar="LIST",
        help="for example onnxruntime,torch:bf16 (default: every one that can run)",
    )
    parser.add_argument("--random-weights", action="store_true", help="with --model full only")
    parser.add_argument("--tiny", action="store_true", help="small sizes, with --random-weights")
    for name, default in (("frames", ()), ("queries", (1,)), ("batch", (1, 2, 4, 8))):
        parser.add_argument(
            f"--{name}", type=_numbers, default=default, metavar="LIST", help="for example 1,8"
        )
    parser.add_argument(
        "--samples", type=natural_number, default=200, metavar="N", help="of each figure"
    )
    parser.add_argument(
        "--threads", type=natural_number, default=1, metavar="N", help="CPU threads (default: 1)"
    )
    parser.add_argument(
        "--clips",
        type=Path,
        metavar="DIR",
        help="real clips for the parity: a video, a folder of videos, or shards of scenes "
        "(default: the model's demo video)",
    )
    parser.add_argument(
        "--parity-clips", type=natural_number, default=320, metavar="N", help="default: 320"
    )
    parser.add_argument(
        "--int8",
        type=Path,
        metavar="FOLDER",
        help="the same model in int8, of `vljepa export --precision int8`, beside the others",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from vljepa_lab.evaluation.provenance import provenance
    from vljepa_ros.models.config import ModelError

    try:
        from vljepa_lab.evaluation.bench_engine import BenchSettings, bench_engine
        from vljepa_lab.evaluation.engine_loaders import engines_here, loader
        from vljepa_lab.evaluation.engine_table import table
        from vljepa_lab.evaluation.real_clips import read_clips

        config, load = loader(args.model, args.random_weights, args.tiny, args.threads, args.int8)
        engines = args.engines or engines_here(config, args.int8)
        settings = BenchSettings(
            engines, args.frames, args.queries, args.batch, args.samples, args.threads
        )
        place = args.clips or config.folder / "demo" / "clip.mp4"
        known = args.clips is not None or place.is_file()
        clips = read_clips(place, config, args.parity_clips) if known else None
        result = bench_engine(config, load, settings, _note, clips) | {"run": provenance()}
    except ModelError as error:
        raise CliError(str(error)) from error
    except ImportError as error:
        raise CliError(f"{error.name} is not installed: pip install {error.name}") from error
    write_result(result, args.save)
    print(json.dumps(result) if args.json else table(result))
    return 0


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = (0,)
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: numbers from 1 up, as 1,8")
    return values
