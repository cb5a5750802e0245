"""Argument types and options that several commands share."""

from __future__ import annotations

import argparse
import math
import re

_TOPIC = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")


def positive_seconds(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    if value <= 0.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: seconds above 0")
    return value


def non_negative_seconds(text: str) -> float:
    """A finite number, 0 or above."""
    value = _number(text)
    if value < 0.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: seconds, 0 or above")
    return value


def natural_number(text: str) -> int:
    """A whole number, 1 or above."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a whole number, 1 or above")
    return value


def namespace_name(text: str) -> str:
    """A ROS namespace such as `robot1` or `/fleet/robot1`, returned without slashes at its ends."""
    stripped = text.strip("/")
    if stripped and not _TOPIC.fullmatch(stripped):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a ROS namespace: letters, digits and _ between slashes, no digit "
            "first"
        )
    return stripped


def domain_id(text: str) -> int:
    """A DDS domain that every platform can use."""
    if not text.isdecimal() or not 0 <= int(text) <= 101:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: a ROS domain id, 0..101")
    return int(text)


def add_json_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which robot's graph is meant."""
    parser.add_argument(
        "--namespace",
        type=namespace_name,
        default="",
        metavar="NAME",
        help="the robot's namespace; the nodes live in NAME/vljepa (default: none)",
    )
    parser.add_argument(
        "--domain",
        type=domain_id,
        default=None,
        metavar="ID",
        help="ROS domain id, 0..101 (default: ROS_DOMAIN_ID, else 0)",
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
