"""`vljepa convert`, `export` and `build-engine`: make model files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import note

_CONVERSION = (
    *("predictor_config", "y_encoder_config", "query_tokenizer", "text_tokenizer"),
    *("name", "clip_frames", "clip_duration"),
)
"""Options of `vljepa convert` that `convert_open_vljepa` takes under the same names."""


def add_convert(commands: options.Commands) -> None:
    """Add `vljepa convert`: third-party checkpoints to model folders."""
    parser = commands.add_parser(
        "convert",
        help="convert a checkpoint to a model folder",
        description="Make a model folder (safetensors, no pickle) from a checkpoint of "
        "open-vljepa. Gated weights are not needed: both trunks are inside; only their tokenizers "
        "are not.",
    )
    formats = parser.add_subparsers(title="formats", metavar="FORMAT", dest="format", required=True)
    own = formats.add_parser("open-vljepa", help="convert best.pt of cun-bjy/open-vljepa")
    own.add_argument("checkpoint", type=Path, metavar="BEST_PT", help="the checkpoint")
    own.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    own.add_argument(
        "--x-encoder",
        required=True,
        metavar="DIR_OR_ID",
        help="V-JEPA 2 in hub format: a folder, or a hub id that was fetched "
        "(facebook/vjepa2-vitl-fpc64-256)",
    )
    for part, default in (("predictor", "Llama-3.2-1B"), ("y-encoder", "EmbeddingGemma-300M")):
        own.add_argument(
            f"--{part}-config",
            type=Path,
            metavar="DIR",
            help=f"folder in hub format with other sizes than those of {default}",
        )
    for name, help_text in (
        ("query", "the Predictor's tokenizer.json (Llama 3.2); without it queries are token ids"),
        ("text", "the Y-Encoder's tokenizer.json (EmbeddingGemma); without it texts are token ids"),
    ):
        own.add_argument(f"--{name}-tokenizer", type=Path, metavar="FILE", help=help_text)
    own.add_argument("--name", default="open-vljepa", metavar="NAME", help="default: open-vljepa")
    own.add_argument(
        "--clip-frames", type=options.natural_number, default=8, metavar="N", help="default: 8"
    )
    own.add_argument(
        "--clip-duration",
        type=options.positive_seconds,
        default=8.0,
        metavar="S",
        help="seconds that the frames are spread over (default: 8; it was trained on 10 to 30)",
    )
    own.set_defaults(run=options.exit_on_error(_convert))


def add_export(commands: options.Commands) -> None:
    """Add `vljepa export`: a model's parts as ONNX graphs, compared with torch."""
    parser = commands.add_parser(
        "export",
        help="export a model to ONNX",
        description="Write a model's parts as ONNX graphs into the engine cache, after they have "
        "been compared with torch in fp32; `engine:=onnxruntime` then finds them.",
    )
    _add_model_and_precision(parser, ("fp32", "bf16", "fp16"), "graphs")
    options.add_json_option(parser, "the result")
    parser.set_defaults(run=options.exit_on_error(_export))


def add_build(commands: options.Commands) -> None:
    """Add `vljepa build-engine`: TensorRT engines for this machine's GPU."""
    parser = commands.add_parser(
        "build-engine",
        help="build TensorRT engines for this GPU",
        description="Export a model's parts, build TensorRT engines for this machine's GPU "
        "(minutes), compare them with fp32 and keep them in the engine cache. They run on this "
        "GPU with this TensorRT only.",
    )
    _add_model_and_precision(parser, ("bf16", "fp16", "fp32"), "engines")
    workspace = "most GPU memory for one layer while building"
    options.add_number_option(parser, "--workspace", 4096, workspace, options.natural_number, "MIB")
    options.add_json_option(parser, "the result")
    parser.set_defaults(run=options.exit_on_error(_build))


def _add_model_and_precision(
    parser: argparse.ArgumentParser, precisions: tuple[str, ...], what: str
) -> None:
    parser.add_argument(
        "model", metavar="MODEL", help="model folder, or a name or hub id that was fetched"
    )
    parser.add_argument(
        "--precision",
        choices=precisions,
        default=precisions[0],
        help=f"precision inside of the {what} (default: {precisions[0]})",
    )


def _convert(args: argparse.Namespace) -> int:
    from vljepa_ros.models.vl_jepa.convert_open_vljepa import convert_open_vljepa
    from vljepa_ros.resources import model_dir

    given = {name: getattr(args, name) for name in _CONVERSION}
    print(convert_open_vljepa(args.checkpoint, args.out, model_dir(args.x_encoder), **given))
    return 0


def _export(args: argparse.Namespace) -> int:
    from vljepa_ros.engines.export import export_model

    return _fill_cache(args, export_model)


def _build(args: argparse.Namespace) -> int:
    from vljepa_ros.engines.export import build_model

    return _fill_cache(args, build_model, workspace=args.workspace << 20)  # MiB to bytes


def _fill_cache(args: argparse.Namespace, make: Callable[..., Any], **more: int) -> int:
    """Fill the engine cache with `make`, and print the parity of each part."""
    from vljepa_ros.engines.cache import EngineCache
    from vljepa_ros.models.folder import load_config
    from vljepa_ros.resources import default_cache_root, model_dir

    cache = EngineCache(default_cache_root())
    config = load_config(model_dir(args.model))
    folder, results = make(config, cache, precision=args.precision, progress=note, **more)
    if args.json:
        parity = {r.part: {"cosine": r.cosine, "difference": r.difference} for r in results}
        print(json.dumps({"folder": str(folder), "parity": parity}))
        return 0
    for r in results:
        print(f"{r.part:<10} cosine {r.cosine:.7f}  greatest difference {r.difference:.2e}")
    print(folder)
    return 0
