"""`vljepa fetch-model`: the only command that downloads a model."""

from __future__ import annotations

import argparse
from typing import Any

from vljepa_ros.cli.failure import CliError


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "fetch-model",
        help="download a model from the hub",
        description="Download a model's configuration, safetensors and tokenizer into the hub's "
        "cache; "
        "afterwards `model:=ID` loads it offline. Nodes never download anything.",
    )
    parser.add_argument("model", metavar="ID", help="for example google/siglip2-base-patch16-224")
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit (default: main)")
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="fetch *.pt files too, for `vljepa convert`",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Download."""
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.resources import fetch_model

    try:
        print(fetch_model(args.model, args.revision, args.checkpoint))
    except ModelError as error:
        raise CliError(str(error)) from error
    return 0
