"""What a question costs beside its Predictor pass, in this process: request bytes to reply bytes.

    python lab/bench/bench_answer.py --samples 200

Processor time, which waiting for a busy core is no part of, of each step with 2 and with 1,000
candidates whose embeddings are known; all counts take their turn in each round. Control: the
Predictor pass of the same round. Then 1,000 new texts of mixed lengths in slices,
beside the bare trunk on the same texts sorted by length.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from vljepa_lab.bench.harness import CAMERA, as_lines, run_script
from vljepa_lab.bench.vqa import QUESTION, candidate_texts
from vljepa_ros import ros
from vljepa_ros.cli.options import add_model_options, add_number_option, natural_number
from vljepa_ros.engines.load import load_engine
from vljepa_ros.nodes.question_services import QuestionServices
from vljepa_ros.perception.answering import Answerer, Freshness
from vljepa_ros.perception.pipeline import CameraFeed, Pipeline
from vljepa_ros.perception.questions import checked_question
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.vocabulary import encode_texts
from vljepa_ros.perception.worker import finished
from vljepa_ros.resources import NANO, model_dir
from vljepa_ros.ros.builtin import cdr

COUNTS = (2, 1000)
REQUEST, REPLY = "vljepa_ros/srv/AnswerQuestion_Request", "vljepa_ros/msg/Answer"
BARE_BATCH = 64  # texts


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of processor time."""
    engine = load_engine(model_dir(args.model), args.engine, threads=1)
    config = engine.config
    size = config.input_size
    ring: ClipRing[Any] = ClipRing(
        config.clip_frames, config.frame_interval, lambda _: np.zeros((size, size, 3), np.uint8)
    )
    ring.push(1, "image")
    feed = CameraFeed(CAMERA, ring, 1.0)
    pipeline = Pipeline(engine, [feed], lambda seen: 0.0, lambda vocabulary: None)
    pipeline.judges_domain = False
    services = QuestionServices(SimpleNamespace(serve=lambda *_, **__: None))  # type: ignore[arg-type]
    services.pipeline = pipeline
    answerer, spent = Answerer(pipeline), [0.0]
    embed = engine.embed

    def timed(*inputs: Any) -> Any:
        begin = time.process_time()
        made = embed(*inputs)
        spent[0] += 1000 * (time.process_time() - begin)
        return made

    engine.embed = timed  # type: ignore[method-assign]

    kind = ros.interface("vljepa_ros/srv/AnswerQuestion")
    asked = ros.interface("vljepa_ros/msg/Question")
    requests = {
        count: cdr.encode(
            kind.Request(
                camera=CAMERA, question=asked(text=QUESTION, candidates=candidate_texts(count))
            )
        )
        for count in COUNTS
    }

    def answer(count: int) -> dict[str, float]:
        steps: dict[str, float] = {}
        spent[0] = 0.0

        def step(name: str, work: Callable[[], Any]) -> Any:
            begin = time.process_time()
            result = work()
            steps[name] = 1000 * (time.process_time() - begin)
            return result

        request = step("decode", lambda: cdr.decode(REQUEST, requests[count]))
        abilities = engine.capabilities, True
        texts = request.question.text, request.question.candidates
        question = step("check", lambda: checked_question(*texts, *abilities))
        fresh = Freshness(lambda: 1)
        (one,) = step("answer", lambda: finished(answerer.ask([CAMERA], [question], 0.0, fresh)))
        made = step("message", lambda: services._message(CAMERA, question, one.answers[0]))
        step("encode", lambda: cdr.encode(made))
        steps["predictor"] = spent[0]
        steps["answer"] -= spent[0]
        return steps | {"beyond the predictor": sum(steps.values()) - spent[0]}

    found: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS}
    for count in COUNTS:
        answer(count)
    for _ in range(args.samples):
        for count in COUNTS:
            found[count].append(answer(count))
    result: dict[str, Any] = {
        f"{count} candidates": {
            name: round(float(np.median([one[name] for one in rounds])), 3) for name in rounds[0]
        }
        for count, rounds in found.items()
    }
    for number in range(args.new):
        for name, figure in new_texts(engine, number).items():
            result.setdefault("new texts", {}).setdefault(name, []).append(round(figure, 2))
    return result


def new_texts(engine: Any, number: int) -> dict[str, float]:
    """Seconds of processor time for 1,000 new texts of mixed lengths."""
    random = np.random.default_rng(number)
    texts = [
        f"{' '.join(text.split()[: random.integers(3, 9)])} for the time {number} {place}"
        for place, text in enumerate(candidate_texts(1000))
    ]

    def seconds(work: Callable[[], object]) -> float:
        begin = time.process_time()
        work()
        return time.process_time() - begin

    def bare() -> None:
        ordered = sorted(engine._ids(texts), key=len)
        for start in range(0, len(ordered), BARE_BATCH):
            pooled = engine._trunk(ordered[start : start + BARE_BATCH])["pooled"]
            engine._runner.run("text_head", {"pooled": pooled})

    sliced = seconds(lambda: finished(encode_texts(engine, texts)))
    trunk = seconds(bare)
    return {"slices_s": sliced, "bare_trunk_s": trunk, "ratio": sliced / trunk}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench_answer.py", description=__doc__)
    add_model_options(parser, NANO)
    add_number_option(parser, "--samples", 200, "questions of each kind", natural_number, "N")
    add_number_option(parser, "--new", 3, "rounds of 1,000 new texts", natural_number, "N")
    return run_script(parser, measure, as_lines)


if __name__ == "__main__":
    sys.exit(main())
