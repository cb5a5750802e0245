"""`vljepa find`: finds moments by text in a robot's memory or in indexed bags."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections import Counter
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa_ros.cli import options
from vljepa_ros.cli.options import bag_name, format_time, printable
from vljepa_ros.files import JsonObject, atomic_write

if TYPE_CHECKING:
    from vljepa_ros.perception.memory.search import Moment

_QUERY = ("text", "start", "end", "limit", "min_score")
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em}"
    "article{border-top:1px solid #8884;padding:1em 0}"
    "img{max-width:100%;height:auto;border-radius:4px}"
    "b{font-variant-numeric:tabular-nums}small{opacity:.7}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "find",
        help="find moments by text in the memory",
        description="Find moments by text in a robot's memory or in indexed bags.",
        epilog='Example: vljepa find "the arm drops the mug" --html found.html',
    )
    parser.add_argument("text", metavar="TEXT", help="what to look for, 1 to 512 characters")
    options.add_memory_option(parser)
    options.add_model_options(parser, threads=True)
    parser.add_argument("--camera", default="", help="only this camera")
    parser.add_argument("--bag", default="", metavar="BAG", help="only this bag (its path)")
    parser.add_argument(
        "--start", type=options.time_of, metavar="TIME", help="not before this time"
    )
    parser.add_argument("--end", type=options.time_of, metavar="TIME", help="not after this time")
    options.add_number_option(parser, "--limit", 10, "moments", options.natural_number, "N")
    parser.add_argument(
        "--min-score", type=float, default=0.0, metavar="P", help="calibrated, 0..1 (default: 0)"
    )
    options.add_json_option(parser, "the moments")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with thumbnails")
    parser.set_defaults(run=options.exit_on_error(_run))


def _run(args: argparse.Namespace) -> int:
    from vljepa_ros.models.calibration import calibration_for
    from vljepa_ros.models.folder import load_config
    from vljepa_ros.perception.memory.search import MomentQuery, check_query, find_moments
    from vljepa_ros.perception.memory.store import open_store
    from vljepa_ros.resources import model_dir

    given = {name: getattr(args, name) for name in _QUERY}
    query = MomentQuery(
        cameras=(args.camera,) if args.camera else (),
        source=str(Path(args.bag).resolve()) if args.bag else "",
        **given,
    )
    check_query(query)
    config = load_config(model_dir(args.model))
    store = open_store(args.memory, config.model_id, config.dim)  # refuses another model at once
    (vector,) = options.load_model(args, frozenset({"text"})).encode_text([args.text])
    calibration = calibration_for(config, args.text, vector)
    moments = find_moments(store, query, vector, calibration, thumbnails=args.html is not None)
    if args.html is not None:
        with atomic_write(args.html, "w") as file:
            file.write(_page(args.text, moments))
    if args.json:
        print(json.dumps([_as_dict(moment) for moment in moments]))
    elif not moments:
        print("nothing fits")
    else:
        _print_table(moments)
    return 0


def _as_dict(moment: Moment) -> JsonObject:
    """Convert a moment to a dict with stable names; times in seconds."""
    return {
        "camera": moment.camera,
        "source": moment.source,
        **{name: getattr(moment, name) / 1e9 for name in ("start", "end", "stamp")},
        **{name: round(getattr(moment, name), 4) for name in ("score", "similarity")},
        "text": moment.text,
        "pose": moment.pose and asdict(moment.pose),
    }


def _bag_names(moments: list[Moment]) -> dict[str, str]:
    """Source -> displayed name: the bag's name, or its path if names are ambiguous."""
    sources = {moment.source for moment in moments}
    times = Counter(map(bag_name, sources))
    return {one: bag_name(one) if times[bag_name(one)] == 1 else one for one in sources}


def _print_table(moments: list[Moment]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right", no_wrap=True)
    for name in ("best", "from - to", "camera", "bag"):
        table.add_column(name, no_wrap=True)
    table.add_column("text")
    names = _bag_names(moments)
    for moment in moments:
        table.add_row(
            f"{moment.score:.3f}",
            format_time(moment.stamp),
            _span(moment),
            *map(printable, (moment.camera, names[moment.source], moment.text)),
        )
    # A pipe has no width; the default of 80 columns would cut the names.
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)


def _page(text: str, moments: list[Moment]) -> str:
    """HTML of moments, best first: one file with embedded thumbnails, no external resources."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(text)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(text)}</h1>",
    ]
    if not moments:
        parts.append("<p>No moment found.</p>")
    names = _bag_names(moments)
    for moment in moments:
        image = ""
        if moment.thumbnail:
            data = base64.b64encode(moment.thumbnail).decode()
            image = f"<img src='data:image/jpeg;base64,{data}' alt='what the camera saw'>"
        parts.append(
            f"<article><p><b>{moment.score:.3f}</b> {escape(moment.text)}<br>"
            f"<small>{escape(format_time(moment.stamp))} in {escape(_span(moment))}, "
            f"camera {escape(moment.camera)}, "
            f"<span title='{escape(moment.source, quote=True)}'>{escape(names[moment.source])}"
            f"</span></small></p>{image}</article>"
        )
    return "\n".join([*parts, "</html>"]) + "\n"


def _span(moment: Moment) -> str:
    return f"{format_time(moment.start)} + {(moment.end - moment.start) / 1e9:.1f} s"
