"""`vljepa info`: shows which model, engine and device are in use."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError
from vljepa_ros.files import JsonObject

FIELDS = (
    "name",
    "model_id",
    "family",
    "domain",
    "dim",
    "clip_frames",
    "frame_interval",
    "input_size",
)
GRAPH_FIELDS = (*FIELDS, "engine", "device", "precision", "capabilities", "calibration_id")


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "info",
        help="show the model, engine and device in use",
        description="Show what the running perception node uses; "
        "with --model, what a model folder holds.",
    )
    parser.add_argument(
        "--model", metavar="NAME_OR_FOLDER", help="show this model instead of the running node"
    )
    options.add_number_option(parser, "--timeout", 5.0, "seconds to wait for the node")
    options.add_graph_options(parser)
    options.add_json_option(parser, "the information")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the information."""
    info = _of_folder(args.model) if args.model is not None else _of_graph(args)
    if args.json:
        print(json.dumps(info))
        return 0
    width = max(len(name) for name in info)
    for name, value in info.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{name.replace('_', ' '):<{width}}  {shown}")
    return 0


def _of_graph(args: argparse.Namespace) -> JsonObject:
    from vljepa_ros.cli.client import GraphClient
    from vljepa_ros.nodes.topics import LATCHED

    found: list[Any] = []
    with GraphClient(args.namespace, args.domain) as graph:
        graph.subscribe("vljepa_ros/msg/ModelInfo", "model_info", found.append, LATCHED)
        if not graph.spin(lambda: bool(found), args.timeout):
            raise CliError(
                f"no model_info in {graph.graph} after {args.timeout:g} s; start the nodes with "
                "`vljepa up`, or show a folder with --model"
            )
    info = {name: getattr(found[-1], name) for name in GRAPH_FIELDS}
    info["frame_interval"] = round(float(info["frame_interval"]), 6)
    info["capabilities"] = list(info["capabilities"])
    return info


def _of_folder(model: str) -> JsonObject:
    config = options.read_model(model)
    return {
        **{name: getattr(config, name) for name in FIELDS},
        "default_query": config.default_query,
        "prompts": list(config.vocabulary),
        "files": sorted(config.files.values()),
        "licence": config.licence,
        "folder": str(config.folder),
    }
