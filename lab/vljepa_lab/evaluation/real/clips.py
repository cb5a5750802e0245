"""What a model makes of real clips: states taught on the first third, and changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.captions import shipped_detector
from vljepa_lab.evaluation.real.pictures import fitted
from vljepa_lab.evaluation.real.sources import read_clip
from vljepa_lab.evaluation.real.truth import RealClip
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.perception.change.anchor_drift import AnchorDrift
from vljepa_ros.perception.change.detector import CHANGE, visual_weights
from vljepa_ros.perception.teaching import LEAST_FRAMES, TeachingError, balanced_accuracy, fit

Floats = NDArray[np.float32]
CHANGE_RATE = 5.0  # images a second that a detector of changes sees
LATE_S = 2.5  # after a state is wholly there, until which its change counts as found


def judge_clips(
    engine: Engine,
    clips: Sequence[RealClip],
    files: Mapping[str, Path],
    progress: Callable[[str, int, int], None],
) -> JsonObject:
    """Figures of each clip with two states, as plain JSON types."""
    result = {}
    for clip in clips:
        if not clip.state or clip.file.name not in files:
            continue
        images, rate = read_clip(files[clip.file.name])
        frames: list[int] = []
        rows: list[Floats] = []
        for frame, row in _embedded(engine, images, rate):
            frames.append(frame)
            rows.append(row)
            progress(clip.file.name, frame + 1, len(images))
        embeddings = np.stack(rows)
        shows = [clip.shows(frame) for frame in frames]
        result[clip.file.name] = {
            "state": clip.state,
            "other": clip.other,
            "taught": _taught(
                embeddings, shows, len(images) // 3 - frames[0], engine.config.visual_dim
            ),
            "change": _changes(engine, embeddings, shows, frames, rate),
        }
    return result


def _embedded(
    engine: Engine, images: list[NDArray[np.uint8]], rate: float
) -> Iterator[tuple[int, Floats]]:
    """Frame at which each clip ends, and its embedding."""
    config = engine.config
    inputs = [fitted(engine, image) for image in images]
    step = max(1, round(config.frame_interval * rate)) if config.clip_frames > 1 else 1
    states: dict[int, Any] = {}  # of the streams that share no frame
    for end in range((config.clip_frames - 1) * step, len(inputs)):
        index = list(range(end - (config.clip_frames - 1) * step, end + 1, step))
        stamps = tuple(int(i / rate * 1e9) for i in index)
        clip = Clip(np.stack([inputs[i] for i in index]), stamps)
        (seen,) = engine.encode([clip], [states.get(end % step)])
        states[end % step] = seen.state
        yield end, engine.embed([seen.tokens], config.default_query)[0]


def _taught(
    embeddings: Floats, shows: Sequence[bool | None], third: int, visual_dim: int
) -> JsonObject:
    """Balanced accuracy on the rest of a clip of a label taught on its first third.

    Where that has too few frames of one state, the first third of each state's frames is taught.

    Args:
        embeddings: [N, D], of frames one after the other.
        shows: [N] whether a frame shows the state; None: left out.
        third: number of embeddings in the first third.
        visual_dim: of the model.
    """
    known = [row for row, shown in enumerate(shows) if shown is not None]
    of_each = [[row for row in known if shows[row] is shown] for shown in (True, False)]
    taught = [[row for row in rows if row < third] for rows in of_each]
    split = "frames"
    if min(map(len, taught)) < LEAST_FRAMES:
        taught, split = [rows[: len(rows) // 3] for rows in of_each], "frames of each state"
    state, other = taught
    rest = sorted({*known} - {*state, *other})
    result: dict[str, Any] = {
        "split": f"first third of the {split}",
        "state_frames": len(state),
        "other_frames": len(other),
        "judged_frames": len(rest),
    }
    try:
        label = fit(embeddings[state], embeddings[other], visual_dim=visual_dim)
    except TeachingError as error:
        return {**result, "balanced_accuracy": None, "why": str(error)}
    found = label.score(embeddings[rest]) >= 0.5
    accuracy = balanced_accuracy(found, np.array([shows[row] is True for row in rest]))
    return {**result, "balanced_accuracy": round(accuracy, 4)}


def _changes(
    engine: Engine,
    embeddings: Floats,
    shows: Sequence[bool | None],
    frames: Sequence[int],
    rate: float,
) -> JsonObject:
    """How many of a clip's changes of state the detector finds, and what else it reports."""
    detector = AnchorDrift(shipped_detector(engine.config))
    seen = embeddings * visual_weights(engine.config.dim, engine.config.visual_dim)
    stride = max(1, round(rate / CHANGE_RATE))
    found = []
    for row in range(0, len(frames), stride):
        change = detector.observe(frames[row] / rate, seen[row])
        if change is not None and change.reason == CHANGE:
            found.append(change.stamp)
    known = [(frame / rate, shown) for frame, shown in zip(frames, shows, strict=True)]
    clear = [(time, shown) for time, shown in known if shown is not None]
    windows = [
        (before, after + LATE_S) for (before, was), (after, now) in pairwise(clear) if was != now
    ]
    hits = sum(any(start <= time <= end for time in found) for start, end in windows)
    others = sum(not any(start <= time <= end for start, end in windows) for time in found)
    return {
        "changes": len(windows),
        "found": hits,
        "others": others,
        "seconds": round(len(frames) / rate, 1),
    }
