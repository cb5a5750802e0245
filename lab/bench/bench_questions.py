"""Several questions about several cameras in one request, beside single questions; bursts.

    python lab/bench/bench_questions.py --save benchmarks/results/questions.json

Four cameras stream 640x480 images at 10 fps from a process of their own, and the perception node
embeds each of them at its default rate. A single question and one request with eight questions
about all four cameras take turns, so that both see the same machine; then 64, 128 and 160 single
questions are sent at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import Any

from vljepa_lab.bench.harness import (
    BENCH_DOMAIN,
    CAMERA,
    FPS,
    START_TIMEOUT_S,
    BenchGraph,
    as_lines,
    run_script,
)
from vljepa_lab.bench.samples import note, quantiles, time_ms
from vljepa_ros import ros
from vljepa_ros.cli.options import add_model_options, add_number_option, natural_number
from vljepa_ros.cli.processes import ProcessFailed
from vljepa_ros.resources import NANO

CAMERAS = (CAMERA, "left", "right", "rear")
QUESTIONS = {
    "is the door open or closed?": ("open", "closed"),
    "is anybody in here?": ("yes", "no"),
    "are the lights on?": ("yes", "no"),
    "what is happening?": ("the door opens", "a person comes in", "the arm moves", "nothing"),
    "what colour is the mug?": ("red", "green", "blue", "yellow"),
    "does the arm hold anything?": ("yes", "no"),
    "is the robot turning?": ("yes", "no"),
    "where is the ball?": ("on the table", "on the floor", "in the box", "nowhere"),
}
BURSTS = (64, 128, 160)
WARM_UP = 20  # requests of each kind that do not count
REPLY_TIMEOUT_S = 60.0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the figures, times in milliseconds.

    Raises:
        ProcessFailed: The nodes failed, or refused a question.
        ModelError: The model cannot be loaded.
    """
    kind, many = (
        ros.interface(f"vljepa_ros/srv/{name}") for name in ("AnswerQuestion", "AnswerQuestions")
    )
    made = ros.interface("vljepa_ros/msg/Question")
    asked = [made(text=text, candidates=list(of)) for text, of in QUESTIONS.items()]
    with BenchGraph(args.model, args.engine) as graph:
        topics = {name: f"{graph.namespace}/{name}/image" for name in CAMERAS}
        cameras = [f"--camera={name}={topic}" for name, topic in topics.items()]
        always_on = ("--param", "perception_node:always_on:=true")
        graph.start_nodes("--source", "none", "--no-decoder", *cameras, *always_on)
        graph.start(
            "vljepa_lab.bench.camera",
            *("--topic", *topics.values(), "--clip", str(graph.clip)),
            *("--domain", str(BENCH_DOMAIN), "--fps", str(FPS), "--seconds", "100000"),
        )
        graph.wait_for_stream()
        single = graph.client.connect(
            "vljepa_ros/srv/AnswerQuestion", "answer_question", START_TIMEOUT_S
        )
        together = graph.client.connect(
            "vljepa_ros/srv/AnswerQuestions", "answer_questions", START_TIMEOUT_S
        )
        answers: Counter[int] = Counter()

        def call(client: Any, request: Any) -> None:
            reply = graph.client.call(client, request, REPLY_TIMEOUT_S)
            if reply.result.code:
                raise ProcessFailed(f"a question was refused: {reply.result.message}")
            answers[len(getattr(reply, "answers", [reply]))] += 1

        note(f"the stream alone, {args.seconds:g} s ...")
        began = time.monotonic()
        graph.spin(args.seconds)
        rates = {"before": graph.stream.rate_since(began)}
        note(f"{args.samples} single questions and as many requests with {len(asked)} ...")
        began = time.monotonic()
        singles: list[float] = []
        several: list[float] = []
        for number in range(WARM_UP + args.samples):
            name = CAMERAS[number % len(CAMERAS)]
            one = kind.Request(camera=name, question=asked[number % len(asked)])
            singles.append(time_ms(lambda one=one: call(single, one)))
            several.append(time_ms(lambda: call(together, many.Request(questions=asked))))
            graph.check()
        rates["during"] = graph.stream.rate_since(began)
        one_ms, all_ms = quantiles(singles[WARM_UP:]), quantiles(several[WARM_UP:])
        bursts = {}
        for count in BURSTS:
            note(f"{count} questions at once ...")
            requests = [kind.Request(camera=CAMERA, question=asked[0]) for _ in range(count)]
            begin = time.monotonic()
            futures = [single.call_async(request) for request in requests]
            graph.client.spin(lambda f=futures: all(one.done() for one in f), REPLY_TIMEOUT_S)
            codes = Counter(one.result().result.code for one in futures if one.done())
            result = ros.interface("vljepa_ros/msg/Result")
            bursts[str(count)] = {
                "replies": sum(codes.values()),
                "ok": codes[result.OK],
                "busy": codes[result.BUSY],
                "ms": round(1000 * (time.monotonic() - begin), 1),
            }
    return {
        "single_ms": one_ms,
        "answers_in_one_call": max(answers),
        "one_call_ms": all_ms,
        "ratio": round(all_ms["median"] / one_ms["median"], 2),
        "stream_fps": rates,
        "at_once": bursts,
        "runtime": ros.RUNTIME,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench_questions.py", description=__doc__)
    add_model_options(parser, NANO)
    add_number_option(parser, "--samples", 100, "requests of each kind", natural_number, "N")
    add_number_option(parser, "--seconds", 5.0, "length of the stream alone")
    return run_script(parser, measure, as_lines)


if __name__ == "__main__":
    sys.exit(main())
