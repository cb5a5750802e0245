"""`vljepa demo`: runs all nodes on the shipped clip for about a minute."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError
from vljepa_ros.files import JsonObject
from vljepa_ros.resources import NANO

DEMO_DOMAIN = 73  # not that of a robot, which is usually 0


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "demo",
        help="watch the nodes at work on the shipped clip, for about a minute",
        description="Run camera, perception and decoder as real nodes on the shipped clip, show "
        "what the robot says beside what is true, ask two questions, and leave events.jsonl and "
        f"timeline.png. It runs in ROS domain {DEMO_DOMAIN} in a namespace of its own, so that it "
        "does not meet a robot's nodes.",
    )
    options.add_number_option(parser, "--seconds", 72.0, "length of the demo")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo_out"),
        metavar="DIR",
        help="where the files go (default: demo_out)",
    )
    options.add_model_options(parser, NANO)
    options.add_domain_option(parser, DEMO_DOMAIN, str(DEMO_DOMAIN))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo, print a summary, write the files."""
    from vljepa_ros.cli.client import GraphClient
    from vljepa_ros.cli.demo_record import DemoRecord
    from vljepa_ros.cli.demo_timeline import draw_timeline
    from vljepa_ros.cli.demo_view import DemoView
    from vljepa_ros.cli.demo_watch import CAMERA, watch
    from vljepa_ros.cli.processes import PackageProcess, ProcessFailed

    events, picture = args.out / "events.jsonl", args.out / "timeline.png"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        events.open("a").close()  # now, rather than a minute later
    except OSError as error:
        raise CliError(f"--out {args.out}: {error.strerror}") from error
    namespace = f"demo_{os.getpid()}"
    graph_options = ["--domain", str(args.domain), "--namespace", namespace]
    nodes = PackageProcess(
        "vljepa_ros.cli.main",
        [
            *("up", "--source", "demo", "--model", args.model, "--engine", args.engine),
            *("--camera", CAMERA, "--param", "selective_decoder_node:include_vector:=true"),
            *("--param", "selective_decoder_node:state_file:=''"),
            *graph_options,
        ],
    )
    record = DemoRecord()
    try:
        with nodes, GraphClient(namespace, args.domain) as graph:
            print(
                "starting camera, perception and decoder; ask them yourself with: "
                f"vljepa ask 'is the door open?' yes no {' '.join(graph_options)}",
                flush=True,
            )
            watch(graph, nodes, record, DemoView(record, args.seconds), args.seconds)
            code = nodes.stop()
            if code != 0:
                raise CliError(f"the nodes ended with exit code {code}: {nodes.output()[-400:]}")
    except ProcessFailed as error:
        raise CliError(str(error)) from error
    lines = [json.dumps(event) + "\n" for event in record.events]
    events.write_text("".join(lines), encoding="utf-8")
    draw_timeline(record, picture)
    _print_summary(record.summary(), [events, picture])
    return 0


def _print_summary(summary: JsonObject, files: list[Path]) -> None:
    def percent(share: float | None) -> str:
        return "unknown" if share is None else f"{100 * share:.0f}%"

    latency, delay = summary["latency_ms"], summary["delay_s"]
    late = "" if delay is None else f", {delay:.1f} s after their onset (median)"
    print(
        f"\n{summary['seconds']:.0f} s watched\n"
        f"  events named rightly  {summary['events_named']} of {summary['events']}{late}\n"
        f"  decodes               {summary['decodes']} instead of {summary['clips']}, "
        f"{percent(summary['decodes_saved'])} saved\n"
        f"  text right            {percent(summary['text_right_share'])} of the time "
        f"({percent(summary['text_right_share_from_onset'])} counted from the onset each event "
        "names)\n"
        f"  a constant text       {percent(summary['constant_text_right_share'])} of the time, "
        f"but 0 of {summary['events']} events: {summary['constant_text']}\n"
        f"  camera to embedding   {latency['median']} ms median, {latency['p99']} ms p99"
    )
    for answer in summary["answers"]:
        truth = f" (true: {answer['truth']})" if answer["truth"] else ""
        print(f"  asked                 {answer['question']} {answer['answer']}{truth}")
    print("  written               " + ", ".join(str(path) for path in files))
