"""`vljepa build-engine`: TensorRT engines for this machine's GPU."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli.arguments import natural_number
from vljepa_ros.cli.engine_report import note, run_into_cache

if TYPE_CHECKING:
    from vljepa_ros.models.config import ModelConfig


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "build-engine",
        help="build TensorRT engines for this GPU",
        description="Export a model's parts, build TensorRT engines for this machine's GPU "
        "(minutes), "
        "compare them with fp32 and keep them in the engine cache. They run on this GPU with this "
        "TensorRT only.",
    )
    parser.add_argument("model", metavar="MODEL", help="model folder, or hub id that was fetched")
    parser.add_argument(
        "--precision",
        choices=("bf16", "fp16", "fp32"),
        default="bf16",
        help="precision inside of the engines (default: bf16)",
    )
    parser.add_argument(
        "--workspace",
        type=natural_number,
        default=4096,
        metavar="MIB",
        help="most GPU memory for one layer while building (default: 4096)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build, compare, keep."""

    def make(config: ModelConfig, cache: Any) -> Any:
        from vljepa_ros.engines.export_model import build_model

        return build_model(config, cache, args.precision, args.workspace << 20, note)

    return run_into_cache(args.model, args.json, make)
