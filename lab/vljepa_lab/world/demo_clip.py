"""Make the demo clip: a robot's day in a held-out room as a video, with what is true in each frame.

What happens is a script of fixed kinds of event; the seed draws the room, the objects, how each
event goes and when it begins. A seed fits if its scene lets all of the script happen; no model is
asked, and nothing is rendered, when the first one that fits is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.world.captions import ground_truth
from vljepa_lab.world.renderer import Renderer, WorldError
from vljepa_lab.world.scene import Scene

FPS, SECONDS, WIDTH, HEIGHT = 10, 75.0, 480, 360
SPLIT = "test_a"
FIRST_SEED = 710_000  # far above the seeds of any data set
SCRIPT = (
    "door opens",
    "person enters",
    "pick up",
    "put down",
    "push right",
    "person leaves",
    "door closes",
    "lights off",
)
QUIET_S, GAP_S, REST_S = 5.0, (6.0, 12.0), 7.0
"""Before the first onset; from one onset to the next; from the last one to the end, at least."""
_QUALITY = "27"  # x264 constant rate factor


def script_of(seed: int) -> list[tuple[float, str]]:
    """(onset in seconds, kind) of each event of a clip."""
    rng = np.random.default_rng([seed, 4])
    while True:
        gaps = rng.uniform(*GAP_S, len(SCRIPT) - 1)
        onsets = QUIET_S + np.concatenate(([0.0], np.cumsum(gaps)))
        if onsets[-1] <= SECONDS - REST_S:
            return list(zip(onsets.tolist(), SCRIPT, strict=True))


def fitting_seeds(first: int = FIRST_SEED) -> Iterator[int]:
    """Seeds from `first` on whose scene lets all of the script happen.

    The room has true shadows and begins with the lights on, the door closed, no person, an empty
    gripper and three objects or more.
    """
    renderer = Renderer(16, 16)
    try:
        for seed in count(first):
            script = script_of(seed)
            scene = Scene(renderer, seed, SPLIT, script=script)
            world = scene.world
            busy = world.lights < 0.5 or world.door > 0.5 or world.person > 0.5 or world.held
            if busy or not scene.room.shadows or len(world.objects) < 3:
                continue
            scene.advance(SECONDS)
            if [(event.start, event.kind) for event in scene.events] == script:
                yield seed
    finally:
        renderer.close()


def make_clip(
    seed: int,
    out: Path,
    seconds: float = SECONDS,
    gap: float | None = None,
    preset: str = "veryslow",
) -> list[dict[str, Any]]:
    """Write `clip.mp4` (H.264) and `ground_truth.jsonl`, one line per frame; returns the lines.

    Args:
        seed: of the scene.
        out: folder for the two files.
        seconds: length.
        gap: draw events at random with this mean gap in seconds, instead of the script.
        preset: of x264; a faster one gives a larger file of about the same quality.

    Raises:
        WorldError: mujoco or av is missing, or nothing can be rendered here.
    """
    try:
        import av
    except ImportError as error:
        raise WorldError("a clip needs PyAV: pip install 'vljepa_lab[train]'") from error
    out.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(WIDTH, HEIGHT, textures=700_000 + seed, shadow_size=1024)
    if gap is None:
        scene = Scene(renderer, seed, SPLIT, script=script_of(seed))
    else:
        scene = Scene(renderer, seed, SPLIT, gap=gap, first=3.0)
    lines = []
    with av.open(str(out / "clip.mp4"), "w", options={"movflags": "faststart"}) as container:
        options = {"crf": _QUALITY, "preset": preset}
        stream: Any = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for i in range(round(seconds * FPS)):
            scene.advance(i / FPS)
            frame = av.VideoFrame.from_ndarray(scene.render(), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
            lines.append(ground_truth(scene.all_events(), scene.state(), brief=True))
        for packet in stream.encode():
            container.mux(packet)
    renderer.close()
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (out / "ground_truth.jsonl").write_text(text)
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m vljepa_lab.world.demo_clip`."""
    parser = argparse.ArgumentParser(prog="vljepa_lab.world.demo_clip", description=__doc__)
    parser.add_argument("--seed", type=int, help="scene (default: the first one that fits)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length (%(default)g)")
    parser.add_argument("--gap", type=float, help="random events with this mean gap, no script")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    args = parser.parse_args(argv)
    try:
        seed = next(fitting_seeds()) if args.seed is None else args.seed
        lines = make_clip(seed, args.out, args.seconds, args.gap)
    except WorldError as error:
        print(f"demo_clip: {error}", file=sys.stderr)
        return 1
    size = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"seed {seed}: {len(lines)} frames, {size / 2**20:.2f} MiB in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
