"""`vljepa find`: moments that fit a text, from a robot's memory or indexed bags."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vljepa_ros.cli.arguments import natural_number
from vljepa_ros.cli.memory_place import (
    add_memory_option,
    add_model_options,
    bag_name,
    clock,
    load_model,
    reported,
    time_of,
)


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "find",
        help="find moments by text in the memory",
        description="Find the moments that fit a text in a robot's memory or in indexed bags.",
        epilog='Example: vljepa find "the arm drops the mug" --html found.html',
    )
    parser.add_argument("text", metavar="TEXT", help="what to look for, 1 to 512 characters")
    add_memory_option(parser)
    add_model_options(parser)
    parser.add_argument("--camera", default="", help="only this camera")
    parser.add_argument("--bag", default="", metavar="BAG", help="only this bag (its path)")
    parser.add_argument("--start", type=time_of, metavar="TIME", help="not before this time")
    parser.add_argument("--end", type=time_of, metavar="TIME", help="not after this time")
    parser.add_argument(
        "--limit", type=natural_number, default=10, metavar="N", help="moments (default: 10)"
    )
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="P", help="calibrated, 0..1 (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print the moments as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with thumbnails")
    parser.set_defaults(run=reported(_run))


def _run(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.memory.search import MomentQuery, check_query, find_moments
    from vljepa_ros.perception.memory.store import open_store

    query = MomentQuery(
        text=args.text,
        camera=args.camera,
        source=str(Path(args.bag).resolve()) if args.bag else "",
        start=args.start,
        end=args.end,
        limit=args.limit,
        min_score=args.min_score,
    )
    check_query(query)
    engine = load_model(args, frozenset({"text"}))
    store = open_store(args.memory, engine.config.model_id, engine.config.dim)
    (vector,) = engine.encode_text([args.text])
    moments = find_moments(
        store, query, vector, engine.config.calibration, thumbnails=args.html is not None
    )
    if args.html is not None:
        from vljepa_ros.cli.find_page import page

        args.html.parent.mkdir(parents=True, exist_ok=True)
        args.html.write_text(page(args.text, moments), encoding="utf-8")
    if args.json:
        print(json.dumps(moments_as_dicts(moments)))
    elif not moments:
        print("nothing fits")
    else:
        _print_table(moments)
    return 0


def moments_as_dicts(moments: list[Any]) -> list[dict[str, Any]]:
    """Moments under stable names; times in seconds."""
    return [
        {
            "camera": moment.camera,
            "source": moment.source,
            "start": moment.start / 1e9,
            "end": moment.end / 1e9,
            "stamp": moment.stamp / 1e9,
            "score": round(moment.score, 4),
            "similarity": round(moment.similarity, 4),
            "text": moment.text,
            "pose": None
            if moment.pose is None
            else {
                "position": list(moment.pose.position),
                "orientation": list(moment.pose.orientation),
                "frame_id": moment.pose.frame_id,
            },
        }
        for moment in moments
    ]


def _print_table(moments: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, side in (("score", "right"), ("best", "left"), ("from - to", "left")):
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("camera", no_wrap=True)
    table.add_column("bag", no_wrap=True)
    table.add_column("text")
    for moment in moments:
        length = (moment.end - moment.start) / 1e9
        table.add_row(
            f"{moment.score:.3f}",
            clock(moment.stamp),
            f"{clock(moment.start)} + {length:.1f} s",
            moment.camera,
            bag_name(moment.source),
            moment.text,
        )
    # A pipe has no width of its own; 80 columns would cut the names.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
