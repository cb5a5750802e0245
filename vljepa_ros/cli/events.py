"""`vljepa events`: prints scene events and trigger events as they arrive."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError
from vljepa_ros.files import JsonObject

if TYPE_CHECKING:
    from vljepa_ros import ros

REASONS = ("first", "change", "request", "heartbeat", "correction")
STATES = ("unknown", "false", "true")
TRIGGER_REASONS = (
    *("scored", "not scored", "camera stopped", "model gone", "model changed", "turning"),
    *("out of domain", "removed"),
)
SCENE_FIELDS = (
    *("event_id", "onset", "sequence", "corrects_sequence", "camera", "reason", "text"),
    *("previous_text", "decoded", "confidence", "change", "in_domain", "latency", "model_id"),
)
TRIGGER_FIELDS = (
    *("owner", "id", "camera", "state", "reason", "text", "score", "threshold", "since"),
)
KINDS = ("all", "scene", "trigger")


def add(commands: options.Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "events",
        help="print scene events and trigger events as they arrive",
        description="Print each scene event and each trigger event of all cameras as it arrives, "
        "until Ctrl-C.",
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="all",
        help="scene: changes of meaning in words; trigger: triggers that became true, false or "
        "unknown (default: all)",
    )
    parser.add_argument("--camera", default="", help="only this camera's events")
    parser.add_argument(
        "--count", type=options.natural_number, metavar="N", help="end after N events"
    )
    parser.add_argument(
        "--timeout",
        type=options.positive_seconds,
        metavar="S",
        help="end after S seconds, with an error if there was no event (default: run on)",
    )
    options.add_graph_options(parser)
    options.add_json_option(parser, "one object per line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print until Ctrl-C, --count or --timeout."""
    from vljepa_ros import ros
    from vljepa_ros.cli.client import GraphClient

    seen = 0

    def show(as_dict: Callable[[ros.Message], JsonObject], message: ros.Message) -> None:
        nonlocal seen
        if args.camera and message.camera != args.camera:
            return
        if args.count is not None and seen >= args.count:
            return
        seen += 1
        event = as_dict(message)
        print(
            json.dumps(event) if args.json else options.printable(event_as_line(event)), flush=True
        )

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


def event_as_dict(message: ros.Message) -> JsonObject:
    """Convert a msg/SceneEvent to a dict with stable names; stamps and latency in seconds."""
    event = _fields(message, SCENE_FIELDS) | {"reason": _named(REASONS, message.reason)}
    return {"kind": "scene", "stamp": options.seconds_of(message.header.stamp), **event}


def trigger_as_dict(message: ros.Message) -> JsonObject:
    """Convert a msg/TriggerEvent, as `event_as_dict`; the score is None if there is none."""
    trigger = message.trigger
    return {
        "kind": "trigger",
        "stamp": options.seconds_of(message.header.stamp),
        **_fields(trigger, TRIGGER_FIELDS),
        "state": _named(STATES, trigger.state),
        "previous_state": _named(STATES, message.previous_state),
        "reason": _named(TRIGGER_REASONS, trigger.reason),
        **_fields(message, ("latency", "model_id", "event_id")),
    }


def _named(names: Sequence[str], value: int) -> str:
    """The name of a constant, or its value where a node of another version has more of them."""
    return names[value] if value < len(names) else str(value)


def _fields(message: ros.Message, names: Sequence[str]) -> JsonObject:
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(message, name)
        if hasattr(value, "nanosec"):
            value = options.seconds_of(value)
        elif isinstance(value, float):
            value = None if math.isnan(value) else round(value, 4)
        found[name] = value
    return found


_TOPICS = {
    "scene": ("vljepa_ros/msg/SceneEvent", "events", 10, event_as_dict),
    "trigger": ("vljepa_ros/msg/TriggerEvent", "triggers", 1000, trigger_as_dict),
}


def event_as_line(event: JsonObject) -> str:
    """Format an event as one line."""
    clock = datetime.fromtimestamp(event["stamp"]).strftime("%H:%M:%S.%f")[:-5]
    if event["kind"] == "trigger":
        limit = f"{event['threshold']:.2f}"
        score = "" if event["score"] is None else f", score {event['score']:.2f} of {limit}"
        why = "" if event["reason"] == "scored" else f": {event['reason']}"
        return (
            f"{clock}  {event['camera']}  {event['id']}: {event['state'].upper()}{why}  "
            f"[trigger of {event['owner']}, was {event['previous_state']}{score}]"
        )
    where = "" if event["in_domain"] else ", out of the model's domain"
    source = "" if event["decoded"] or not event["text"] else " (nearest known text)"
    return (
        f"{clock}  {event['camera']}  {event['text'] or '(no sure text)'}{source}  "
        f"[{event['reason']}, confidence {event['confidence']:.2f}, change {event['change']:.2f}"
        f"{where}]"
    )
