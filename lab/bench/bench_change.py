"""How well changes are found on real video whose truth is known, in each part of an embedding.

    python lab/bench/bench_change.py everyday clips.yaml

`clips.yaml`: name -> {path, there: [[first, last], ...], unclear: [[first, last], ...]}, in frames:
where a state holds (a person stands in the room), and where neither it nor its absence is certain.
Prints, for each clip and part: flips of the state that were missed, false changes an hour while it
holds and while it does not, and the drift that disturbances cause as a share of that of a flip.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.detector import cosine_distance, visual_weights
from vljepa_ros.perception.frames import model_input
from vljepa_ros.resources import model_dir

RATE = 5.0  # clips a second
LATE_S = 4.0  # a change is published at most so long after the flip that it belongs to
DISTURBED_EVERY = 40  # clips
Vectors = NDArray[np.float32]


def embed(engine: Engine, image: Any) -> Vectors:
    """[D] of a BGR picture, taken as a clip that stands still."""
    config = engine.config
    rgb = cv2.cvtColor(np.clip(image, 0, 255).astype(np.uint8), cv2.COLOR_BGR2RGB)
    frame = model_input(rgb, config.input_size, preprocessing=config.preprocessing)
    frames = np.repeat(frame[None], config.clip_frames, axis=0)
    (encoded,) = engine.encode([Clip(frames, tuple(range(len(frames))))], [None])
    found: Vectors = engine.embed([encoded.tokens], config.default_query)[0]
    return found


def disturbed(image: NDArray[np.uint8], seed: int) -> dict[str, Any]:
    """Pictures of the same scene that should move an embedding little."""
    noise = np.random.default_rng(seed).normal(0, 8, image.shape)
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return {
        "x.6": image * 0.6,
        "x1.5": image * 1.5,
        "JPEG 30": cv2.imdecode(packed, cv2.IMREAD_COLOR),
        "2 px": np.roll(image, (2, 2), (0, 1)),
        "noise 8": image + noise,
    }


def read(engine: Engine, path: str) -> tuple[NDArray[np.int64], Vectors, dict[str, list[Any]]]:
    """Frame numbers [N], embeddings [N, D], and pairs of embeddings for each disturbance."""
    video = cv2.VideoCapture(path)
    step = max(1, round(video.get(cv2.CAP_PROP_FPS) / RATE))
    numbers, vectors, pairs, number = [], [], {}, 0
    while video.grab():
        if number % step == 0:
            image = video.retrieve()[1]
            vectors.append(embed(engine, image))
            if len(numbers) % DISTURBED_EVERY == 0:
                for name, other in disturbed(image, number).items():
                    pairs.setdefault(name, []).append((vectors[-1], embed(engine, other)))
            numbers.append(number)
        number += 1
    return np.array(numbers), np.stack(vectors), pairs


def states(numbers: NDArray[np.int64], clip: dict[str, Any]) -> NDArray[np.int64]:
    """1 where the state holds, 0 where it does not, -1 where that is unclear."""
    state = np.zeros(len(numbers), np.int64)
    for value, name in ((1, "there"), (-1, "unclear")):
        for first, last in clip.get(name, []):
            state[(numbers >= first) & (numbers <= last)] = value
    return state


def judge(
    vectors: Vectors, state: NDArray[np.int64], threshold: float
) -> tuple[int, int, dict[int, int]]:
    """Flips, those that were missed, and other changes by the state in which they came."""
    detector = AnchorDrift(AnchorDriftConfig(threshold=threshold, clip=0.0))
    published = [
        i / RATE
        for i, vector in enumerate(vectors)
        if (change := detector.observe(i / RATE, vector)) and change.reason == "change"
    ]
    known = np.flatnonzero(state >= 0)
    flips = [
        (float(before) / RATE, float(after) / RATE)
        for before, after in itertools.pairwise(known)
        if state[before] != state[after]
    ]
    owned = {t: [f for f in flips if f[0] <= t <= f[1] + LATE_S] for t in published}
    missed = sum(not any(flip in own for own in owned.values()) for flip in flips)
    false = [int(state[round(t * RATE)]) for t, own in owned.items() if not own]
    return len(flips), missed, {value: false.count(value) for value in (0, 1)}


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("clips", type=Path)
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.06, 0.1, 0.15, 0.2, 0.3])
    args = parser.parse_args()
    engine = load_engine(model_dir(args.model), "onnxruntime", 1)
    dim, visual = engine.config.dim, engine.config.visual_dim
    parts = {"all": np.ones(dim, np.float32)}
    if visual:
        parts |= {"visual": visual_weights(dim, visual)}
        parts |= {"language": (np.arange(dim) < dim - visual).astype(np.float32)}
    for name, clip in yaml.safe_load(args.clips.read_text(encoding="utf-8")).items():
        numbers, vectors, pairs = read(engine, clip["path"])
        state = states(numbers, clip)
        hours = {value: (state == value).sum() / RATE / 3600 for value in (0, 1)}
        held = hours[1] * 3600
        print(f"{name}: {len(vectors)} clips, {held:.0f} s of them with the state", flush=True)
        for part, weights in parts.items():
            seen = vectors * weights
            means = [seen[state == value].mean(0) for value in (0, 1)]
            flip = cosine_distance(*means)
            shares = {
                kind: np.median([cosine_distance(a * weights, b * weights) for a, b in both]) / flip
                for kind, both in pairs.items()
            }
            drifts = " ".join(f"{kind} {share:.2f}" for kind, share in shares.items())
            print(f"  {part}: flip {flip:.3f}; shares: {drifts}")
            for threshold in args.threshold:
                flips, missed, false = judge(seen, state, threshold)
                rates = {v: false[v] / hours[v] if hours[v] else 0.0 for v in (0, 1)}
                print(
                    f"    {threshold:.2f}: missed {missed} of {flips}; false an hour: "
                    f"{rates[1]:.0f} with it ({false[1]}), {rates[0]:.0f} without ({false[0]})"
                )


if __name__ == "__main__":
    main()
