"""How much of the time streams are marked as out of a model's domain.

    python lab/bench/bench_domain.py --clips a.mp4 b.mp4 --save domain.json

Videos of real cameras should be marked, held-out scenes of the simulated world should not (half of
them through a disturbed camera as well). Each video is played as a camera that sends its frames,
again from its beginning where it ends, with five clips a second; what comes in the first 5 s does
not count. What a score costs is timed beside the X-Encoder.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.bench.harness import as_lines, run_script
from vljepa_lab.bench.samples import measure_ms, note, quantiles
from vljepa_lab.evaluation.quality.scenes import cached_data, scenes_of
from vljepa_lab.training.domain import stream_tokens
from vljepa_lab.training.domain_clips import disturbed
from vljepa_lab.world.records import INTERVAL
from vljepa_ros.cli.options import add_number_option
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.perception.domain import Domain, DomainWatch
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_source import VideoFile
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.resources import model_dir

PERIOD_S, WITHIN_S, LEAST_S = 0.2, 5.0, 20.0
SPLITS = {"test_a": 2 / 3, "test_b": 1 / 3}  # share of the scenes


def video_marks(engine: Engine, domain: Domain, file: Path, most: float) -> list[bool]:
    """For each clip of a video, PERIOD_S apart, whether it is marked."""
    config, marks, watch, state = engine.config, [], DomainWatch(), None
    ring: ClipRing[Any] = ClipRing(config.clip_frames, config.frame_interval, lambda frame: frame)
    due = 0.0
    for stamp, picture in _played(file, most):
        ring.push(round(stamp * 1e9), model_input(picture, config.input_size), now=stamp)
        taken = ring.take(stamp) if stamp >= due else None
        if taken is None:
            continue
        due = stamp + PERIOD_S - 1e-6
        (one,) = engine.encode([taken.clip], [state])
        state = one.state
        marks.append(not watch.observe(taken.clip.stamps, domain.score(one.tokens)))
    return marks


def _played(file: Path, most: float) -> Iterator[tuple[float, Any]]:
    """(seconds, picture), in a loop for LEAST_S where the video is shorter."""
    source, start = VideoFile(file), 0.0
    while True:
        last = start
        for number, shot in enumerate(source.shots()):
            last = start + (number / source.rate if shot.time is None else shot.time)
            if last > most:
                return
            yield last, shot.bgr[..., ::-1]
        if last >= LEAST_S:
            return
        start = last + 1 / source.rate


def scene_marks(engine: Engine, domain: Domain, scenes: int) -> dict[str, Any]:
    """Share of the time of held-out scenes that is marked, as they are and disturbed."""
    wanted = {split: round(share * scenes) for split, share in SPLITS.items()}
    data = cached_data(wanted, engine.config.input_size)
    rng = np.random.default_rng(1)
    marks: dict[str, list[list[bool]]] = {"as they are": [], "disturbed": []}
    videos = itertools.chain(*(scenes_of(data, split, n) for split, n in wanted.items()))
    for number, video in enumerate(videos):
        for name, own in marks.items():
            if name == "disturbed" and number % 2:
                continue
            frames = disturbed(video.frames, rng) if name == "disturbed" else video.frames
            watch, seen = DomainWatch(), []
            for index, tokens in enumerate(stream_tokens(engine, frames)):
                times = (index + np.arange(engine.config.clip_frames)) * INTERVAL
                stamps = tuple(round(1e9 * time) for time in times.tolist())
                seen.append(not watch.observe(stamps, domain.score(tokens)))
            own.append(seen)
        if number % 25 == 24:
            note(f"{number + 1} scenes")
    return {
        name: {
            "scenes": len(own),
            "marked": round(float(np.mean(np.concatenate(own))), 4),
            "scenes that were ever marked": sum(map(any, own)),
        }
        for name, own in marks.items()
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Both figures, and the cost.

    Raises:
        ModelError: The model has no description of its domain.
    """
    engine = load_engine(model_dir(args.model), threads=1, parts=frozenset({"vision"}))
    domain = Domain.load(engine.config)
    if domain is None:
        raise ModelError(f"model '{args.model}' has no description of its domain")
    result: dict[str, Any] = {"model_id": engine.config.model_id}
    clips, skipped = {}, round(WITHIN_S / PERIOD_S)
    for file in args.clips:
        marks = video_marks(engine, domain, file, args.seconds)
        late = marks[skipped - round(1.5 / PERIOD_S) :]
        first = marks.index(True) * PERIOD_S + 1.5 if any(marks) else None
        clips[file.name] = {"marked": round(float(np.mean(late)), 4), "first at s": first}
        note(f"{file.name}: {clips[file.name]}")
    if clips:
        shares = [one["marked"] for one in clips.values()]
        result["real clips"] = clips
        result["real clips, mean share marked after 5 s"] = round(float(np.mean(shares)), 4)
    if args.scenes:
        result["held-out scenes"] = scene_marks(engine, domain, args.scenes)
    size = engine.config.input_size
    black = np.zeros((engine.config.clip_frames, size, size, 3), np.uint8)
    (tokens,) = stream_tokens(engine, black)
    result["score_ms"] = quantiles(measure_ms(lambda: domain.score(tokens), 500, 20))
    return result


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], metavar="VIDEO")
    parser.add_argument("--scenes", type=int, default=150, help="held-out scenes (default: 150)")
    add_number_option(parser, "--seconds", 60, "of each video at most")
    return run_script(parser, measure, as_lines)


if __name__ == "__main__":
    sys.exit(main())
