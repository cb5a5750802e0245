"""`vljepa train nano`: from nothing to a model folder, in phases that resume where they stopped.

data -> dense -> joint -> cached -> refine (joint again) -> predictor (alone) ->
decoder -> calibrate and export. Each
phase leaves one file in the run folder; a phase whose file says "done" is skipped, delete the file
to run it again. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from vljepa_ros.models.vl_jepa.architecture import (
    Architecture,
    PredictorSizes,
    TextSizes,
    YDecoderSizes,
)
from vljepa_ros.models.vl_jepa.text import DecoderWords, TextTokenizer, split_words
from vljepa_ros.models.vl_jepa.vl_jepa import VLJEPA, trainable_parameters
from vljepa_ros.models.vl_jepa.weights import rounded
from vljepa_ros.training.asking import canonical_text, frequent_answers, frequent_texts
from vljepa_ros.training.cached import CachedConfig, frame_features, train_cached
from vljepa_ros.training.calibration import calibrate
from vljepa_ros.training.checkpoint import load_checkpoint, load_into
from vljepa_ros.training.decoder import DecoderConfig, decoder_words, known_keys, train_decoder
from vljepa_ros.training.dense import DenseConfig, train_dense
from vljepa_ros.training.joint import JointConfig, train_joint
from vljepa_ros.training.package import Contents, write_model_folder
from vljepa_ros.training.pairs import Pair, predicted_pairs
from vljepa_ros.training.paraphrases import Paraphrases, text_ceiling
from vljepa_ros.training.quick_eval import quick_accuracy
from vljepa_ros.training.store import Scene, Store
from vljepa_ros.training.texts import TextTable
from vljepa_ros.training.trunk import build_trunk
from vljepa_ros.world.captions import event_text, state_text
from vljepa_ros.world.dataset import Plan, generate
from vljepa_ros.world.event_wordings import EVENTS
from vljepa_ros.world.state import ACTIONS, COLORS, SHAPES
from vljepa_ros.world.unseen_wordings import UNSEEN_EVENTS, UNSEEN_QUESTIONS, UNSEEN_STATES
from vljepa_ros.world.wide_wordings import WIDE_EVENTS, WIDE_QUESTIONS, WIDE_STATES
from vljepa_ros.world.wordings import QUESTIONS, STATES

__all__ = ["PHASES", "NanoConfig", "demo_vocabulary", "main", "train_nano", "world_words"]

FIRST_FURNISHED = 100_000  # seed of the first furnished scene: no plain scene shares one
PHASES = ("data", "dense", "joint", "cached", "refine", "predictor", "decoder", "export")
_TRAINED = ("predictor", "refine", "cached", "joint")


@dataclass(frozen=True)
class NanoConfig:
    """data: folder with `train` and `val` shards, made where missing; run: checkpoints; out: model
    folder.

    each phase's `minutes` are wall time; phases: which to run (each skips itself when
    done). scenes, furnished_scenes: training scenes in plain and furnished rooms (`world/decor`).
    cached_scenes, pair_scenes: how many scenes (evenly from all) the cached phases and the
    Y-Decoder learn from; pair_windows: windows of each scene whose predictions teach the decoder.
    """

    data: Path = Path("data")
    run: Path = Path("runs/nano")
    out: Path = Path("runs/nano/model")
    name: str = "nano"
    phases: tuple[str, ...] = PHASES
    scenes: int = 4400
    furnished_scenes: int = 3500
    val_scenes: int = 150
    workers: int = 2
    threads: int = 1
    seed: int = 0
    eval_scenes: int = 30
    cached_scenes: int = 2000
    pair_scenes: int = 800
    pair_windows: int = 4
    dense: DenseConfig = field(default_factory=DenseConfig)
    joint: JointConfig = field(default_factory=JointConfig)
    cached: CachedConfig = field(default_factory=CachedConfig)
    refine: JointConfig = field(
        default_factory=lambda: JointConfig(minutes=20.0, rate=6e-4, frame_factor=0.6, questions=5)
    )
    predictor: CachedConfig = field(
        default_factory=lambda: CachedConfig(
            minutes=6.0, questions=6, rate=1.5e-3, warmup=20, tokens_only=True
        )
    )
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    sizes: PredictorSizes = field(default_factory=PredictorSizes)


def world_words() -> list[str]:
    """Every word of the world's texts: they stay whole in the tokenizer."""
    tables = (
        *(EVENTS, UNSEEN_EVENTS, WIDE_EVENTS, STATES, UNSEEN_STATES, WIDE_STATES),
        *(QUESTIONS, UNSEEN_QUESTIONS, WIDE_QUESTIONS),
    )
    texts = [text for table in tables for options in table.values() for text in options]
    return sorted({word for text in (*texts, *SHAPES, *COLORS) for word in split_words(text)})


