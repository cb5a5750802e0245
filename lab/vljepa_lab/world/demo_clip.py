"""Make the demo clip: a minute of a held-out room as a video, with what is true in every frame."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vljepa_lab.world.captions import ground_truth
from vljepa_lab.world.renderer import Renderer, WorldError
from vljepa_lab.world.scene import Scene

FPS, SECONDS, WIDTH, HEIGHT = 10, 60.0, 480, 360
SPLIT, GAP = "test_a", 2.6
FIRST_SEED = 700_000  # far above the seeds of any data set
_QUALITY = "27"  # x264 constant rate factor
WANTED = frozenset(
    {"pick up", "put down", "fall off", "door opens", "person enters", "lights off", "lights on"}
)


def make_clip(seed: int, out: Path, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Write `clip.mp4` (H.264) and `ground_truth.jsonl`, one line per frame; returns the lines.

    Raises:
        WorldError: mujoco or av is missing, or nothing can be rendered here.
    """
    try:
        import av
    except ImportError as error:
        raise WorldError("a clip needs PyAV: pip install 'vljepa_lab[train]'") from error
    out.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(WIDTH, HEIGHT, textures=FIRST_SEED + seed, shadow_size=1024)
    scene = Scene(renderer, seed, SPLIT, gap=GAP, first=3.0)
    lines = []
    with av.open(str(out / "clip.mp4"), "w", options={"movflags": "faststart"}) as container:
        options = {"crf": _QUALITY, "preset": "veryslow"}
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


def pick_seed(renderer: Renderer, first: int = FIRST_SEED, tries: int = 1000) -> int:
    """The seed, of `tries` from `first` on, whose minute shows most kinds of event.

    Nothing is rendered. The room has true shadows and starts with the lights on and three objects.
    """
    best, best_score = first, -1.0
    for seed in range(first, first + tries):
        scene = Scene(renderer, seed, SPLIT, gap=GAP, first=3.0)
        objects = scene.world.objects
        if not scene.room.shadows or scene.world.lights < 0.5 or len(objects) < 3:
            continue
        scene.advance(SECONDS)
        kinds = [e.kind for e in scene.events]
        colors = {o.color for o in objects}
        score = len(set(kinds)) + 3 * len(WANTED & set(kinds)) + len(colors)
        if score > best_score:
            best, best_score = seed, score
    return best


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m vljepa_lab.world.demo_clip`."""
    parser = argparse.ArgumentParser(prog="vljepa_lab.world.demo_clip", description=__doc__)
    parser.add_argument("--seed", type=int, help="scene (default: search for a lively one)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    args = parser.parse_args(argv)
    try:
        seed = args.seed
        if seed is None:
            search = Renderer(16, 16)
            seed = pick_seed(search)
            search.close()
        lines = make_clip(seed, args.out)
    except WorldError as error:
        print(f"demo_clip: {error}", file=sys.stderr)
        return 1
    size = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"seed {seed}: {len(lines)} frames, {size / 2**20:.2f} MiB in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
