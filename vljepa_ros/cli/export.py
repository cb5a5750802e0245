"""`vljepa export`: a model's parts as ONNX graphs, compared with torch."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli.engine_report import note, run_into_cache

if TYPE_CHECKING:
    from vljepa_ros.models.config import ModelConfig


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="export a model to ONNX",
        description="Write a model's parts as ONNX graphs into the engine cache, after they have "
        "been compared with torch in fp32; `engine:=onnxruntime` then finds them.",
    )
    parser.add_argument("model", metavar="MODEL", help="model folder, or hub id that was fetched")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="precision inside of the graphs (default: fp32)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, compare, keep."""

    def make(config: ModelConfig, cache: Any) -> Any:
        from vljepa_ros.engines.export_model import export_model

        return export_model(config, cache, args.precision, note)

    return run_into_cache(args.model, args.json, make)
