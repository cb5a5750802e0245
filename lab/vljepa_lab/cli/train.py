"""`vljepa train`: train a model; the work is done by `vljepa_lab.training`."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec

from vljepa_ros.cli.options import CliError, Commands

MODELS = {  # name -> its module, and the packages that it needs
    "nano": ("vljepa_lab.training.nano", ("torch", "mujoco")),
    "full": ("vljepa_lab.training.paper.train", ("torch", "transformers")),
    "everyday": ("vljepa_lab.training.everyday.build", ("torch", "onnx")),
    "calibrate": ("vljepa_lab.training.calibrate_folder", ("torch",)),
    "domain": ("vljepa_lab.training.domain", ("torch", "mujoco")),
    "blind": ("vljepa_lab.compare.blind", ("torch",)),
    "comparison": ("vljepa_lab.compare.comparison", ("torch",)),
    "trunks": ("vljepa_lab.convert.trunks", ("torch", "transformers")),
}


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model from nothing to a checkpoint, resumable. `calibrate` fits the "
        "calibration of a model folder anew; `trunks` makes the folder that `full` starts from; "
        "`everyday` composes the embedded model for real pictures from published networks; "
        "`blind` and `comparison` train what it is compared with. All options after the name "
        "belong to the trainer: vljepa train nano --help",
    )
    parser.add_argument("model", choices=sorted(MODELS), help="what to train")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the trainer")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Hand over to the trainer."""
    module, needs = MODELS[args.model]
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        raise CliError(
            f"training needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed: pip install 'vljepa_lab[train,world]'"
        )
    return int(import_module(module).main(args.options) or 0)
