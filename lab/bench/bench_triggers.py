"""What semantic triggers cost for each embedding.

    python lab/bench/bench_triggers.py --save triggers.json

Embeddings of 256 and 1536 numbers meet 10 to 1000 triggers, changes of scene among them; a few
seconds on one core. What the node itself costs: bench_nodes.py. How right triggers are on a
recording: `vljepa check`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.bench.harness import run_script
from vljepa_lab.bench.samples import measure_ms, quantiles
from vljepa_ros.cli.options import add_number_option, natural_number
from vljepa_ros.models.calibration import EncodedText, EncodedTexts
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.trigger_board import TriggerBoard
from vljepa_ros.perception.triggers import Trigger

TRIGGER_COUNTS = (10, 100, 500, 1000)
DIMS = (256, 1536)
RATE_HZ = 5.0  # embeddings a second of stamps
SCENE_SAMPLES = 10  # embeddings that show one scene, then another: edges are part of the cost
SECOND = 10**9  # nanoseconds
LIMITS: dict[str, Any] = {"threshold": 0.5, "release": 0.8}


def bench_triggers(
    counts: Sequence[int] = TRIGGER_COUNTS, dims: Sequence[int] = DIMS, samples: int = 2000
) -> dict[str, Any]:
    """Measure `TriggerBoard.observe`, all that an embedding costs in addition to its message.

    Returns:
        `observe_ms.<dim>.<triggers>.{median,p99,n}` in milliseconds, and
        `changes.<dim>.<triggers>`, how many states changed meanwhile.
    """
    costs = {str(dim): {str(n): _observe_cost(n, dim, samples) for n in counts} for dim in dims}
    return {
        name: {dim: {n: cost[i] for n, cost in by_count.items()} for dim, by_count in costs.items()}
        for i, name in enumerate(("observe_ms", "changes"))
    }


def _observe_cost(number: int, dim: int, samples: int) -> tuple[dict[str, float | int], int]:
    triggers, texts = made_triggers(number, dim)
    board = TriggerBoard(triggers, texts)
    stream, stamps, changes = (
        _stream(np.array([t.vector for t in texts.texts.values()])),
        count(),
        0,
    )

    def observe() -> None:
        nonlocal changes
        changes += len(board.observe(round(next(stamps) / RATE_HZ * SECOND), next(stream)))

    taken = measure_ms(observe, samples, warm_up=samples // 10)
    return quantiles(taken, digits=4), changes


def made_triggers(number: int, dim: int) -> tuple[list[Trigger], EncodedTexts]:
    """Triggers and their texts, which resemble one another as those of a model do."""
    random = np.random.default_rng(0)
    texts = random.normal(size=dim) + random.normal(size=(number, dim))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    names = [f"text {i}" for i in range(number)]
    calibration = Calibration(logit_scale=20.0, none_similarity=0.7)
    encoded = [EncodedText(vector, calibration) for vector in texts.astype(np.float32)]
    triggers = [Trigger("bench", n, (n,), hold=round(0.3 * SECOND), **LIMITS) for n in names]
    return triggers, EncodedTexts("bench", dict(zip(names, encoded, strict=True)))


def _stream(texts: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Texts as they are seen: noisy, each for SCENE_SAMPLES embeddings."""
    random = np.random.default_rng(1)
    noise = random.normal(0.0, 0.3 / texts.shape[1] ** 0.5, (64, texts.shape[1]))
    vectors = (texts[np.arange(64) % len(texts)] + noise).astype(np.float32)
    for i in count():
        yield vectors[i // SCENE_SAMPLES % len(vectors)]


def _as_text(result: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{number:>5} triggers of {dim:>4}-d  {1000 * times['median']:8.1f} us median  "
        f"{1000 * times['p99']:8.1f} us p99"
        for dim, by_number in result["observe_ms"].items()
        for number, times in by_number.items()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_number_option(parser, "--samples", 2000, "embeddings of each figure", natural_number, "N")

    def measure(args: argparse.Namespace) -> dict[str, Any]:
        return bench_triggers(samples=args.samples)

    return run_script(parser, measure, _as_text, argv)


if __name__ == "__main__":
    sys.exit(main())
