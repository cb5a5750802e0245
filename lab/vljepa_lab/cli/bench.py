"""`vljepa bench`: speed of the running graph, beside a control measured in the same run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vljepa_lab.cli import bench_bags, bench_engine, bench_memory, bench_triggers
from vljepa_lab.evaluation.result_file import write_result
from vljepa_ros.cli.arguments import natural_number, positive_seconds
from vljepa_ros.cli.failure import CliError

BENCH_DOMAIN = 74  # so that a benchmark meets nobody


def add(commands: Any) -> None:
    """Add the subcommand and its own subcommands."""
    parser = commands.add_parser(
        "bench",
        help="measure speed",
        description="Measure speed end to end, beside a control measured in the same run. Absolute "
        "times belong to this machine; judge by the ratios.",
    )
    parser.set_defaults(run=lambda args: _no_bench(parser))
    benches = parser.add_subparsers(title="benchmarks", metavar="NAME", dest="bench")
    graph = benches.add_parser(
        "graph",
        help="camera to embedding latency, transport, stages, memory",
        description="Latency from a camera image (640x480, 10 fps, from another process) to the "
        "embedding, beside the bare model and the bare transport.",
    )
    _common(graph, seconds=60.0)
    graph.set_defaults(run=_run_graph)
    vqa = benches.add_parser(
        "vqa",
        help="latency of answer_question while streaming",
        description="Latency of answer_question with 2, 10 and 1000 candidates while a camera "
        "streams, beside the bare Predictor pass; and the stream's rate before and during it.",
    )
    _common(vqa, seconds=10.0)
    vqa.set_defaults(run=_run_vqa)
    find = benches.add_parser(
        "find",
        help="latency of find_moments while streaming",
        description="Latency of find_moments over a filled memory while a camera streams, beside "
        "the same text and search without nodes; and the stream's rate with and without requests.",
    )
    _common(find, seconds=60.0)
    find.add_argument(
        "--rows",
        type=natural_number,
        default=100_000,
        metavar="N",
        help="in the memory at the start (default: 100000, 28 hours at one a second)",
    )
    find.set_defaults(run=_run_find)
    bench_engine.add(benches)
    bench_memory.add(benches)
    bench_triggers.add(benches)
    bench_bags.add(benches)


def _common(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="default: auto")
    parser.add_argument(
        "--seconds",
        type=positive_seconds,
        default=seconds,
        metavar="S",
        help=f"length of the measured stream (default: {seconds:g})",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON to a file too")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _no_bench(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _run_graph(args: argparse.Namespace) -> int:
    from vljepa_lab.evaluation.bench_graph import bench_graph
    from vljepa_ros.cli.client import GraphClient

    namespace, options = _graph_of_its_own()
    topic = f"/{namespace}/camera/image_raw"

    def measure() -> dict[str, Any]:
        with GraphClient(namespace, BENCH_DOMAIN) as graph:
            return bench_graph(
                graph, args.model, args.engine, args.seconds, options, topic, BENCH_DOMAIN, _note
            )

    return _finish(args, measure)


def _run_vqa(args: argparse.Namespace) -> int:
    from vljepa_lab.evaluation.bench_vqa import bench_vqa
    from vljepa_ros.cli.client import GraphClient

    namespace, options = _graph_of_its_own()

    def measure() -> dict[str, Any]:
        with GraphClient(namespace, BENCH_DOMAIN) as graph:
            return bench_vqa(graph, args.model, args.engine, args.seconds, options, _note)

    return _finish(args, measure)


def _run_find(args: argparse.Namespace) -> int:
    from vljepa_lab.evaluation.bench_find import bench_find
    from vljepa_ros.cli.client import GraphClient
    from vljepa_ros.perception.memory.failure import MemoryStoreError

    namespace, options = _graph_of_its_own()

    def measure() -> dict[str, Any]:
        with GraphClient(namespace, BENCH_DOMAIN) as graph:
            return bench_find(
                graph,
                args.model,
                args.engine,
                args.seconds,
                args.rows,
                options,
                f"/{namespace}/vljepa",
                BENCH_DOMAIN,
                _note,
            )

    try:
        return _finish(args, measure)
    except MemoryStoreError as error:
        raise CliError(str(error)) from error


def _graph_of_its_own() -> tuple[str, list[str]]:
    """Return a namespace that nobody else has, and the options of `up` that lead there."""
    namespace = f"bench_{os.getpid()}"
    keep_nothing = ["--param", "selective_decoder_node:state_file:=''"]
    return namespace, ["--domain", str(BENCH_DOMAIN), "--namespace", namespace, *keep_nothing]


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _finish(args: argparse.Namespace, measure: Callable[[], dict[str, Any]]) -> int:
    from vljepa_lab.evaluation.provenance import provenance
    from vljepa_ros.cli.package_process import ProcessFailed
    from vljepa_ros.models.config import ModelError

    try:
        result = measure() | {"run": provenance()}
    except (ProcessFailed, ModelError, FileNotFoundError) as error:
        raise CliError(str(error)) from error
    if args.save is not None:
        write_result(result, args.save)
        _note(f"written to {args.save}")
    print(json.dumps(result) if args.json else "\n".join(_flat(result)))
    return 0


def _flat(result: Mapping[str, Any], prefix: str = "") -> list[str]:
    lines: list[str] = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name:<{max(1, 44 - len(prefix))}} {value}")
    return lines
