"""`vljepa bench vqa`: how long a question takes while a camera streams.

After each call the same question's Predictor pass runs alone in this process: the control sees the
same machine, second by second. The stream's rate is taken alone, while known candidates are asked
about without a pause, and while each question brings a thousand candidates that are new.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from vljepa_lab.bench.camera import pictures
from vljepa_lab.bench.harness import (
    CAMERA,
    FPS,
    IMAGE_SIZE,
    START_TIMEOUT_S,
    BareModel,
    BenchGraph,
)
from vljepa_lab.bench.samples import note, quantiles, time_ms
from vljepa_lab.world.records import COLORS, OBJECT_ACTIONS, SHAPES
from vljepa_ros import ros
from vljepa_ros.cli.processes import ProcessFailed
from vljepa_ros.engines.load import load_engine
from vljepa_ros.files import JsonObject

CANDIDATE_COUNTS = (2, 10, 1000)
SAMPLES = 200  # questions for each number of candidates, after the warm-up
WARM_UP = 20  # questions that do not count
NEW_QUESTIONS = 5  # each with NEW_CANDIDATES that the node has never seen
NEW_CANDIDATES = 1000
REPLY_TIMEOUT_S = 120.0  # a thousand new texts take longer than a robot would wait
QUESTION = "what is happening?"


def candidate_texts(count: int) -> list[str]:
    """Return `count` different answers: sentences about the simulated world.

    Raises:
        ValueError: More than there are.
    """
    texts = [
        f"{how} {action} the {color} {shape}"
        for how in ("it will", "it does", "it did")
        for action in OBJECT_ACTIONS
        for color in COLORS
        for shape in SHAPES
    ]
    if count > len(texts):
        raise ValueError(f"{count} candidates, allowed: at most {len(texts)}")
    step = len(texts) // count
    return texts[::step][:count]


def bench_vqa(model: str, engine: str, seconds: float) -> JsonObject:
    """Measure and return the figures, times in milliseconds.

    Args:
        model: Name or folder of the model.
        engine: Name of its engine.
        seconds: How long the stream's rate is measured before the questions and after them.

    Raises:
        ProcessFailed: The nodes failed, or refused a question.
        ModelError: The model cannot be loaded.
    """
    with BenchGraph(model, engine) as graph:
        loaded = load_engine(graph.folder, engine)
        bare = BareModel(loaded, pictures(graph.clip, *IMAGE_SIZE), FPS)
        graph.start_nodes(
            *("--source", "demo", "--no-decoder", "--camera", CAMERA),
            *("--param", f"perception_node:request_timeout:={REPLY_TIMEOUT_S}"),
        )
        client = graph.client.connect(
            "vljepa_ros/srv/AnswerQuestion", "answer_question", START_TIMEOUT_S
        )
        service = ros.interface("vljepa_ros/srv/AnswerQuestion")
        question = ros.interface("vljepa_ros/msg/Question")

        def ask(texts: Sequence[str]) -> None:
            asked = question(text=QUESTION, candidates=list(texts))
            request = service.Request(camera=CAMERA, question=asked)
            reply = graph.client.call(client, request, REPLY_TIMEOUT_S)
            if reply.result.code:
                raise ProcessFailed(f"the question was refused: {reply.result.message}")

        def ask_many(texts: list[str]) -> JsonObject:
            loaded.encode_text(texts)
            calls: list[float] = []
            passes: list[float] = []
            for _ in range(WARM_UP + SAMPLES):
                calls.append(time_ms(lambda: ask(texts)))
                passes.append(time_ms(lambda: loaded.embed([bare.tokens], QUESTION)))
            service_ms, pass_ms = quantiles(calls[WARM_UP:]), quantiles(passes[WARM_UP:])
            limit = 2.0 * pass_ms["median"] + 10.0
            return {
                "service_ms": service_ms,
                "bare_predictor_ms": pass_ms,
                "first_call_ms": round(calls[0], 1),
                "service_to_limit": round(service_ms["median"] / limit, 3),
            }

        def ask_new(number: int) -> float:
            texts = [f"{text}, for the time {number}" for text in candidate_texts(NEW_CANDIDATES)]
            return time_ms(lambda: ask(texts))

        def rate_alone() -> float:
            began = time.monotonic()
            graph.spin(seconds)
            return graph.stream.rate_since(began)

        graph.wait_for_stream()
        note(f"the stream alone, {seconds:g} s ...")
        before = rate_alone()
        result: dict[str, Any] = {"candidates": {}}
        began = time.monotonic()
        for count in CANDIDATE_COUNTS:
            note(f"{count} candidates, {SAMPLES} questions ...")
            graph.check()
            result["candidates"][str(count)] = ask_many(candidate_texts(count))
        during = graph.stream.rate_since(began)
        note(f"{NEW_CANDIDATES} new candidates, {NEW_QUESTIONS} questions ...")
        began = time.monotonic()
        result["new_candidates_ms"] = quantiles([ask_new(n) for n in range(NEW_QUESTIONS)])
        new = graph.stream.rate_since(began)
        note(f"the stream alone again, {seconds:g} s ...")
        rates = {"before": before, "during": during, "new": new, "after": rate_alone()}
    return result | {"stream_fps": rates, "runtime": ros.RUNTIME}