def demo_vocabulary() -> dict[str, list[str]]:
    """Prompt -> labels: what happens, the door, the lights, whether somebody is here."""

    def states(*keys: str) -> list[str]:
        return [state_text(key) for key in keys]

    questions = QUESTIONS
    return {
        questions["action"][0]: [event_text(kind) for kind in ACTIONS],
        questions["door"][0]: states("door:open", "door:closed"),
        questions["lights"][0]: states("lights:on", "lights:off"),
        questions["person_yes"][0]: states("person:yes", "person:no"),
    }


def _start(config: NanoConfig) -> tuple[VLJEPA, Tokenizer, TextTable, DecoderWords]:
    """The model with its frozen trunk, and the texts worth knowing from the start."""
    config.run.mkdir(parents=True, exist_ok=True)
    tokenizer, text_sizes, trunk = _trunk(config.run)
    words = DecoderWords(decoder_words())
    architecture = Architecture(
        text=text_sizes, predictor=config.sizes, y_decoder=YDecoderSizes(words=len(words))
    )
    torch.manual_seed(config.seed)
    model = VLJEPA(architecture)
    model.text_trunk.load_state_dict(trunk)
    table = TextTable(model.text_trunk, TextTokenizer(config.run / "tokenizer.json"))
    table.load(config.run / "texts.pt")
    return model, tokenizer, table, words


def _trunk(run: Path) -> tuple[Tokenizer, TextSizes, dict[str, torch.Tensor]]:
    """Built once for a run, so that embeddings kept on the disk stay valid."""
    file, tokenizer_file = run / "trunk.pt", run / "tokenizer.json"
    if not file.is_file():
        tokenizer, sizes, state = build_trunk(world_words())
        tokenizer.save(str(tokenizer_file))
        torch.save(state, file)
    state = torch.load(file, weights_only=True)
    sizes = TextSizes(words=len(state["words.weight"]), positions=len(state["positions"]))
    return Tokenizer.from_file(str(tokenizer_file)), sizes, state


def train_nano(config: NanoConfig) -> None:
    """Run the phases of `config`.

    Raises:
        ValueError: an unknown phase.
    """
    unknown = set(config.phases) - set(PHASES)
    if unknown:
        raise ValueError(
            f"unknown phase {', '.join(sorted(unknown))}; allowed: {', '.join(PHASES)}"
        )
    torch.set_num_threads(config.threads)
    phases = config.phases
    if "data" in phases:
        for plan in data_plans(config):
            generate(plan, config.workers)
    if not set(phases) - {"data"}:
        return
    store = Store((config.data / "train", config.data / "train_furnished"))
    held_out = Store(config.data / "val", config.val_scenes)
    store.refresh()
    held_out.refresh()
    model, tokenizer, table, words = _start(config)
    print(
        f"{len(store.scenes)} training scenes, {len(held_out.scenes)} for validation, "
        f"{trainable_parameters(model) / 1e6:.2f} M trainable parameters",
        flush=True,
    )

    def evaluate() -> dict[str, float]:
        found = quick_accuracy(model, table, held_out.scenes[: config.eval_scenes])
        ceiling = text_ceiling(model.text_head, table)
        return found | {f"text {name}": share for name, share in ceiling.items()}

    paraphrases = None
    if set(phases) & {"joint", "cached", "refine", "predictor"}:
        chance = random.Random(config.seed)
        table.add(frequent_texts("train", chance))
        table.add_answers(frequent_answers("train", chance))
        paraphrases = Paraphrases(table, config.seed)
        table.save(config.run / "texts.pt")

    # Phases before the wanted ones are loaded: they are done, or there is nothing to build on.
    if "dense" in phases:
        train_dense(model, store, held_out, config.dense, config.run, config.seed)
    if "joint" in phases:
        train_joint(
            model, table, store, config.joint, config.run, evaluate, config.seed,
            paraphrases=paraphrases,
        )  # fmt: skip
    if "cached" in phases:
        scenes = spread(store.scenes, config.cached_scenes)
        features = _features(model, scenes, config, "joint")
        train_cached(
            model, table, scenes, config.cached, config.run, evaluate, features, config.seed,
            paraphrases=paraphrases,
        )  # fmt: skip
        del features
    if "refine" in phases:
        start = "cached" if (config.run / "cached.pt").is_file() else "joint"
        train_joint(
            model, table, store, config.refine, config.run, evaluate, config.seed, "refine", start,
            paraphrases,
        )  # fmt: skip
    if "predictor" in phases:
        start = next(p for p in _TRAINED if p != "predictor" and _there(config.run, p))
        scenes = spread(store.scenes, config.cached_scenes)
        features = _features(model, scenes, config, start)
        train_cached(
            model, table, scenes, config.predictor, config.run, evaluate, features, config.seed,
            "predictor", start, paraphrases,
        )  # fmt: skip
        del features
    if set(phases) & {"decoder", "export"}:
        _finish(config, model, tokenizer, table, words, store, held_out)


def _there(run: Path, phase: str) -> bool:
    return phase == "joint" or (run / f"{phase}.pt").is_file()


def data_plans(config: NanoConfig) -> list[Plan]:
    """What to render: validation, plain training rooms, furnished ones (other seeds)."""
    return [
        Plan("val", config.val_scenes, config.data / "val"),
        Plan("train", config.scenes, config.data / "train"),
        Plan(
            "train",
            config.furnished_scenes,
            config.data / "train_furnished",
            first=FIRST_FURNISHED,
            furnished=True,
        ),
    ]


