"""`vljepa bench`: speed, beside a control measured in the same run."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from vljepa_lab.results import add_result_options
from vljepa_ros.cli.options import (
    CliError,
    Commands,
    add_actions,
    add_model_options,
    add_number_option,
    natural_number,
    non_negative_seconds,
)
from vljepa_ros.files import JsonObject
from vljepa_ros.resources import NANO


def add(commands: Commands) -> None:
    """Add the subcommand and its own subcommands."""
    parser = commands.add_parser(
        "bench",
        help="measure speed",
        description="Measure speed end to end, beside a control measured in the same run. Absolute "
        "times belong to this machine; judge by the ratios.",
    )
    benches = add_actions(parser, "benchmarks", "NAME", "bench")
    graph = benches.add_parser(
        "graph",
        help="camera to embedding latency, transport, stages, memory",
        description="Latency from a camera image (640x480, 10 fps, from another process) to the "
        "embedding, beside the bare model and the bare transport.",
    )
    vqa = benches.add_parser(
        "vqa",
        help="latency of answer_question while streaming",
        description="Latency of answer_question with 2, 10 and 1000 candidates while a camera "
        "streams, beside the bare Predictor pass; and the stream's rate before and during it.",
    )
    for stream, seconds in ((graph, 60.0), (vqa, 10.0)):
        add_model_options(stream, NANO)
        add_number_option(stream, "--seconds", seconds, "length of the measured stream")
        add_result_options(stream)
        stream.set_defaults(run=_run_stream)
    _add_engine(benches)
    _add_memory(benches)


def _add_engine(benches: Commands) -> None:
    parser = benches.add_parser(
        "engine",
        help="ms per clip and part of every engine, ratio to torch eager, parity",
        description="Every engine of a model in one run, alternating. The ratio is torch eager's "
        "time in fp32 over the engine's. With --random-weights a full-sized VL-JEPA is measured "
        "without a checkpoint; --tiny makes it small enough for any CPU.",
    )
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument(
        "--engines",
        type=_names,
        metavar="LIST",
        help="for example onnxruntime,torch:bf16 (default: every one that can run)",
    )
    parser.add_argument("--random-weights", action="store_true", help="with --model full only")
    parser.add_argument("--tiny", action="store_true", help="small sizes, with --random-weights")
    for name, default in (("frames", ()), ("queries", (1,)), ("batch", (1, 2, 4, 8))):
        parser.add_argument(
            f"--{name}", type=_numbers, default=default, metavar="LIST", help="for example 1,8"
        )
    add_number_option(parser, "--samples", 200, "of each figure", natural_number, "N")
    add_number_option(parser, "--threads", 1, "CPU threads", natural_number, "N")
    parser.add_argument(
        "--clips",
        type=Path,
        metavar="DIR",
        help="real clips for the parity: a video, a folder of videos, or shards of scenes "
        "(default: the model's demo video)",
    )
    add_number_option(parser, "--parity-clips", 320, "clips at most", natural_number, "N")
    add_result_options(parser)
    parser.set_defaults(run=_run_engine)


def _add_memory(benches: Commands) -> None:
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
    add_number_option(parser, "--queries", 200, "of each figure", natural_number, "N")
    cost = "write 10 rows a second for S seconds and measure their cost; 0: not"
    add_number_option(parser, "--trickle", 60.0, cost, non_negative_seconds)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="disk to use (default: temp)")
    add_result_options(parser)
    parser.set_defaults(run=_run_memory)


def _run_stream(args: argparse.Namespace) -> int:
    from vljepa_lab.bench.graph import bench_graph
    from vljepa_lab.bench.harness import as_lines, report
    from vljepa_lab.bench.vqa import bench_vqa

    bench = {"graph": bench_graph, "vqa": bench_vqa}[args.bench]
    return report(args, lambda: bench(args.model, args.engine, args.seconds), as_lines)


def _run_engine(args: argparse.Namespace) -> int:
    if find_spec("torch") is None:
        raise CliError("torch is not installed: pip install torch")
    from vljepa_lab.bench.engine import BenchSettings, bench_engine, table
    from vljepa_lab.bench.engine_setup import engines_here, loader
    from vljepa_lab.bench.harness import report
    from vljepa_lab.evaluation.quality.compare_models import read_clips

    def measure() -> JsonObject:
        config, load = loader(args.model, args.random_weights, args.tiny, args.threads)
        sizes = (args.frames, args.queries, args.batch, args.samples, args.threads)
        settings = BenchSettings(args.engines or engines_here(config), *sizes)
        place = args.clips or config.folder / "demo" / "clip.mp4"
        known = args.clips is not None or place.is_file()
        clips = read_clips(place, config, args.parity_clips) if known else None
        return bench_engine(config, load, settings, clips)

    return report(args, measure, table)


def _run_memory(args: argparse.Namespace) -> int:
    from vljepa_lab.bench.harness import as_json, report
    from vljepa_lab.bench.memory import SIZES, bench_memory

    sizes = args.size or SIZES
    return report(
        args, lambda: bench_memory(sizes, args.queries, args.trickle, args.folder), as_json
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = (0,)
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: numbers from 1 up, as 1,8")
    return values


def _size(text: str) -> tuple[int, int]:
    rows, _, dim = text.partition("x")
    if rows.isdecimal() and dim.isdecimal() and int(rows) >= 1000 and int(dim) >= 8:
        return int(rows), int(dim)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed: ROWSxDIM, from 1000x8")
