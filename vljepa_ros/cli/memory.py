"""`vljepa memory`: shows a memory, compacts it, or embeds it again for another model."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from typing import Any

from vljepa_ros.cli import options
from vljepa_ros.cli.bag import progress_bar
from vljepa_ros.cli.options import CliError, CliUsageError


def add(commands: options.Commands) -> None:
    """Add the subcommand and its own subcommands."""
    parser = commands.add_parser(
        "memory",
        help="show the memory, compact it, or re-embed it for another model",
        description="The memory of a robot or of indexed bags.",
    )
    actions = options.add_actions(parser, "actions", "ACTION", "action")
    info = actions.add_parser("info", help="show its contents", description="Show a memory.")
    options.add_memory_option(info)
    options.add_json_option(info, "it")
    info.set_defaults(run=options.exit_on_error(_info))
    tidy = actions.add_parser(
        "tidy",
        help="delete what exceeds the limits, compact, build the index",
        description="One round of what memory_node does in the background.",
    )
    options.add_memory_option(tidy)
    tidy.add_argument("--max-age-hours", type=float, default=0.0, metavar="H", help="0: no limit")
    tidy.add_argument("--max-megabytes", type=float, default=0.0, metavar="MB", help="0: no limit")
    tidy.set_defaults(run=options.exit_on_error(_tidy))
    again = actions.add_parser(
        "reindex",
        help="embed it again with another model, from the kept thumbnails",
        description="Make a new memory for another model from the thumbnails of an old one, which "
        "is not changed. Rows without thumbnails are counted; their bags can be indexed again.",
    )
    options.add_memory_option(again)
    again.add_argument("--to", required=True, metavar="DIR", help="the new memory")
    options.add_model_options(again, threads=True)
    again.set_defaults(run=options.exit_on_error(_reindex))


def _info(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT
    from vljepa_ros.perception.memory.store import Filter, open_store

    store = open_store(args.memory)
    ends = store.ends()
    contents: dict[str, Any] = {
        "location": store.location,
        "model_id": store.model_id,
        "dim": store.dim,
        "segments": store.count(Filter(kind=SEGMENT)),
        "samples": store.count(Filter(kind=SAMPLE)),
        "cameras": store.cameras(),
        "bags": [source for source in store.distinct("source") if source],
        "first": float(ends.min() / 1e9) if ends.size else None,
        "last": float(ends.max() / 1e9) if ends.size else None,
        "indexed": store.indexed(),
        "megabytes": round(store.disk_bytes() / 1e6, 3),
    }
    if args.json:
        print(json.dumps(contents))
        return 0
    for name, value in contents.items():
        if name in ("first", "last") and value is not None:
            value = options.format_time(round(float(value) * 1e9))
        if isinstance(value, list):
            value = ", ".join(value) or "none"
        print(f"{name:<10} {options.printable(str(value))}")
    return 0


def _tidy(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.memory.store import open_store
    from vljepa_ros.perception.memory.upkeep import Retention, tidy

    try:
        retention = Retention(
            max_age=args.max_age_hours * 3600.0, max_bytes=round(args.max_megabytes * 1e6)
        )
    except (OverflowError, ValueError) as error:
        raise CliUsageError(str(error)) from error
    store = open_store(args.memory)
    forgotten = tidy(store, retention)
    print(f"{forgotten} rows deleted, {store.count()} kept, {store.disk_bytes() / 1e6:.1f} MB")
    return 0


def _reindex(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.memory.reindex import reindex
    from vljepa_ros.perception.memory.store import open_store

    if len({os.path.realpath(os.path.expanduser(place)) for place in (args.to, args.memory)}) < 2:
        raise CliUsageError("--to is the old memory, allowed: another; the old one is not changed")
    old = open_store(args.memory)
    engine = options.load_model(args)
    new = open_store(args.to, engine.config.model_id, engine.config.dim, create=True)
    if new.count():
        raise CliError(f"the memory at '{args.to}' has rows already, allowed: a new one")
    with progress_bar("reindex", False) as progress:
        result = reindex(old, engine, new, progress)
    print(f"{result.done} rows embedded again with {new.model_id} at {new.location}")
    for source, count in sorted(result.left.items()):
        again = shlex.join(["vljepa", "bag", "index", source, "--memory", args.to])
        remedy = again if source else "they are gone"
        print(f"{count} rows of {source or 'live cameras'} have no thumbnail: {remedy}")
    return 0
