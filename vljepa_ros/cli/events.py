"""`vljepa events`: print scene events and trigger events as they come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError

REASONS = ("first", "change", "request", "heartbeat", "correction")
TRIGGER_REASONS = ("crossed", "camera stopped", "model changed", "removed")
SCENE_FIELDS = (
    *("event_id", "onset", "sequence", "corrects_sequence", "camera", "reason", "text"),
    *("previous_text", "decoded", "confidence", "change", "in_domain", "latency", "model_id"),
)
TRIGGER_FIELDS = (
    *("camera", "text", "rising", "score", "threshold", "reason", "latency", "model_id"),
)
KINDS = ("all", "scene", "trigger")


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "events",
        help="print scene events and trigger events as they come",
        description="Print each scene event and each trigger event of all cameras as it comes, "
        "until Ctrl-C.",
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="all",
        help="scene: changes of meaning in words; trigger: texts that became true or stopped "
        "being true (default: all)",
    )
    parser.add_argument("--camera", default="", help="only this camera's events")
    parser.add_argument(
        "--count", type=options.natural_number, metavar="N", help="end after N events"
    )
    parser.add_argument(
        "--timeout",
        type=options.positive_seconds,
        metavar="S",
        help="end after S seconds; an error if no event came at all (default: run on)",
    )
    options.add_graph_options(parser)
    options.add_json_option(parser, "one object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print until Ctrl-C, --count or --timeout."""
    from vljepa_ros import ros
    from vljepa_ros.cli.client import GraphClient

    seen = 0

    def show(as_dict: Callable[[Any], dict[str, Any]], message: Any) -> None:
        nonlocal seen
        if args.camera and message.camera != args.camera:
            return
        if args.count is not None and seen >= args.count:
            return
        seen += 1
        event = as_dict(message)
        print(json.dumps(event) if args.json else event_as_line(event), flush=True)

    try:
        with GraphClient(args.namespace, args.domain) as graph:
            for kind, (interface, topic, depth, as_dict) in _TOPICS.items():
                if args.kind in ("all", kind):
                    qos = ros.QoSProfile(depth=depth)
                    graph.subscribe(interface, topic, partial(show, as_dict), qos)
            graph.spin(lambda: args.count is not None and seen >= args.count, args.timeout)
            where = graph.graph
    except KeyboardInterrupt:
        return 0
    if seen == 0:
        raise CliError(
            f"no event in {where} within {args.timeout:g} s; is the decoder running? "
            "Start it with `vljepa up`"
        )
    return 0


def _as_dict(
    kind: str, fields: tuple[str, ...], reasons: tuple[str, ...], message: Any
) -> dict[str, Any]:
    event: dict[str, Any] = {"kind": kind, "stamp": options.seconds_of(message.header.stamp)}
    for name in fields:
        value = getattr(message, name)
        if name == "reason":
            value = reasons[value]
        elif name == "onset":
            value = options.seconds_of(value)
        elif isinstance(value, float):
            value = round(value, 4)
        event[name] = value
    return event


event_as_dict = partial(_as_dict, "scene", SCENE_FIELDS, REASONS)
"""A msg/SceneEvent under stable names; stamps and latency in seconds."""
trigger_as_dict = partial(_as_dict, "trigger", TRIGGER_FIELDS, TRIGGER_REASONS)
"""A msg/TriggerEvent under stable names; stamp and latency in seconds."""
_TOPICS = {
    "scene": ("vljepa_ros/msg/SceneEvent", "events", 10, event_as_dict),
    "trigger": ("vljepa_ros/msg/TriggerEvent", "triggers", 1000, trigger_as_dict),
}


def event_as_line(event: dict[str, Any]) -> str:
    """Return one line for a person."""
    clock = datetime.fromtimestamp(event["stamp"]).strftime("%H:%M:%S.%f")[:-5]
    if event["kind"] == "trigger":
        sign = "+" if event["rising"] else "-"
        why = "" if event["reason"] == "crossed" else f", {event['reason']}"
        return (
            f"{clock}  {event['camera']}  {sign} {event['text']}  "
            f"[trigger, score {event['score']:.2f} of {event['threshold']:.2f}{why}]"
        )
    source = "" if event["decoded"] or not event["text"] else " (nearest known text)"
    return (
        f"{clock}  {event['camera']}  {event['text'] or '(no sure text)'}{source}  "
        f"[{event['reason']}, confidence {event['confidence']:.2f}, change {event['change']:.2f}]"
    )
