"""`vljepa bench vqa`: how long a question takes while a camera streams.

After each call the same question's Predictor pass runs alone in this process: the control sees the
same machine, second by second. The stream's rate is taken alone, while known candidates are asked
about without a pause, and while each question brings a thousand candidates that are new.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vljepa_lab.evaluation.bare_model import BareModel
from vljepa_lab.evaluation.graph_connection import GraphConnection
from vljepa_lab.evaluation.image_feeder import pictures
from vljepa_lab.evaluation.timing import measure_ms, quantiles
from vljepa_lab.world.state import COLORS, OBJECT_ACTIONS, SHAPES
from vljepa_ros import ros
from vljepa_ros.cli.package_process import PackageProcess, ProcessFailed
from vljepa_ros.engines.load import load_engine
from vljepa_ros.resources import model_dir

CANDIDATES = (2, 10, 1000)
SAMPLES = 200  # for each number of candidates, after the warm-up
NEW_QUESTIONS = 5  # each with NEW candidates that the node has never seen
NEW = 1000
WARM_UP = 20
QUESTION = "what is happening?"
CAMERA = "front"


def candidate_texts(count: int) -> list[str]:
    """Return `count` different answers: sentences about the simulated world.

    :raises ValueError: more than there are.
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


def bench_vqa(
    graph: GraphConnection,
    model: str,
    engine: str,
    seconds: float,
    nodes_options: list[str],
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Measure and return the figures, times in milliseconds.

    :param seconds: how long the stream's rate is measured before the questions.
    :param nodes_options: how the nodes are started so that `graph` meets them.
    :raises ProcessFailed: the nodes failed, or refused a question.
    :raises ModelError: the model cannot be loaded.
    """
    folder = model_dir(model)
    loaded = load_engine(folder, engine)
    bare = BareModel(loaded, pictures(folder / "demo" / "clip.mp4", 640, 480), 10.0)
    arrivals: list[float] = []
    graph.subscribe(
        "vljepa_ros/msg/Embedding",
        f"{CAMERA}/embeddings",
        lambda _: arrivals.append(time.monotonic()),
        ros.QoSProfile(depth=10),
    )
    nodes = PackageProcess(
        "vljepa_ros.cli.main",
        [
            *("up", "--source", "demo", "--no-decoder", "--model", model, "--engine", engine),
            # 1000 texts that are new take longer than a robot would wait
            *("--param", "perception_node:request_timeout:=120.0"),
            *("--camera", CAMERA, *nodes_options),
        ],
    )
    with nodes:
        client = graph.connect("vljepa_ros/srv/AnswerQuestion", "answer_question", 60.0)
        if not graph.spin(lambda: len(arrivals) >= 10, timeout=60.0):
            raise ProcessFailed(f"no stream within 60 s: {nodes.output()[-400:]}")
        note(f"the stream alone, {seconds:g} s ...")
        before = _rate(graph, arrivals, seconds)
        result: dict[str, Any] = {"candidates": {}}
        began = time.monotonic()
        for count in CANDIDATES:
            note(f"{count} candidates, {SAMPLES} questions ...")
            nodes.check()
            result["candidates"][str(count)] = _ask_many(graph, client, bare, loaded, count)
        during = _rate_since(arrivals, began)
        note(f"{NEW} new candidates, {NEW_QUESTIONS} questions ...")
        began = time.monotonic()
        result["new_candidates_ms"] = _ask_new(graph, client)
        new = _rate_since(arrivals, began)
        note(f"the stream alone again, {seconds:g} s ...")
        after = _rate(graph, arrivals, seconds)
    result["stream_fps"] = {"before": before, "during": during, "new": new, "after": after}
    result["runtime"] = ros.RUNTIME
    return result


def _ask_many(
    graph: GraphConnection, client: Any, bare: BareModel, engine: Any, count: int
) -> dict[str, Any]:
    service = ros.interface("vljepa_ros/srv/AnswerQuestion")
    texts = candidate_texts(count)
    engine.encode_text(texts)
    calls: list[float] = []
    passes: list[float] = []
    first = 0.0
    for number in range(WARM_UP + SAMPLES):
        request = service.Request(camera=CAMERA, question=QUESTION, candidates=texts)
        begin = time.perf_counter()
        reply = graph.call(client, request, 120.0)
        taken = 1000 * (time.perf_counter() - begin)
        if not reply.success:
            raise ProcessFailed(f"the question was refused: {reply.message}")
        first = first or taken
        (own,) = measure_ms(lambda: engine.embed([bare.tokens], QUESTION), 1)
        if number >= WARM_UP:
            calls.append(taken)
            passes.append(own)
    service_ms, pass_ms = quantiles(calls), quantiles(passes)
    return {
        "service_ms": service_ms,
        "bare_predictor_ms": pass_ms,
        "first_call_ms": round(first, 1),
        "service_to_limit": round(service_ms["median"] / (2.0 * pass_ms["median"] + 10.0), 3),
    }


def _ask_new(graph: GraphConnection, client: Any) -> dict[str, float | int]:
    """Latency of questions whose candidates must all be encoded first."""
    service = ros.interface("vljepa_ros/srv/AnswerQuestion")
    taken = []
    for number in range(NEW_QUESTIONS):
        texts = [f"{text}, for the time {number}" for text in candidate_texts(NEW)]
        begin = time.perf_counter()
        request = service.Request(camera=CAMERA, question=QUESTION, candidates=texts)
        reply = graph.call(client, request, 120.0)
        if not reply.success:
            raise ProcessFailed(f"the question was refused: {reply.message}")
        taken.append(1000 * (time.perf_counter() - begin))
    return quantiles(taken)


def _rate(graph: GraphConnection, arrivals: list[float], seconds: float) -> float:
    began = time.monotonic()
    graph.spin(lambda: False, timeout=seconds)
    return _rate_since(arrivals, began)


def _rate_since(arrivals: list[float], began: float) -> float:
    """Messages a second; from the first to the last of them, so that no edge is counted."""
    counted = [moment for moment in arrivals if moment >= began]
    if len(counted) < 2:
        return 0.0
    return round((len(counted) - 1) / (counted[-1] - counted[0]), 3)
