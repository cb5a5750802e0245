"""`vljepa train`: train a model; the work is done by `vljepa_lab.training`."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from vljepa_ros.cli.options import CliError

MODELS = {
    "nano": "vljepa_lab.training.nano",
    "full": "vljepa_lab.training.paper.train",
    "calibrate": "vljepa_lab.training.calibrate_folder",
    "blind": "vljepa_lab.compare.blind",
    "comparison": "vljepa_lab.compare.comparison",
    "trunks": "vljepa_lab.convert.trunks",
}
NEEDS = {
    "nano": ("torch", "mujoco"),
    "full": ("torch", "transformers"),
    "calibrate": ("torch",),
    "blind": ("torch",),
    "comparison": ("torch",),
    "trunks": ("torch", "transformers"),
}


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model from nothing to a checkpoint, resumable. `calibrate` fits the "
        "calibration of a model folder anew; `trunks` makes the folder that `full` starts from; "
        "`blind` and `comparison` train what it is compared with. All options after the name "
        "belong to the trainer: vljepa train nano --help",
    )
    parser.add_argument("model", choices=sorted(MODELS), help="what to train")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the trainer")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Hand over to the trainer."""
    missing = [name for name in NEEDS[args.model] if find_spec(name) is None]
    if missing:
        raise CliError(
            f"training needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed: pip install 'vljepa_lab[train,world]'"
        )
    return int(import_module(MODELS[args.model]).main(args.options) or 0)
