"""`vljepa bench triggers`: what hundreds of semantic triggers cost for each embedding."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vljepa_ros.cli.arguments import natural_number

__all__ = ["add"]


def add(benches: Any) -> None:
    """Add the subcommand of `vljepa bench`."""
    parser = benches.add_parser(
        "triggers",
        help="cost of semantic triggers for each embedding",
        description="Compare embeddings of 256 and 1536 numbers with 10 to 1000 triggers, changes "
        "of scene among them; a few seconds on one core.",
    )
    parser.add_argument(
        "--samples",
        type=natural_number,
        default=2000,
        metavar="N",
        help="embeddings for each figure (default: 2000)",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from vljepa_ros.evaluation.bench_triggers import bench_triggers
    from vljepa_ros.evaluation.provenance import provenance

    result = bench_triggers(samples=args.samples) | {"run": provenance()}
    if args.save is not None:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(result))
        return 0
    for dim, by_number in result["observe_ms"].items():
        for number, times in by_number.items():
            print(
                f"{number:>5} triggers of {dim:>4}-d  {1000 * times['median']:8.1f} us median  "
                f"{1000 * times['p99']:8.1f} us p99"
            )
    return 0
