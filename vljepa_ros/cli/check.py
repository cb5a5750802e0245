"""`vljepa check`: measures on a recording of the user how reliable texts are."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa_ros.cli import options
from vljepa_ros.cli.bag import add_camera_options, clip_plan, print_rest, progress_bar, topics_of
from vljepa_ros.cli.options import CliError
from vljepa_ros.cli.teach import taught_store

if TYPE_CHECKING:
    from vljepa_ros.engines.protocol import Engine
    from vljepa_ros.perception.checking.check import Checked
    from vljepa_ros.perception.checking.figures import Verdict
    from vljepa_ros.perception.checking.truth import TruthFile
    from vljepa_ros.perception.checking.watching import Recording
    from vljepa_ros.perception.lesson import Lesson

HELP = (
    "what helps: other words; a group with the opposite (labels in the truth file); examples "
    "instead of words: vljepa teach"
)
ON_THE_SAME = (
    "* threshold chosen on the intervals that the figures are of: there are too few for two parts"
)


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "check",
        help="measure how reliable texts, labels and taught states are on your own recording",
        description="Watch a recording as the nodes would, with each text of the truth file as a "
        "trigger: how often it is right, what it finds, how late, at which threshold, and whether "
        "that is usable.",
        epilog="Example: vljepa check monday/ --truth intervals.yaml, which holds: "
        "the kettle is on: [[12.0, 48.5], [1:20, 1:35]]",
    )
    parser.add_argument(
        "recording", type=Path, metavar="BAG", help="bag, video file or folder of images"
    )
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="FILE", help="YAML: when each text is true"
    )
    add_camera_options(parser)
    for name, default, what, kind in (
        ("--rate", 5.0, "clips a second, as max_rate of perception_node", options.rate),
        ("--settle", 0.3, "as the parameter of trigger_node", options.non_negative_seconds),
        (
            "--tolerance",
            2.0,
            "seconds around an interval's edge in which nothing counts as wrong",
            options.non_negative_seconds,
        ),
        ("--fps", 1.0, "images a second of a folder", options.rate),
    ):
        options.add_number_option(parser, name, default, what, kind, "X")
    parser.add_argument(
        "--namespace",
        type=options.namespace_name,
        default="",
        metavar="NAME",
        help="the robot's, for its taught labels (default: none)",
    )
    options.add_model_options(parser, threads=True)
    options.add_json_option(parser, "the figures")
    parser.set_defaults(run=options.exit_on_error(_run))


def _run(args: argparse.Namespace) -> int:
    from vljepa_ros.perception.checking.truth import TruthError, read_truth
    from vljepa_ros.perception.checking.watching import open_recording
    from vljepa_ros.perception.image_source import SourceError
    from vljepa_ros.perception.teaching import TeachingError
    from vljepa_ros.perception.vocabulary import VocabularyError

    try:
        truth = read_truth(args.truth)
        named = [one.camera for one in truth.entries if one.camera.startswith("/")]
        topics = topics_of(args.topic or list(dict.fromkeys(named)))
        with open_recording(args.recording, topics, args.fps) as recording:
            rows = _check(args, truth, recording)
            rest = recording.rest()
    except (SourceError, TeachingError, TruthError, VocabularyError) as error:
        raise CliError(str(error)) from error
    if args.json:
        print(json.dumps([row.as_dict() for row in rows]))
    else:
        _print_table(rows, truth.labels)
    return 1 if print_rest(rest, args.json, "check") else 0


def _check(args: argparse.Namespace, truth: TruthFile, recording: Recording) -> list[Checked]:
    from vljepa_ros.nodes.trigger_node import TriggerParameters
    from vljepa_ros.perception.checking.check import Conditions, check
    from vljepa_ros.perception.checking.watching import Limits

    engine = options.load_model(args, frozenset({"vision", "predictor", "text"}))
    lacking = {"embed", "encode_text"} - engine.capabilities
    if lacking:
        raise CliError(
            f"model '{engine.config.name}' cannot {' and '.join(sorted(lacking))}, allowed: models "
            "of the families vl_jepa and dual_encoder"
        )
    store = taught_store(args)
    store.refresh(engine.config)
    for name, lesson in store.lessons.items():
        if lesson.model_id != engine.config.model_id:
            store.lessons[name] = _learned_again(lesson, engine)
    defaults = TriggerParameters()
    conditions = Conditions(
        clip_plan(args, 1.0 / args.rate, 0),
        Limits(defaults.release, args.settle, defaults.camera_timeout),
        args.tolerance,
        store.labels(engine.config.dim),
    )
    with progress_bar(args.recording.name, args.json) as progress:
        return check(engine, recording, truth, conditions, progress)


def _learned_again(lesson: Lesson, engine: Engine) -> Lesson:
    """Learn a taught label of another model again for this one, as the node does."""
    from vljepa_ros.perception.lesson import embedded_again
    from vljepa_ros.perception.worker import finished

    return finished(embedded_again(lesson, engine)).learned(engine.config.visual_dim)


def _print_table(rows: list[Checked], labels: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from vljepa_ros.perception.checking.figures import RULE

    several = len({row.camera for row in rows}) > 1
    table = Table(box=None, pad_edge=False)
    table.add_column("text")
    if several:
        table.add_column("camera", no_wrap=True)
    for name in ("right", "found", "late", "false alarms", "threshold"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for row in rows:
        cells = _figures(row.verdict) if row.verdict else ["-"] * 5
        table.add_row(row.text, *[row.camera] * several, *cells, _verdict(row))
    # A pipe has no width; the default of 80 columns would cut the texts.
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=160)
    console.print(table)
    print(f"\n{RULE}")
    if any(row.verdict and not row.verdict.held_out and row.usable is not None for row in rows):
        print(ON_THE_SAME)
    if any(row.usable is False for row in rows):
        print(HELP)
    usable = [
        shlex.quote(f"{row.text}|{row.verdict.threshold:g}")
        for row in rows
        if row.usable and row.verdict
    ]
    if usable:
        print("as triggers: vljepa up --trigger " + " --trigger ".join(usable))
    for group in labels if usable else ():
        words = shlex.join(word.strip() for word in group.split("|"))
        print(f"with the labels: vljepa label {words}")


def _figures(verdict: Verdict) -> list[str]:
    """Table cells from `right` to `threshold`."""
    found = verdict.figures
    late = f"{found.delay:.1f} s (max {max(found.delays):.1f})" if found.delays else "-"
    per_hour = f" ({found.alarms_per_hour:.0f}/h)" if found.alarms else ""
    return [
        "-" if math.isnan(found.precision) else f"{found.precision:.0%}",
        f"{found.found} of {found.intervals}",
        late,
        f"{found.alarms} in {found.false_s:.0f} s{per_hour}",
        f"{verdict.threshold:g}{'' if verdict.held_out or verdict.too_little else '*'}",
    ]


def _verdict(row: Checked) -> str:
    """The verdict in words."""
    if row.usable:
        return "usable"
    kind = "too little truth" if row.usable is None else "unusable"
    return f"{kind}: {row.problem}"
