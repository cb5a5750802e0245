"""`vljepa convert`: other people's checkpoints to model folders."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vljepa_ros.cli.arguments import natural_number, positive_seconds
from vljepa_ros.cli.engine_report import in_one_line


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "convert",
        help="convert a checkpoint to a model folder",
        description="Make a model folder (safetensors, no pickle) from a checkpoint of "
        "open-vljepa. "
        "Gated weights are not needed: both trunks are inside; only their tokenizers are not.",
    )
    formats = parser.add_subparsers(title="formats", metavar="FORMAT", dest="format", required=True)
    own = formats.add_parser("open-vljepa", help="best.pt of cun-bjy/open-vljepa")
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
    own.add_argument(
        "--query-tokenizer",
        type=Path,
        metavar="FILE",
        help="the Predictor's tokenizer.json (Llama 3.2); without it queries are token ids",
    )
    own.add_argument(
        "--text-tokenizer",
        type=Path,
        metavar="FILE",
        help="the Y-Encoder's tokenizer.json (EmbeddingGemma); without it texts are token ids",
    )
    own.add_argument("--name", default="open-vljepa", metavar="NAME", help="default: open-vljepa")
    own.add_argument(
        "--clip-frames", type=natural_number, default=8, metavar="N", help="default: 8"
    )
    own.add_argument(
        "--clip-duration",
        type=positive_seconds,
        default=8.0,
        metavar="S",
        help="seconds that the frames are spread over (default: 8; it was trained on 10 to 30)",
    )
    own.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert."""
    return in_one_line(lambda: _open_vljepa(args))


def _open_vljepa(args: argparse.Namespace) -> int:
    from vljepa_ros.models.vl_jepa.convert_open_vljepa import convert_open_vljepa
    from vljepa_ros.resources import model_dir

    folder = convert_open_vljepa(
        args.checkpoint,
        args.out,
        model_dir(args.x_encoder),
        predictor_config=args.predictor_config,
        y_encoder_config=args.y_encoder_config,
        query_tokenizer=args.query_tokenizer,
        text_tokenizer=args.text_tokenizer,
        name=args.name,
        clip_frames=args.clip_frames,
        clip_duration=args.clip_duration,
    )
    print(folder)
    return 0