def spread(scenes: list[Scene], count: int) -> list[Scene]:
    """`count` scenes, evenly from all; all where there are no more."""
    if count >= len(scenes):
        return list(scenes)
    return [scenes[index * len(scenes) // count] for index in range(count)]


def _features(model: VLJEPA, scenes: list[Scene], config: NanoConfig, phase: str) -> torch.Tensor:
    """Frame features with the frame stage of a phase, kept on the disk."""
    start = load_checkpoint(config.run / f"{phase}.pt")
    if start is not None:
        load_into(start, {"frame": model.frame})
    file = config.run / f"features_{phase}.pt"
    if file.is_file():
        kept: torch.Tensor = torch.load(file, weights_only=True, mmap=True)
        if len(kept) == len(scenes):
            return kept
    features = frame_features(model, scenes)
    torch.save(features, file)
    return features


def _finish(
    config: NanoConfig,
    model: VLJEPA,
    tokenizer: Tokenizer,
    table: TextTable,
    words: DecoderWords,
    store: Store,
    held_out: Store,
) -> None:
    """Y-Decoder, calibration and export, from the newest of the trained checkpoints."""
    for name in (f"{phase}.pt" for phase in _TRAINED):
        saved = load_checkpoint(config.run / name)
        if saved is not None:
            parts = {n: getattr(model, n) for n in ("frame", "window", "predictor", "text_head")}
            load_into(saved, parts, partial=True)
            break
    # What is shipped is rounded; the decoder and the calibration learn from that.
    model.load_state_dict(rounded(model.state_dict()))
    model.eval()
    validation = list(predicted_pairs(model, table, held_out.scenes, 5, config.seed))
    if "decoder" in config.phases:
        pairs: list[Pair] = []
        if not _done(config.run / "decoder.pt"):
            scenes = spread(store.scenes, config.pair_scenes)
            pairs = list(predicted_pairs(model, table, scenes, config.pair_windows, config.seed))
        train_decoder(
            model, table, pairs, validation, words, config.decoder, config.run, config.seed
        )
    if "export" not in config.phases:
        return
    saved = load_checkpoint(config.run / "decoder.pt")
    if saved is not None:
        load_into(saved, {"y_decoder": model.y_decoder})
    model.load_state_dict(rounded(model.state_dict()))
    model.eval()
    keys = known_keys()
    calibration = calibrate(model, table, validation, words, keys, config.seed)
    print("calibration:", calibration, flush=True)
    contents = Contents(
        name=config.name,
        default_query=QUESTIONS["event"][0],
        vocabulary=demo_vocabulary(),
        known_texts=list(dict.fromkeys(canonical_text(key) for key in keys)),
        decoder_words=words.words,
        calibration=calibration,
    )
    model_id = write_model_folder(model, tokenizer, contents, config.out)
    print(f"{model_id} written to {config.out}", flush=True)
    accuracy = quick_accuracy(model, table, held_out.scenes, blind=True)
    (config.run / "validation.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    print("validation:", accuracy, flush=True)


def _done(file: Path) -> bool:
    saved = load_checkpoint(file)
    return bool(saved and saved["done"])


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train nano`."""
    default = NanoConfig()
    parser = argparse.ArgumentParser(prog="vljepa train nano", description=__doc__)
    parser.add_argument("--data", type=Path, default=default.data, help="folder of the shards")
    parser.add_argument("--run", type=Path, default=default.run, help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, default=default.out, help="model folder to write")
    parser.add_argument(
        "--phases",
        nargs="+",
        choices=PHASES,
        default=list(PHASES),
        help="which to run (default all)",
    )
    parser.add_argument(
        "--scenes", type=int, default=default.scenes, help="training scenes to make"
    )
    parser.add_argument("--workers", type=int, default=default.workers, help="rendering processes")
    parser.add_argument("--threads", type=int, default=default.threads, help="torch threads")
    parser.add_argument("--seed", type=int, default=default.seed)
    for phase in ("dense", "joint", "cached", "refine", "predictor", "decoder"):
        minutes = getattr(default, phase).minutes
        parser.add_argument(
            f"--{phase}-minutes",
            type=float,
            default=minutes,
            help=f"wall time (default {minutes:g})",
        )
    args = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    train_nano(
        NanoConfig(
            data=args.data,
            run=args.run,
            out=args.out,
            phases=tuple(args.phases),
            scenes=args.scenes,
            workers=args.workers,
            threads=args.threads,
            seed=args.seed,
            dense=replace(default.dense, minutes=args.dense_minutes),
            joint=replace(default.joint, minutes=args.joint_minutes),
            cached=replace(default.cached, minutes=args.cached_minutes),
            refine=replace(default.refine, minutes=args.refine_minutes),
            predictor=replace(default.predictor, minutes=args.predictor_minutes),
            decoder=replace(default.decoder, minutes=args.decoder_minutes),
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
