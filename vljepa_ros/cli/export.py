"""`vljepa export`: a model's parts as ONNX graphs, compared with torch; the nano model in int8."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli.arguments import natural_number
from vljepa_ros.cli.engine_report import in_one_line, note, run_into_cache
from vljepa_ros.cli.failure import CliError

if TYPE_CHECKING:
    from vljepa_ros.models.config import ModelConfig

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="export a model to ONNX, or to int8",
        description="Write a model's parts as ONNX graphs into the engine cache, after they "
        "have been "
        "compared with torch in fp32; `engine:=onnxruntime` then finds them. With --precision int8 "
        "a model of nano's form is quantised on real clips and written as a model folder, if it is "
        "near enough to fp32 on other clips.",
    )
    parser.add_argument("model", metavar="MODEL", help="model folder, or hub id that was fetched")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16", "int8"),
        default="fp32",
        help="precision inside of the graphs (default: fp32)",
    )
    int8 = parser.add_argument_group("int8")
    int8.add_argument("--out", type=Path, metavar="FOLDER", help="model folder to make")
    int8.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="real clips: a video, a folder of videos, or shards of scenes",
    )
    int8.add_argument(
        "--clips",
        type=natural_number,
        default=384,
        metavar="N",
        help="of which 64 set the ranges and all others are compared (default: 384)",
    )
    int8.add_argument(
        "--graphs",
        default="predictor",
        metavar="LIST",
        help="of frame, window, predictor: to quantise (default: predictor)",
    )
    int8.add_argument(
        "--refused-too",
        action="store_true",
        help="write the folder even if it is not near enough to fp32, for measuring",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare, keep."""
    if args.precision == "int8":
        return in_one_line(lambda: _int8(args))
    if args.out is not None or args.calibration is not None:
        raise CliError("--out and --calibration go with --precision int8 only")

    def make(config: ModelConfig, cache: Any) -> Any:
        from vljepa_ros.engines.export_model import export_model

        return export_model(config, cache, args.precision, note)

    return run_into_cache(args.model, args.json, make)


def _int8(args: argparse.Namespace) -> int:
    from vljepa_ros.engines.int8_folder import write_int8_folder
    from vljepa_ros.evaluation.real_clips import read_clips
    from vljepa_ros.models.config import load_config
    from vljepa_ros.resources import model_dir

    if args.out is None or args.calibration is None:
        raise CliError("--precision int8 needs --out FOLDER and --calibration DIR")
    config = load_config(model_dir(args.model))
    folder, parity = write_int8_folder(
        config,
        args.out,
        read_clips(args.calibration, config, args.clips),
        graphs=tuple(name for name in args.graphs.split(",") if name),
        gated=not args.refused_too,
        progress=note,
    )
    if args.json:
        print(json.dumps({"folder": str(folder), "parity": parity.as_json()}))
    else:
        print(f"{'passed' if parity.passed else 'not near enough to ship'}: {parity}")
        print(folder)
    return 0
