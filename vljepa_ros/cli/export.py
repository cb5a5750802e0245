"""`vljepa export`: a model's parts as ONNX graphs, compared with torch."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from vljepa_ros.cli.failure import CliError

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="export a model to ONNX",
        description="Write a model's parts as ONNX graphs into the engine cache, after they "
        "have been "
        "compared with torch in fp32; `engine:=onnxruntime` then finds them.",
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
    from vljepa_ros.models.config import ModelError

    try:
        from vljepa_ros.engines.engine_cache import EngineCache, default_cache_root
        from vljepa_ros.engines.export_model import export_model
        from vljepa_ros.models.config import load_config
        from vljepa_ros.resources import model_dir

        config = load_config(model_dir(args.model))
        cache = EngineCache(default_cache_root())
        folder, results = export_model(config, cache, args.precision, note)
    except ModelError as error:
        raise CliError(str(error)) from error
    except ImportError as error:
        raise CliError(needs(error)) from error
    report(str(folder), results, args.json)
    return 0


def needs(error: ImportError) -> str:
    """One line with the install command."""
    return f"{error.name} is not installed: pip install torch transformers onnx onnxscript"


def note(line: str) -> None:
    """Progress goes to standard error."""
    print(line, file=sys.stderr, flush=True)


def report(folder: str, results: Any, as_json: bool) -> None:
    """Print where the graphs are and how near they are to fp32."""
    if as_json:
        parity = {r.part: {"cosine": r.cosine, "difference": r.difference} for r in results}
        print(json.dumps({"folder": folder, "parity": parity}))
        return
    for r in results:
        print(f"{r.part:<10} cosine {r.cosine:.7f}  greatest difference {r.difference:.2e}")
    print(folder)
