"""`vljepa label`: replace the labels of one group of the running perception node."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vljepa_ros.cli.arguments import add_graph_options, add_json_option, positive_seconds
from vljepa_ros.cli.failure import CliError, CliUsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "label",
        help="set the labels that cameras are compared with",
        description="Replace the labels of one group (one prompt). A new prompt makes a new group.",
        epilog="Example: vljepa label 'is the door open?' 'the door is open' 'the door is closed'",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="the group's prompt; '' for the default")
    parser.add_argument("labels", metavar="LABEL", nargs="+", help="label texts, all different")
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=10.0,
        metavar="S",
        help="seconds to wait for the node, and again for its reply (default: 10)",
    )
    add_graph_options(parser)
    add_json_option(parser, "the reply")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Set the labels and say how many are in use."""
    if any(not label.strip() for label in args.labels):
        raise CliUsageError("a label is empty: every label needs a text")
    twice = sorted({label for label in args.labels if args.labels.count(label) > 1})
    if twice:
        raise CliUsageError(f"labels given twice: {', '.join(twice)}")

    from vljepa_ros import ros
    from vljepa_ros.cli.client import GraphClient

    service = ros.interface("vljepa_ros/srv/SetLabels")
    with GraphClient(args.namespace, args.domain) as graph:
        client = graph.connect("vljepa_ros/srv/SetLabels", "set_labels", args.timeout)
        request = service.Request()
        request.prompt = args.prompt
        request.labels = list(args.labels)
        reply = graph.call(client, request, args.timeout)
    if not reply.success:
        raise CliError(reply.message)
    if args.json:
        print(json.dumps({"accepted": reply.accepted, "version": reply.vocabulary_version}))
    else:
        print(f"{reply.accepted} labels in use, vocabulary version {reply.vocabulary_version}")
    return 0
