"""What semantic triggers cost for each embedding, and how right they are on a clip.

    python lab/bench/bench_triggers.py --clip --save triggers.json

Embeddings of 256 and 1536 numbers meet 10 to 1000 triggers, changes of scene among them; a few
seconds on one core. --clip also watches a clip with an event every three seconds, whose truth is
known, with the model's vocabulary as triggers. What the node itself costs: bench_nodes.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.bench.harness import run_script
from vljepa_lab.bench.samples import measure_ms, quantiles
from vljepa_ros.cli.options import add_number_option, natural_number
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.models.calibration import EncodedText, EncodedTexts
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_source import VideoFile
from vljepa_ros.perception.scoring import score_group
from vljepa_ros.perception.trigger_board import State, TriggerBoard
from vljepa_ros.perception.triggers import Trigger
from vljepa_ros.perception.vocabulary import EncodedGroup, Group
from vljepa_ros.resources import model_dir

TRIGGER_COUNTS = (10, 100, 500, 1000)
DIMS = (256, 1536)
RATE_HZ = 5.0  # embeddings a second of stamps
SCENE_SAMPLES = 10  # embeddings that show one scene, then another: edges are part of the cost
AFTERWARDS = 2.0  # seconds for which an event may still be published after its truth has ended
SECOND = 10**9  # nanoseconds
DENSE_CLIP = Path(__file__).parents[2] / "test" / "fixtures" / "dense_clip"
LIMITS: dict[str, Any] = {"threshold": 0.5, "release": 0.8}


@dataclass(frozen=True)
class Replay:
    """What was true and what counted as true.

    times: [T] seconds. texts: of the triggers. labelled: whether a text is a label of the
    vocabulary. true, active: [T, texts] bool.
    """

    times: NDArray[np.float64]
    texts: tuple[str, ...]
    labelled: tuple[bool, ...]
    true: NDArray[np.bool_]
    active: NDArray[np.bool_]


def replay(engine: Engine, folder: Path, rate: float = 5.0, settle: float = 0.3) -> Replay:
    """Watch `clip.mp4` of a folder with all labels of the vocabulary and all events as triggers.

    For each text that is ever true, another wording of it is a trigger, too: that one goes by its
    embedding.

    Raises:
        SourceError: No clip there.
    """
    config = engine.config
    clip = VideoFile(folder / "clip.mp4")
    fps = clip.rate
    frames: list[NDArray[np.uint8]] = []
    valid: list[frozenset[str]] = []
    for shot in clip.shots():
        rgb = np.ascontiguousarray(shot.bgr[:, :, ::-1])
        frames.append(model_input(rgb, config.input_size, preprocessing=config.preprocessing))
        valid.append(frozenset((shot.truth or {})["valid_texts"]))
    labels = [label for group in config.vocabulary.values() for label in group]
    texts = tuple(dict.fromkeys([*labels, *_other_wordings(labels, valid)]))
    vectors = engine.encode_text(list(texts))
    groups = [
        EncodedGroup(Group(prompt, tuple(group)), engine.encode_text(list(group)))
        for prompt, group in config.vocabulary.items()
    ]
    encoded = EncodedTexts(
        config.model_id,
        {t: EncodedText(v, config.calibration) for t, v in zip(texts, vectors, strict=True)},
    )
    triggers = [Trigger("replay", t, (t,), hold=round(settle * SECOND), **LIMITS) for t in texts]
    board = TriggerBoard(triggers, encoded, frozenset(labels))
    step = max(1, round(config.frame_interval * fps))
    first = step * (config.clip_frames - 1)
    shown = range(first, len(valid), max(1, round(fps / rate)))
    active = []
    for i in shown:
        places = [i - step * back for back in reversed(range(config.clip_frames))]
        stamps = tuple(round(place / fps * 1e9) for place in places)
        (seen,) = engine.encode([Clip(np.stack([frames[p] for p in places]), stamps)], [None])
        stamp = round(i / fps * SECOND)
        board.observe(stamp, engine.embed([seen.tokens], config.default_query)[0])
        scores: dict[str, float] = {}
        for group in groups:
            (vector,) = engine.embed([seen.tokens], group.group.prompt)
            scored = score_group(vector, group, config.calibration)
            scores |= zip(scored.labels, scored.scores.tolist(), strict=True)
        board.observe_labels(stamp, scores)
        active.append(board.state == State.TRUE)
    true = np.array([[text in valid[i] for text in texts] for i in shown])
    times = np.array([i / fps for i in shown])
    return Replay(times, texts, tuple(t in labels for t in texts), true, np.array(active))


def measures(found: Replay, events: Sequence[str]) -> dict[str, Any]:
    """Compares the triggers with the clip's true texts.

    `states.right_share`: share of time for which a state's trigger is as it should be.
    `events_by_label`, `events_by_embedding`: `told_share` of the stretches during which an event's
    text is true, `delay_s` from the beginning of a stretch to the trigger's rise (median), and
    `false_rises` outside of them.

    Args:
        found: What the triggers gave.
        events: Texts of the vocabulary that describe events; its others describe states.
    """
    states = [i for i, text in enumerate(found.texts) if found.labelled[i] and text not in events]
    named = [i for i, text in enumerate(found.texts) if found.labelled[i] and text in events]
    worded = [
        i
        for i, labelled in enumerate(found.labelled)
        if not labelled and any((found.true[:, i] == found.true[:, j]).all() for j in named)
    ]
    right = found.true[:, states] == found.active[:, states]
    return {
        "seconds": float(found.times[-1] - found.times[0]),
        "states": {"triggers": len(states), "right_share": round(float(right.mean()), 4)},
        "events_by_label": _edges(found, named),
        "events_by_embedding": _edges(found, worded),
    }


def _edges(found: Replay, which: Sequence[int]) -> Mapping[str, Any]:
    detected, false, delays = 0, 0, []
    for i in which:
        rises = found.times[_rises(found.active[:, i])]
        explained = np.zeros(len(rises), np.bool_)
        for begin, end in _stretches(found.times, found.true[:, i]):
            inside = (rises >= begin) & (rises <= end + AFTERWARDS)
            explained |= inside
            if inside.any():
                detected += 1
                delays.append(float(rises[inside][0] - begin))
        false += int((~explained).sum())
    stretches = sum(len(_stretches(found.times, found.true[:, i])) for i in which)
    return {
        "triggers": len(which),
        "stretches": stretches,
        "told_share": round(detected / stretches, 4) if stretches else None,
        "delay_s": round(float(np.median(delays)), 2) if delays else None,
        "false_rises": false,
    }


def _rises(on: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.flatnonzero(on & ~np.concatenate([[False], on[:-1]]))


def _stretches(times: NDArray[np.float64], on: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Begin and end of each stretch in which a text is true."""
    ends = np.flatnonzero(on & ~np.concatenate([on[1:], [False]]))
    return [(float(times[a]), float(times[b])) for a, b in zip(_rises(on), ends, strict=True)]


