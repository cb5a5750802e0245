"""`vljepa console`: serves a page about the running nodes for a browser."""

from __future__ import annotations

import argparse
import json
import os

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliUsageError
from vljepa_ros.nodes.program import leave_quietly_on_signals


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "console",
        help="serve a page that shows what the robot sees",
        description="Serve one page for a browser until Ctrl-C: pictures, labels, events and "
        "triggers of running nodes, a field for questions, labels and triggers to change. With "
        "ROS: ros2 launch vljepa_ros perception.launch.py console:=true",
    )
    for name, kind, text in (
        ("--address", str, "of this machine, 0.0.0.0: all; others need the token (127.0.0.1)"),
        ("--port", int, "0: a free one (8420)"),
        ("--token", str, "that other machines need (a new one, in the log)"),
    ):
        parser.add_argument(name, type=kind, help=text)
    options.add_graph_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the node until Ctrl-C; returns 0."""
    if args.port is not None and not 0 <= args.port <= 65535:
        raise CliUsageError(f"--port is {args.port}, allowed: 0 to 65535")
    leave_quietly_on_signals()
    if args.domain is not None:
        os.environ["ROS_DOMAIN_ID"] = str(args.domain)
    from vljepa_ros.cli import bringup

    given = {name: getattr(args, name) for name in ("address", "port", "token")}
    return bringup.run(
        bringup.BringupConfig(
            source="none",
            nodes=frozenset({"console"}),
            namespace=args.namespace,
            parameters=tuple(
                f"{name}:={json.dumps(value)}" for name, value in given.items() if value is not None
            ),
        )
    )
