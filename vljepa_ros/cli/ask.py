"""`vljepa ask` and `vljepa label`: ask the running perception node, and set its labels."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliUsageError
from vljepa_ros.files import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add_ask(commands: options.Commands) -> None:
    """Add `vljepa ask`."""
    parser = commands.add_parser(
        "ask",
        help="ask a question about what a camera sees",
        description="Ask which of the candidate answers fits what a camera sees.",
        epilog='Example: vljepa ask "is anybody in here?" yes no',
    )
    parser.add_argument("question", metavar="QUESTION", help="1 to 512 characters")
    parser.add_argument("candidates", metavar="ANSWER", nargs="+", help="candidate answers")
    parser.add_argument("--camera", default="", help="camera's name (default: the only one)")
    parser.add_argument(
        "--max-age",
        type=options.non_negative_seconds,
        default=0.0,
        metavar="S",
        help="do not answer from an image older than S seconds (default: the parameter "
        "answer_max_age of the node)",
    )
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="ask about this image instead of the camera"
    )
    options.add_service_options(parser, "the whole reply")
    parser.set_defaults(run=ask)


def add_label(commands: options.Commands) -> None:
    """Add `vljepa label`."""
    parser = commands.add_parser(
        "label",
        help="set the labels that cameras are compared with",
        description="Replace the labels of one group (one prompt). A new prompt makes a new group, "
        "a prompt without labels removes its group.",
        epilog="Example: vljepa label 'is the door open?' 'the door is open' 'the door is closed'",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="the group's prompt; '' for the default")
    parser.add_argument("labels", metavar="LABEL", nargs="*", help="label texts, all different")
    parser.add_argument("--camera", default="", help="for this camera alone (default: for all)")
    options.add_service_options(parser, "the reply")
    parser.set_defaults(run=label)


def ask(args: argparse.Namespace) -> int:
    """Ask and print the reply."""
    pixels = None if args.image is None else _read_image(args.image)

    from vljepa_ros import ros
    from vljepa_ros.cli.client import call_service
    from vljepa_ros.nodes.topics import image_message, to_duration

    kind, service = "AnswerQuestion", "answer_question"
    fields: dict[str, Any] = {
        "camera": args.camera,
        "max_age": to_duration(args.max_age),
    }
    if pixels is not None:
        kind, service = "AnswerAboutImage", "answer_about_image"
        header = ros.interface("std_msgs/msg/Header")()
        fields = {"image": [image_message(header, pixels)]}
    question = ros.interface("vljepa_ros/msg/Question")(
        text=args.question, candidates=list(args.candidates)
    )
    reply, seconds = call_service(
        args, f"vljepa_ros/srv/{kind}", service, question=question, **fields
    )
    answer = reply.answer
    statuses = ("ANSWERED", "NONE_FITS", "AMBIGUOUS", "OUT_OF_DOMAIN")  # all others are refusals
    result = {
        "question": args.question,
        "camera": answer.camera,
        "status": next(name for name in statuses if getattr(answer, name) == answer.status),
        "message": answer.message,
        "answer": answer.answer,
        "index": int(answer.index),
        "candidates": list(args.candidates),
        "scores": [round(float(score), 6) for score in answer.scores],
        "none_score": round(float(answer.none_score), 6),
        "margin": round(float(answer.margin), 6),
        "stamp": options.seconds_of(answer.header.stamp),
        "age": options.seconds_of(answer.age),
        "in_domain": bool(answer.in_domain),
        "model_id": answer.model_id,
        "seconds": round(seconds, 6),
    }
    print(json.dumps(result) if args.json else options.printable(_reply_as_text(result)))
    return 0


def label(args: argparse.Namespace) -> int:
    """Set the labels and print how many are in use."""
    from vljepa_ros.cli.client import call_service

    reply, _ = call_service(
        args,
        "vljepa_ros/srv/SetLabels",
        "set_labels",
        owner="vljepa label",
        cameras=[args.camera] if args.camera else [],
        prompt=args.prompt,
        labels=list(args.labels),
    )
    if args.json:
        print(json.dumps({"accepted": len(args.labels), "version": reply.vocabulary_version}))
    else:
        state = reply.result.message or "in use"
        version = f"vocabulary version {reply.vocabulary_version}"
        print(f"{len(args.labels) or 'no'} labels {state}, {version}")
    return 0


def _reply_as_text(result: JsonObject) -> str:
    """Format a reply for a terminal: answer, all scores best first, margin, stamp."""
    ranked: list[tuple[float, str]] = []
    if result["scores"]:  # empty where nothing was compared
        pairs = zip(result["scores"], result["candidates"], strict=True)
        ranked = [*pairs, (result["none_score"], "(none of them)")]
    ranked.sort(key=lambda pair: -pair[0])
    width = max((len(name) for _, name in ranked), default=0)
    lines = [result["answer"] or f"no answer: {result['message']}"]
    lines += [
        f"  {candidate:<{width}}  {score:.3f}  {'#' * round(20 * score)}".rstrip()
        for score, candidate in ranked
    ]
    lines.append(
        f"margin {result['margin']:.3f}, clip of {result['stamp']:.3f} s, "
        f"model {result['model_id']}, {1000 * result['seconds']:.0f} ms"
    )
    return "\n".join(lines)


def _read_image(path: Path) -> NDArray[np.uint8]:
    from vljepa_ros.perception.frames import picture_to_rgb
    from vljepa_ros.perception.image_encodings import FrameError

    if not path.is_file():
        raise CliUsageError(f"--image {path}: no such file")
    try:
        return picture_to_rgb(path.read_bytes(), str(path))
    except (FrameError, OSError) as error:
        raise CliUsageError(f"--image: {error}; allowed: PNG, JPEG, ...") from error
