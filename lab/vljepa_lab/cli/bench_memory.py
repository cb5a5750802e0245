"""`vljepa bench memory`: inserts, queries, recall and size of the memory; and the kill test."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.result_file import write_result
from vljepa_ros.cli.arguments import natural_number, non_negative_seconds, positive_seconds
from vljepa_ros.cli.failure import CliError
from vljepa_ros.cli.memory_place import reported


def add(benches: Any) -> None:
    """Add the subcommand of `vljepa bench`."""
    parser = benches.add_parser(
        "memory",
        help="insert rate, query latency, recall and size of the memory",
        description="Fill memories with vectors that are spread like a robot's embeddings (see "
        "doc/memory.md) and measure inserts, queries, recall@10 against exact search, and size. "
        "The million rows take some minutes.",
    )
    parser.add_argument(
        "--size",
        action="append",
        type=_size,
        metavar="ROWSxDIM",
        help="may be repeated (default: 10000x256 100000x256 1000000x256 10000x1536 100000x1536)",
    )
    parser.add_argument(
        "--queries", type=natural_number, default=200, metavar="N", help="default: 200"
    )
    parser.add_argument(
        "--trickle",
        type=non_negative_seconds,
        default=60.0,
        metavar="S",
        help="write 10 rows a second for S seconds and measure their cost; 0: not (default: 60)",
    )
    parser.add_argument(
        "--kills",
        type=natural_number,
        metavar="N",
        help="instead: kill a writing process N times with SIGKILL and look at its store",
    )
    parser.add_argument(
        "--soak",
        type=positive_seconds,
        metavar="S",
        help="instead: write 500 rows a second for S seconds, with upkeep, forgetting and queries, "
        "and look at the memory of the process",
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="disk to use (default: temp)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=reported(_run))


def _run(args: argparse.Namespace) -> int:
    from vljepa_lab.evaluation.provenance import provenance

    if args.kills:
        result = _kills(args)
    elif args.soak:
        result = _soak(args)
    else:
        result = _speed(args)
    result |= {"run": provenance()}
    write_result(result, args.save)
    print(json.dumps(result, indent=None if args.json else 2))
    return 0


def _speed(args: argparse.Namespace) -> dict[str, Any]:
    from vljepa_lab.evaluation.bench_memory import SIZES, bench_memory

    return bench_memory(
        args.size or SIZES, args.queries, _note, trickle=args.trickle, folder=args.folder
    )


def _kills(args: argparse.Namespace) -> dict[str, Any]:
    from vljepa_lab.evaluation.memory_crash import kill_test

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        try:
            return kill_test(Path(folder), args.kills)
        except RuntimeError as error:
            raise CliError(str(error)) from error


def _soak(args: argparse.Namespace) -> dict[str, Any]:
    from vljepa_lab.evaluation.memory_soak import soak

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        return soak(Path(folder), args.soak, _note)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _size(text: str) -> tuple[int, int]:
    rows, _, dim = text.partition("x")
    if rows.isdecimal() and dim.isdecimal() and int(rows) >= 1000 and int(dim) >= 8:
        return int(rows), int(dim)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed: ROWSxDIM, from 1000x8")