def _other_wordings(labels: Sequence[str], valid: Sequence[frozenset[str]]) -> list[str]:
    """For each label that is ever true, one text that is true at the same times."""

    def when(text: str) -> tuple[bool, ...]:
        return tuple(text in texts for texts in valid)

    others = sorted(frozenset().union(*valid) - set(labels), reverse=True)
    by_time = {when(text): text for text in others}  # of several, the first by the alphabet
    return [by_time[when(label)] for label in labels if when(label) in by_time]


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
    lines = [
        f"{number:>5} triggers of {dim:>4}-d  {1000 * times['median']:8.1f} us median  "
        f"{1000 * times['p99']:8.1f} us p99"
        for dim, by_number in result["observe_ms"].items()
        for number, times in by_number.items()
    ]
    clip = result.get("clip", {}).items()
    return "\n".join([*lines, *(f"{name:<20}  {value}" for name, value in clip)])


def _watch_clip(model: str) -> dict[str, Any]:
    engine = load_engine(model_dir(model))
    found = replay(engine, DENSE_CLIP)
    engine.close()
    actions = next(iter(engine.config.vocabulary.values()), ())
    return {"model_id": engine.config.model_id, **measures(found, actions)}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_number_option(parser, "--samples", 2000, "embeddings of each figure", natural_number, "N")
    parser.add_argument("--clip", action="store_true", help="watch a clip, too")
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")

    def measure(args: argparse.Namespace) -> dict[str, Any]:
        result = bench_triggers(samples=args.samples)
        if args.clip:
            result["clip"] = _watch_clip(args.model)
        return result

    return run_script(parser, measure, _as_text, argv)


if __name__ == "__main__":
    sys.exit(main())
