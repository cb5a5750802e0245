"""Settings of `vljepa train nano`: data, phases and their minutes, the machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vljepa_lab.training.decoder import DecoderConfig
from vljepa_lab.training.dense import DenseConfig
from vljepa_lab.training.distributed import DEVICES, PRECISIONS
from vljepa_lab.training.joint import CachedConfig, JointConfig
from vljepa_lab.training.text_side import TextConfig
from vljepa_lab.world.dataset import Plan
from vljepa_ros.models.vl_jepa.nano_config import FrameSizes, PredictorSizes, WindowSizes

PHASES = ("data", "text", "dense", "joint", "cached", "refine", "predictor", "decoder", "export")
TRAINED = ("predictor", "refine", "cached", "joint")
"""Phases that leave a whole X-Encoder, Predictor and text head, the newest first."""
_TIMED = PHASES[1:-1]
_FIRST_FURNISHED = 100_000  # seeds: no plain scene, and no scene of Test A, shares one
_FIRST_FURNISHED_VAL = 190_000
_FIRST_OF_GATE = 900_000  # of no test and of no stream of `vljepa eval events`


@dataclass(frozen=True)
class GateConfig:
    """What the per-frame stage must see before the joint phase may begin.

    scenes: how many, in held-out kinds of room (of other seeds than Test A); shape, colour: share
    of the objects' cells in which the read-out is right. The dense phase goes on for a quarter of
    its minutes, `extensions` times at most, until it is there.
    """

    scenes: int = 100
    shape: float = 0.75
    colour: float = 0.92
    extensions: int = 3


@dataclass(frozen=True)
class NanoConfig:
    """data: folder of the shards, made where missing; run: checkpoints; out: model folder.

    each phase's `minutes` are wall time; phases: which to run (each skips itself when done).
    budget_minutes: of this call, 0 as long as it takes; everything is resumed by the same command.
    scenes, furnished_scenes: training scenes in plain and in furnished rooms (`world/decor`).
    start: a checkpoint of a joint or later phase that `refine` starts from, `text` from its head.
    device, precision: see `machine`. cached_scenes, pair_scenes: how many scenes (evenly from all)
    the cached phases and the Y-Decoder learn from; pair_windows: windows of each scene whose
    predictions teach the decoder; known_texts: how many questions, answers and wordings of a
    meaning are embedded beforehand (0 all that are frequent); calibration_sets: of candidates, for
    each task.
    """

    data: Path = Path("data")
    run: Path = Path("runs/nano")
    out: Path = Path("runs/nano/model")
    phases: tuple[str, ...] = PHASES
    budget_minutes: float = 0.0
    scenes: int = 4400
    furnished_scenes: int = 5600
    val_scenes: int = 150
    workers: int = 2
    threads: int = 1
    seed: int = 0
    start: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    eval_scenes: int = 30
    cached_scenes: int = 2000
    pair_scenes: int = 800
    pair_windows: int = 4
    known_texts: int = 0
    calibration_sets: int = 1000
    text: TextConfig = field(default_factory=TextConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    dense: DenseConfig = field(default_factory=lambda: DenseConfig(minutes=24.0))
    joint: JointConfig = field(default_factory=JointConfig)
    cached: CachedConfig = field(default_factory=lambda: CachedConfig(minutes=10.0))
    refine: JointConfig = field(
        default_factory=lambda: JointConfig(minutes=45.0, rate=6e-4, frame_factor=0.6, questions=5)
    )
    predictor: CachedConfig = field(
        default_factory=lambda: CachedConfig(
            minutes=12.0, questions=6, rate=1.5e-3, warmup=20, tokens_only=True
        )
    )
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(minutes=4.0))
    frame_sizes: FrameSizes = field(default_factory=FrameSizes)
    window_sizes: WindowSizes = field(default_factory=WindowSizes)
    sizes: PredictorSizes = field(default_factory=PredictorSizes)

    def minutes_of(self, phase: str) -> float:
        """Planned minutes of a phase; 0 where it has none."""
        return float(getattr(self, phase).minutes) if phase in _TIMED else 0.0


def data_plans(config: NanoConfig) -> list[Plan]:
    """What to render: for the gate, for validation (plain and furnished), for training (too)."""
    data = config.data

    def furnished(folder: str, scenes: int, first: int) -> Plan:
        return Plan("train", scenes, data / folder, first=first, furnished=True)

    return [
        Plan("test_a", config.gate.scenes, data / "gate", first=_FIRST_OF_GATE),
        Plan("val", config.val_scenes, data / "val"),
        furnished("val_furnished", config.val_scenes, first=_FIRST_FURNISHED_VAL),
        Plan("train", config.scenes, data / "train"),
        furnished("train_furnished", config.furnished_scenes, first=_FIRST_FURNISHED),
    ]


def read_arguments(argv: Sequence[str] | None) -> NanoConfig:
    """The configuration that a command line asks for; ends the program where it is wrong."""
    default = NanoConfig()
    parser = argparse.ArgumentParser(
        prog="vljepa train nano",
        description="From nothing to a model folder, in phases: " + ", ".join(PHASES) + ". Each "
        "resumes where it stopped and is skipped when done.",
        epilog="Exit status 75 means that --budget-minutes are used up and the same command goes "
        "on. Several processes: torchrun --nproc-per-node N -m vljepa_lab.training.nano -- "
        "OPTIONS.",
    )
    add = parser.add_argument
    add("--data", type=Path, default=default.data, help="folder of the shards")
    add("--run", type=Path, default=default.run, help="folder of the checkpoints")
    add("--out", type=Path, help="model folder to write (default RUN/model)")
    add("--phases", nargs="+", choices=PHASES, default=list(PHASES), help="default all")
    text = "stop after M minutes with everything saved; the same command goes on"
    add("--budget-minutes", type=float, default=0.0, metavar="M", help=text)
    for name, text in (
        ("scenes", "training scenes in plain rooms"),
        ("furnished-scenes", "training scenes in furnished rooms"),
        ("workers", "rendering processes"),
        ("threads", "torch threads"),
        ("seed", "of weights and batches"),
    ):
        value = getattr(default, name.replace("-", "_"))
        add(f"--{name}", type=int, default=value, help=f"{text} (default {value})")
    text = "checkpoint that `text` and `refine` start from"
    add("--start", type=Path, metavar="FILE", help=text)
    add(
        "--gate",
        type=float,
        nargs=2,
        metavar=("SHAPE", "COLOUR"),
        default=[default.gate.shape, default.gate.colour],
        help="what the dense phase must reach in held-out rooms before joint training "
        f"(default {default.gate.shape} {default.gate.colour}; 0 0 lets everything pass)",
    )
    add("--device", choices=DEVICES, default="auto", help="default auto")
    text = "auto: bf16 on a GPU, else fp32"
    add("--precision", choices=PRECISIONS, default="auto", help=text)
    for phase in _TIMED:
        minutes = default.minutes_of(phase)
        text = f"wall time (default {minutes:g})"
        add(f"--{phase}-minutes", type=float, default=minutes, metavar="M", help=text)
    args = parser.parse_args(argv)
    if min(args.scenes, args.furnished_scenes, args.workers, args.threads) < 1:
        parser.error("scenes, furnished scenes, workers and threads must be at least 1")
    given = vars(args)
    for phase in _TIMED:
        minutes = given.pop(f"{phase}_minutes")
        given[phase] = replace(getattr(default, phase), minutes=minutes)
    shape, colour = args.gate
    given["gate"] = replace(default.gate, shape=shape, colour=colour)
    given |= {"out": args.out or args.run / "model", "phases": tuple(args.phases)}
    return replace(default, **given)
