"""What semantic triggers cost for each embedding, by number of triggers and length of embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.timing import measure_ms, quantiles
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.trigger_list import Trigger
from vljepa_ros.perception.triggers import EncodedTriggers, TriggerBoard

COUNTS = (10, 100, 500, 1000)
DIMS = (256, 1536)
RATE = 5.0  # embeddings a second of stamps
SCENE = 10  # embeddings that show one scene, then another: edges are part of the cost


def bench_triggers(
    counts: Sequence[int] = COUNTS, dims: Sequence[int] = DIMS, samples: int = 2000
) -> dict[str, Any]:
    """Milliseconds of `TriggerBoard.observe`, which is all that an embedding costs beside its
    message: `observe_ms.<dim>.<triggers>.{median,p99,n}`, and `edges.<dim>.<triggers>`, how many
    edges were told meanwhile.
    """
    observe: dict[str, dict[str, Any]] = {}
    edges: dict[str, dict[str, int]] = {}
    for dim in dims:
        for number in counts:
            board = _board(number, dim)
            stream, told = _stream(board.triggers.embeddings), [0]
            stamps = count()

            def one(
                board: TriggerBoard = board,
                stream: Iterator[NDArray[np.float32]] = stream,
                stamps: Iterator[int] = stamps,
                told: list[int] = told,
            ) -> None:
                told[0] += len(board.observe(next(stamps) / RATE, next(stream)))

            taken = measure_ms(one, samples, warm_up=samples // 10)
            observe.setdefault(str(dim), {})[str(number)] = quantiles(taken, digits=4)
            edges.setdefault(str(dim), {})[str(number)] = told[0]
    return {"observe_ms": observe, "edges": edges}


def _board(number: int, dim: int) -> TriggerBoard:
    random = np.random.default_rng(0)
    common = random.normal(size=dim)
    texts = common + random.normal(size=(number, dim))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    triggers = [Trigger(f"text {i}") for i in range(number)]
    calibration = Calibration(logit_scale=20.0, none_similarity=0.7)
    encoded = EncodedTriggers(
        triggers, texts.astype(np.float32), "bench", calibration, default=0.5, release=0.8
    )
    return TriggerBoard(encoded, settle=0.3)


def _stream(texts: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Texts as they are seen: noisy, each for SCENE embeddings."""
    random = np.random.default_rng(1)
    seen = [
        (texts[i % len(texts)] + random.normal(0.0, 0.3 / len(texts[0]) ** 0.5, texts.shape[1]))
        for i in range(64)
    ]
    vectors = [vector.astype(np.float32) for vector in seen]
    for i in count():
        yield vectors[i // SCENE % len(vectors)]
