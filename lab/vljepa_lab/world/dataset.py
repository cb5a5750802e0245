"""Make a data set: scenes at 2 Hz in shards, deterministic, resumable, in several processes.

A shard is `shard_00000.npy`, uint8 [scenes, FRAMES, size, size, 3] RGB, and `shard_00000.jsonl`,
one object per scene: seed, split, textures, stamps [FRAMES] (seconds), events (kind, object, start,
end), states [FRAMES] (`State.as_dict`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.records import INTERVAL, SPLITS
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene
from vljepa_ros.files import atomic_write

FRAMES = 24
SHARD = 100  # scenes in one
_TEXTURE_SCENES = 50  # that share a texture set
_RESTARTS = 20  # of the pool after a renderer crashed


@dataclass(frozen=True)
class Plan:
    """What to make.

    Attributes:
        split: one of SPLITS.
        scenes: how many.
        out: folder of the shards.
        size: pixels of a side.
        shard: scenes in one.
        frames: of each scene.
        first: seed of the first scene.
        furnished: rooms with more furniture, windows and light (`decor`; split train only).
    """

    split: str
    scenes: int
    out: Path
    size: int = 128
    shard: int = SHARD
    frames: int = FRAMES
    first: int = 0
    furnished: bool = False

    def shards(self) -> list[tuple[int, int]]:
        """(number, scenes) of each shard."""
        full, rest = divmod(self.scenes, self.shard)
        return [(i, self.shard) for i in range(full)] + ([(full, rest)] if rest else [])


def texture_seed(split: str, scene: int) -> int:
    """Seed of the texture set of a scene: no two splits share one."""
    return SPLITS.index(split) * 1_000_000 + scene // _TEXTURE_SCENES


def make_scene(
    renderer: Renderer, seed: int, split: str, frames: int = FRAMES, furnished: bool = False
) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
    """One scene at 2 Hz from a random phase: frames [T, size, size, 3] and its record."""
    scene = Scene(renderer, seed, split, furnished=furnished)
    phase = float(np.random.default_rng([seed, 2]).uniform(0, INTERVAL))
    images, states = [], []
    for i in range(frames):
        scene.advance(phase + i * INTERVAL)
        images.append(scene.render())
        states.append(scene.state().as_dict())
    record = scene.record()
    record["stamps"] = [s["stamp"] for s in states]
    record["states"] = states
    return np.stack(images), record


def shard_paths(out: Path, number: int) -> tuple[Path, Path]:
    """The array and the records of a shard."""
    return out / f"shard_{number:05d}.npy", out / f"shard_{number:05d}.jsonl"


def finished(out: Path, number: int) -> bool:
    """Whether both files of a shard are there."""
    return all(path.exists() for path in shard_paths(out, number))


def write_shard(plan: Plan, number: int, scenes: int) -> Path:
    """Write one shard, or leave it where it is finished; a half-written one is made again."""
    array_path, records_path = shard_paths(plan.out, number)
    if finished(plan.out, number):
        return array_path
    array = np.empty((scenes, plan.frames, plan.size, plan.size, 3), np.uint8)
    lines: list[str] = []
    start = plan.first + number * plan.shard
    texture_of = partial(texture_seed, plan.split)
    for textures, seeds in groupby(range(start, start + scenes), texture_of):
        renderer = Renderer(plan.size, plan.size, textures=textures)
        for seed in seeds:
            images, record = make_scene(renderer, seed, plan.split, plan.frames, plan.furnished)
            array[seed - start] = images
            lines.append(json.dumps({**record, "textures": textures}, separators=(",", ":")) + "\n")
        renderer.close()
    # the array comes last: a shard counts as finished once both names exist
    with atomic_write(records_path, "w") as file:
        file.writelines(lines)
    with atomic_write(array_path) as file:
        np.save(file, array)
    return array_path


def generate(plan: Plan, workers: int = 1, until: float | None = None) -> bool:
    """Write all shards of a plan, `workers` at a time, with a line of progress for each.

    until: `time.monotonic()` after which no shard is begun. Returns whether all are there.

    Software renderers crash now and then (heap errors inside the driver): workers that die are
    started again, and what they had not finished is made again, with the same bytes.

    Raises:
        WorldError: mujoco is missing or cannot render.
        BrokenProcessPool: workers died _RESTARTS times.
    """
    jobs = [(k, n) for k, n in plan.shards() if not finished(plan.out, k)]
    start, done = time.monotonic(), 0
    total = sum(n for _, n in jobs)

    def report(scenes: int) -> None:
        nonlocal done
        done += scenes
        spent = time.monotonic() - start
        left = spent / done * (total - done)
        rate = done * plan.frames / max(spent, 1e-9)
        print(
            f"{plan.split}: {done}/{total} scenes to make, "
            f"{rate:.0f} frames/s, about {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    if workers <= 1:
        for number, scenes in jobs:
            if until is not None and time.monotonic() >= until:
                return False
            write_shard(plan, number, scenes)
            report(scenes)
        return True
    for restart in range(_RESTARTS + 1):
        try:
            _in_processes(plan, jobs, workers, until, report)
            break
        except BrokenProcessPool:
            if restart == _RESTARTS:
                raise
            print(f"{plan.split}: a renderer crashed, going on", file=sys.stderr, flush=True)
        jobs = [(k, n) for k, n in jobs if not finished(plan.out, k)]
    return all(finished(plan.out, k) for k, _ in plan.shards())


def _in_processes(
    plan: Plan,
    jobs: Sequence[tuple[int, int]],
    workers: int,
    until: float | None,
    report: Callable[[int], None],
) -> None:
    """Make shards in `workers` processes; no more of them are handed out than are at work."""
    context = multiprocessing.get_context("spawn")
    waiting = iter(jobs)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: dict[Future[Path], int] = {}
        while True:
            while len(running) < workers and (until is None or time.monotonic() < until):
                job = next(waiting, None)
                if job is None:
                    break
                running[pool.submit(write_shard, plan, *job)] = job[1]
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                report(running.pop(future))


def open_shards(
    folder: Path,
) -> Iterator[tuple[npt.NDArray[np.uint8], list[dict[str, Any]]]]:
    """The finished shards of a folder, in order: [N, T, S, S, 3], memory-mapped, and records."""
    for array_path in sorted(folder.glob("shard_*.npy")):
        records = array_path.with_suffix(".jsonl")
        if records.exists():
            with records.open() as f:
                yield np.load(array_path, mmap_mode="r"), [json.loads(line) for line in f]


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m vljepa_lab.world.dataset`."""
    parser = argparse.ArgumentParser(prog="vljepa_lab.world.dataset", description=__doc__)
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--scenes", type=int, required=True, help="how many, from seed 0 on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--size", type=int, default=128, help="pixels (default 128)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene (default 0)")
    parser.add_argument(
        "--furnished",
        action="store_true",
        help="rooms with more furniture, windows and light; train only",
    )
    args = parser.parse_args(argv)
    if args.scenes < 1 or args.size < 16 or args.workers < 1 or args.first < 0:
        parser.error("allowed are --scenes >= 1, --size >= 16, --workers >= 1 and --first >= 0")
    if args.furnished and args.split != "train":
        parser.error(f"--furnished is for --split train, not {args.split}")
    plan = Plan(
        args.split,
        args.scenes,
        args.out,
        args.size,
        first=args.first,
        furnished=args.furnished,
    )
    generate(plan, args.workers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
