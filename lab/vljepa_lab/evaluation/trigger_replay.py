"""How right semantic triggers are on the model's own demo clip, whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.labels import EncodedGroup, score_group
from vljepa_ros.perception.trigger_list import Trigger
from vljepa_ros.perception.triggers import EncodedTriggers, TriggerBoard
from vljepa_ros.perception.vocabulary import Group

AFTERWARDS = 2.0  # seconds for which an event may still be told after its truth has ended


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
    """Watch `clip.mp4` of a folder with all labels of the vocabulary as triggers, and with another
    wording for each that is ever true: that one goes by its embedding.

    :raises FileNotFoundError: no clip there.
    """
    config = engine.config
    frames, fps = _frames(folder / "clip.mp4", engine)
    with (folder / "ground_truth.jsonl").open(encoding="utf-8") as file:
        valid = [frozenset(json.loads(line)["valid_texts"]) for line in file][: len(frames)]
    labels = [label for group in config.vocabulary.values() for label in group]
    texts = tuple(dict.fromkeys([*labels, *_other_wordings(labels, valid)]))
    vectors = engine.encode_text(list(texts))
    groups = [
        EncodedGroup(Group(prompt, tuple(group)), engine.encode_text(list(group)))
        for prompt, group in config.vocabulary.items()
    ]
    encoded = EncodedTriggers(
        [Trigger(t) for t in texts], vectors, config.model_id, config.calibration, 0.5, 0.8
    )
    board = TriggerBoard(encoded, settle, frozenset(labels))
    step = max(1, round(config.frame_interval * fps))
    first = step * (config.clip_frames - 1)
    shown = range(first, len(valid), max(1, round(fps / rate)))
    active = []
    for i in shown:
        places = [i - step * back for back in reversed(range(config.clip_frames))]
        stamps = tuple(round(place / fps * 1e9) for place in places)
        (seen,) = engine.encode([Clip(np.stack([frames[p] for p in places]), stamps)], [None])
        board.observe(i / fps, engine.embed([seen.tokens], config.default_query)[0])
        scored = [
            score_group(
                engine.embed([seen.tokens], group.group.prompt)[0], group, config.calibration
            )
            for group in groups
        ]
        named = [label for group in scored for label in group.labels]
        board.observe_labels(i / fps, named, [float(s) for group in scored for s in group.scores])
        active.append(board.active.copy())
    true = np.array([[text in valid[i] for text in texts] for i in shown])
    times = np.array([i / fps for i in shown])
    return Replay(times, texts, tuple(t in labels for t in texts), true, np.array(active))


def measures(found: Replay, events: Sequence[str]) -> dict[str, Any]:
    """`states.right_share`: share of time for which a state's trigger is as it should be.
    `events_by_label`, `events_by_embedding`: `told_share` of the stretches during which an event's
    text is true, `delay_s` from the beginning of a stretch to the trigger's rise (median), and
    `false_rises` outside of them.

    :param events: texts of the vocabulary that tell events; its others tell states.
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
    told, false, delays = 0, 0, []
    for i in which:
        rises = found.times[_rises(found.active[:, i])]
        explained = np.zeros(len(rises), np.bool_)
        for begin, end in _stretches(found.times, found.true[:, i]):
            inside = (rises >= begin) & (rises <= end + AFTERWARDS)
            explained |= inside
            if inside.any():
                told += 1
                delays.append(float(rises[inside][0] - begin))
        false += int((~explained).sum())
    stretches = sum(len(_stretches(found.times, found.true[:, i])) for i in which)
    return {
        "triggers": len(which),
        "stretches": stretches,
        "told_share": round(told / stretches, 4) if stretches else None,
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

    every = sorted(frozenset().union(*valid) - set(labels))
    by_time: dict[tuple[bool, ...], str] = {}
    for text in every:
        by_time.setdefault(when(text), text)
    return [by_time[when(label)] for label in labels if when(label) in by_time]


def _frames(path: Path, engine: Engine) -> tuple[list[NDArray[np.uint8]], float]:
    import cv2

    if not path.is_file():
        raise FileNotFoundError(f"no clip at '{path}'")
    video = cv2.VideoCapture(str(path))
    config = engine.config
    frames = []
    while True:
        good, image = video.read()
        if not good:
            break
        rgb = np.ascontiguousarray(image[:, :, ::-1], np.uint8)
        seen = model_input(rgb, config.input_size, preprocessing=config.preprocessing)
        frames.append(seen)
    fps = float(video.get(cv2.CAP_PROP_FPS))
    video.release()
    return frames, fps
