"""What the commands that train beside a model folder have in common: options and progress."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def folder_parser(
    command: str, description: str | None, splits: str, scenes: int, scenes_of: str
) -> argparse.ArgumentParser:
    """Options --model, --data, --scenes and --seed of `vljepa train COMMAND`.

    :param splits: what must lie in the folder of --data.
    :param scenes: how many by default, and what they are for.
    """
    parser = argparse.ArgumentParser(prog=f"vljepa train {command}", description=description)
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"has {splits}")
    parser.add_argument(
        "--scenes", type=int, default=scenes, help=f"{scenes_of} (default: {scenes})"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser


def say(text: str) -> None:
    """A line of progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)
