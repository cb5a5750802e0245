"""How well a model tells what happens in the demo clip, and in further clips of the same recipe.

    python lab/bench/bench_demo.py --further 20 --save demo.json
    python lab/bench/bench_demo.py --animation doc/images/demo.webp

A clip is watched as the nodes do it, at their rate and with their settings, but not in real time.
The recipe is that of `vljepa_lab.world.demo_clip`; further clips have its next seeds. They are
rendered first (extra `[world]`, half a minute of one core each) and kept in ~/.cache/vljepa_ros.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import mean, median
from typing import Any

from vljepa_lab.bench.harness import run_script
from vljepa_lab.bench.samples import note
from vljepa_lab.evaluation.demo_animation import draw_animation
from vljepa_lab.evaluation.quality.captions import shipped_detector
from vljepa_lab.evaluation.quality.scenes import cache_folder
from vljepa_lab.world.demo_clip import fitting_seeds, make_clip
from vljepa_lab.world.renderer import WorldError
from vljepa_ros.cli.demo_record import DemoRecord, PublishedText, Truth
from vljepa_ros.cli.options import (
    CliError,
    add_model_options,
    add_number_option,
    natural_number,
)
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.change.anchor_drift import AnchorDrift
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_source import VideoFile, demo_clip
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.selective_decoder import SelectiveDecoder
from vljepa_ros.resources import NANO, model_dir

RATE_HZ = 5.0  # clips a second, as perception_node embeds them


def replay(engine: Engine, video: Path, seconds: float = 1e9) -> DemoRecord:
    """Watch a video that has its ground truth beside it, at most its first `seconds` seconds."""
    config = engine.config
    decoder = SelectiveDecoder(AnchorDrift(shipped_detector(config)), engine.generate)
    ring = ClipRing(
        config.clip_frames,
        config.frame_interval,
        lambda bgr: model_input(
            bgr[..., ::-1], config.input_size, preprocessing=config.preprocessing
        ),
    )
    source, record = VideoFile(video), DemoRecord()
    every = max(1, round(source.rate / RATE_HZ))
    for number, shot in enumerate(source.shots()):
        now = number / source.rate
        if now >= seconds:
            break
        truth = shot.truth or {}
        event = truth["event"], truth["object"]
        record.truths.append(Truth(now, *event, tuple(truth["valid_texts"])))
        ring.push(round(now * 1e9), shot.bgr, now=now)
        taken = ring.take(now) if number % every == 0 else None
        if taken is None:
            continue
        (encoded,) = engine.encode([taken.clip], [None])
        embedding = engine.embed([encoded.tokens], config.default_query)[0]
        update = decoder.observe(now, embedding)
        record.latencies.append(0.0)
        record.decodes = decoder.decodes
        if update is not None and update.is_event:
            record.texts.append(PublishedText(now, update.onset, now, update.text, update.decoded))
    return record


def further_clips(number: int) -> Iterator[tuple[str, Path]]:
    """(seed, clip) of the seeds that follow the shipped clip's; what is missing is rendered.

    Raises:
        WorldError: mujoco or av is missing, or nothing can be rendered here.
    """
    for seed in islice(fitting_seeds(), 1, number + 1):
        folder = cache_folder("demo") / str(seed)
        if not (folder / "ground_truth.jsonl").is_file():  # it is written last
            note(f"rendering the clip of seed {seed}")
            make_clip(seed, folder, preset="veryfast")
        yield str(seed), folder / "clip.mp4"


def figures(engine: Engine, further: int) -> dict[str, Any]:
    """The summary of each clip by its name, and the further ones together."""
    result: dict[str, Any] = {"clips": {"shipped": replay(engine, demo_clip()).summary()}}
    for seed, clip in further_clips(further):
        result["clips"][seed] = replay(engine, clip).summary()
    others = [clip for name, clip in result["clips"].items() if name != "shipped"]
    if others:
        events, named = (sum(clip[name] for clip in others) for name in ("events", "events_named"))
        result["further"] = {
            "clips": len(others),
            "events": events,
            "events_named": named,
            "events_named_share": round(named / events, 4),
            "delay_s": round(median(clip["delay_s"] for clip in others if clip["events_named"]), 2),
            "text_right_share": round(mean(clip["text_right_share"] for clip in others), 4),
            "least_text_right_share": min(clip["text_right_share"] for clip in others),
            "constant_text_right_share": round(
                mean(clip["constant_text_right_share"] for clip in others), 4
            ),
            "decodes_saved": round(mean(clip["decodes_saved"] for clip in others), 4),
        }
    return result


def _as_text(result: Mapping[str, Any]) -> str:
    lines = ["   clip  named delay  text right  constant  decodes saved"]
    for name, clip in [*result["clips"].items(), ("further", result.get("further"))]:
        if clip:
            named, delay = f"{clip['events_named']}/{clip['events']}", clip["delay_s"] or 0.0
            lines.append(
                f"{name:>7} {named:>7}  {delay:.2f}  {clip['text_right_share']:10.3f}  "
                f"{clip['constant_text_right_share']:8.3f}  {clip['decodes_saved']:.3f}"
            )
    return "\n".join(lines)


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    engine = load_engine(model_dir(args.model), args.engine)
    try:
        if args.animation:
            record = replay(engine, demo_clip())
            size = draw_animation(record, demo_clip(), args.animation)
            note(f"{args.animation}: {size / 2**20:.2f} MiB")
        return {"model_id": engine.config.model_id, **figures(engine, args.further)}
    except WorldError as error:
        raise CliError(str(error)) from error
    finally:
        engine.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_number_option(parser, "--further", 0, "clips of other seeds, too", natural_number, "N")
    parser.add_argument("--animation", type=Path, metavar="WEBP", help="draw the shipped clip")
    add_model_options(parser, NANO)
    return run_script(parser, _measure, _as_text, argv)


if __name__ == "__main__":
    sys.exit(main())
