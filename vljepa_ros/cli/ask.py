"""`vljepa ask`: a question with candidate answers to the running perception node."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from vljepa_ros.cli.arguments import (
    add_graph_options,
    add_json_option,
    non_negative_seconds,
    positive_seconds,
)
from vljepa_ros.cli.failure import CliError, CliUsageError


def add(commands: Any) -> None:
    """Add the subcommand."""
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
        type=non_negative_seconds,
        default=0.0,
        metavar="S",
        help="refuse to answer from a clip older than S seconds (default: no limit)",
    )
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="ask about this image instead of the camera"
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=10.0,
        metavar="S",
        help="seconds to wait for the node, and again for its reply (default: 10)",
    )
    add_graph_options(parser)
    add_json_option(parser, "the whole reply")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask and print the reply."""
    if not args.question.strip() or len(args.question) > 512:
        raise CliUsageError(
            f"the question has {len(args.question)} characters, allowed: 1 to 512, not only blanks"
        )
    if any(not candidate.strip() for candidate in args.candidates):
        raise CliUsageError("an answer is empty: every candidate needs a text")
    pixels = None if args.image is None else _read_image(args.image)

    from vljepa_ros import ros
    from vljepa_ros.cli.client import GraphClient

    service = ros.interface("vljepa_ros/srv/AnswerQuestion")
    with GraphClient(args.namespace, args.domain) as graph:
        client = graph.connect("vljepa_ros/srv/AnswerQuestion", "answer_question", args.timeout)
        request = service.Request()
        request.camera = args.camera
        request.question = args.question
        request.candidates = list(args.candidates)
        request.max_age = float(args.max_age)
        if pixels is not None:
            request.image = [_image_message(pixels)]
        start = time.perf_counter()
        reply = graph.call(client, request, args.timeout)
        seconds = time.perf_counter() - start
    if not reply.success:
        raise CliError(reply.message)
    result = reply_as_dict(args.question, args.candidates, reply) | {"seconds": round(seconds, 6)}
    print(json.dumps(result) if args.json else reply_as_text(result))
    return 0


def reply_as_dict(question: str, candidates: list[str], reply: Any) -> dict[str, Any]:
    """Return the reply of answer_question under stable names; scores in the order of the
    candidates."""
    from vljepa_ros.cli.client import seconds_of

    return {
        "question": question,
        "answer": reply.answer,
        "index": int(reply.index),
        "candidates": list(candidates),
        "scores": [round(float(score), 6) for score in reply.scores],
        "margin": round(float(reply.margin), 6),
        "abstained": bool(reply.abstained),
        "stamp": seconds_of(reply.stamp),
        "model_id": reply.model_id,
    }


def reply_as_text(result: dict[str, Any]) -> str:
    """Return a few lines for a person: the answer, all scores best first, margin, stamp."""
    doubt = "  (not sure: no candidate fits well enough to rely on)" if result["abstained"] else ""
    width = max(len(candidate) for candidate in result["candidates"])
    ranked = sorted(
        zip(result["scores"], result["candidates"], strict=True), key=lambda pair: -pair[0]
    )
    lines = [f"{result['answer']}{doubt}"]
    lines += [
        f"  {candidate:<{width}}  {score:.3f}  {'#' * round(20 * score)}".rstrip()
        for score, candidate in ranked
    ]
    lines.append(
        f"margin {result['margin']:.3f}, clip of {result['stamp']:.3f} s, "
        f"model {result['model_id']}, {1000 * result['seconds']:.0f} ms"
    )
    return "\n".join(lines)


def _read_image(path: Path) -> Any:
    import cv2

    if not path.is_file():
        raise CliUsageError(f"--image {path}: no such file")
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise CliUsageError(f"--image {path}: not an image that OpenCV can read (PNG, JPEG, ...)")
    return pixels


def _image_message(pixels: Any) -> Any:
    """Return a sensor_msgs/Image of bgr8 pixels [H, W, 3]."""
    from array import array

    from vljepa_ros import ros

    message = ros.interface("sensor_msgs/msg/Image")()
    message.height, message.width = pixels.shape[:2]
    message.encoding = "bgr8"
    message.step = 3 * pixels.shape[1]
    message.data = array("B", pixels.tobytes())
    return message
