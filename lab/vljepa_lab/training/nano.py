"""`vljepa train nano`: from nothing to a model folder, in phases that resume where they stopped.

data -> text -> dense -> (gate) -> joint -> cached -> refine (joint again) -> predictor (alone)
-> decoder -> calibrate and export. Each phase leaves one file in the run folder; a phase whose file
says "done" is skipped, delete the file to run it again. Needs torch.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

from vljepa_lab.training.decoder import decoder_words
from vljepa_lab.training.dense import probe, train_dense
from vljepa_lab.training.distributed import DistributedContext
from vljepa_lab.training.joint import WindowTraining, frame_features
from vljepa_lab.training.loop import (
    BudgetExceeded,
    Clock,
    RunContext,
    load_checkpoint,
    load_into,
    load_start,
)
from vljepa_lab.training.model_folder_writer import trainable_parameters
from vljepa_lab.training.nano_config import (
    PHASES,
    TRAINED,
    NanoConfig,
    data_plans,
    read_arguments,
)
from vljepa_lab.training.nano_export import TrainingState, decode_and_export, spread
from vljepa_lab.training.paraphrases import Paraphrases, text_ceiling
from vljepa_lab.training.predictions import quick_accuracy
from vljepa_lab.training.question_sampling import frequent_answers, frequent_questions
from vljepa_lab.training.store import Scene, SceneStore
from vljepa_lab.training.text_side import load_text_side, train_text_side
from vljepa_lab.training.text_trunk import TextTable, load_trunk, make_trunk
from vljepa_lab.world.dataset import generate
from vljepa_ros.models.vl_jepa.nano_config import Architecture, YDecoderSizes
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, TextTokenizer

TO_BE_CONTINUED = 75  # exit status, EX_TEMPFAIL: the same command goes on


class GateError(RuntimeError):
    """The per-frame stage does not see well enough for joint training to be worth its time."""


def train_nano(config: NanoConfig) -> None:
    """Run the phases of `config`.

    Raises:
        ValueError: an unknown phase.
        GateError: the dense phase ended without reaching `config.gate`.
        BudgetExceeded: `config.budget_minutes` are used up.
    """
    unknown = set(config.phases) - set(PHASES)
    if unknown:
        raise ValueError(
            f"unknown phase {', '.join(sorted(unknown))}; allowed: {', '.join(PHASES)}"
        )
    torch.set_num_threads(config.threads)
    machine = DistributedContext.here(config.device, config.precision)
    context = RunContext(config.run, machine, Clock(config.budget_minutes))
    try:
        if "data" in config.phases and machine.first:
            for plan in data_plans(config):
                if not generate(plan, config.workers, context.clock.deadline):
                    raise BudgetExceeded("data")
        machine.wait()
        if set(config.phases) - {"data"}:
            _train(config, context)
    finally:
        machine.close()


def _start(config: NanoConfig, machine: DistributedContext) -> TrainingState:
    """The model with its frozen trunk, the texts that are known, the scenes."""
    config.run.mkdir(parents=True, exist_ok=True)
    if machine.first:
        make_trunk(config.run, config.start)
    machine.wait()
    tokenizer, text_sizes, trunk = load_trunk(config.run)
    words = DecoderWords(decoder_words())
    architecture = Architecture(
        frame=config.frame_sizes,
        window=config.window_sizes,
        text=text_sizes,
        predictor=config.sizes,
        y_decoder=YDecoderSizes(words=len(words)),
    )
    torch.manual_seed(config.seed)
    model = VLJEPA(architecture)
    model.text_trunk.load_state_dict(trunk)
    table = TextTable(model.text_trunk, TextTokenizer(config.run / "tokenizer.json"))
    table.load(config.run / "texts.pt")
    data, kinds = config.data, ("", "_furnished")
    store = SceneStore([data / f"train{kind}" for kind in kinds])
    held_out = SceneStore([data / f"val{kind}" for kind in kinds], 2 * config.val_scenes)
    store.refresh()
    held_out.refresh()
    if machine.first:
        print(
            f"{len(store.scenes)} training scenes, {len(held_out.scenes)} for validation, "
            f"{trainable_parameters(model) / 1e6:.2f} M trainable parameters, "
            f"{machine.processes} x {machine.device}{' bf16' if machine.bf16 else ''}",
            flush=True,
        )
    return TrainingState(model, tokenizer, table, words, store, held_out)


def _known_texts(config: NanoConfig, table: TextTable, machine: DistributedContext) -> Paraphrases:
    """Embed the texts that will be met again and again; the first process for all."""
    chance = random.Random(config.seed)
    questions = frequent_questions(chance)
    answers = frequent_answers(chance)
    if config.known_texts:
        questions = chance.sample(questions, min(config.known_texts, len(questions)))
        answers = chance.sample(answers, min(config.known_texts, len(answers)))
    file = config.run / "texts.pt"
    if not machine.first:
        machine.wait()
        table.load(file)
    table.add(questions)
    table.add_answers(answers)
    paraphrases = Paraphrases(table, config.seed, most=config.known_texts)
    if machine.first:
        table.save(file)
        machine.wait()
    return paraphrases


def _train(config: NanoConfig, context: RunContext) -> None:
    """All phases but the rendering."""
    machine, seed = context.machine, config.seed
    state = _start(config, machine)
    model, table, store = state.model, state.table, state.store
    wanted = [phase for phase in PHASES if phase in config.phases]

    def begin(phase: str) -> bool:
        later = wanted[wanted.index(phase) + 1 :] if phase in wanted else []
        context.clock.later = sum(config.minutes_of(name) for name in later)
        return phase in wanted

    def evaluate() -> dict[str, float]:
        accuracy = quick_accuracy(model, table, state.held_out.scenes[: config.eval_scenes])
        ceiling = text_ceiling(model.text_head, table)
        return accuracy | {f"text {name}": share for name, share in ceiling.items()}

    if begin("text"):
        _text(config, context, state)
    load_text_side(model, context)
    if begin("dense"):
        _dense(config, context, state)
    paraphrases = None
    if set(wanted) & set(TRAINED):
        paraphrases = _known_texts(config, table, machine)
    training = WindowTraining(model, table, context, evaluate, seed, paraphrases)
    if begin("joint"):
        training.joint(store, config.joint)
    for phase in ("cached", "refine", "predictor"):
        if not begin(phase):
            continue
        start = newest(config, before=phase)
        if phase == "refine":
            training.joint(store, config.refine, phase, start)
            continue
        scenes = spread(store.scenes, config.cached_scenes)
        features = _features(state, scenes, config, machine, start)
        training.cached(scenes, features, getattr(config, phase), phase, start)
    model.to("cpu")
    if set(wanted) & {"decoder", "export"} and machine.first:
        begin("decoder")
        decode_and_export(config, context, state)


def _text(config: NanoConfig, context: RunContext, state: TrainingState) -> None:
    """The Y-Encoder on texts alone; what was embedded before it is of no use after it."""
    model, run = state.model, config.run
    done = load_text_side(model, context)
    start = load_start(config.start) if config.start is not None and not done else None
    if start is not None:
        load_into(start, {"text_head": model.text_head})
    tokenizer = TextTokenizer(run / "tokenizer.json")
    train_text_side(model, tokenizer, config.text, context, config.seed)
    if not done:
        state.table.forget()
        if context.machine.first:
            (run / "texts.pt").unlink(missing_ok=True)


def _dense(config: NanoConfig, context: RunContext, state: TrainingState) -> None:
    """The dense phase, and the gate behind it unless the joint phase has begun already."""
    gate, machine = config.gate, context.machine
    model, store, held_out = state.model, state.store, state.held_out
    tested = SceneStore([config.data / "gate"], gate.scenes)
    tested.refresh()
    for extension in range(gate.extensions + 1):
        minutes = config.dense.minutes * (1 + extension / 4)
        dense = replace(config.dense, minutes=minutes)
        heads = train_dense(model, store, held_out, dense, context, config.seed)
        if (config.run / "joint.pt").is_file() or not tested.scenes:
            return
        accuracy = probe(model.frame, heads, tested)
        shape, colour = machine.agreed(*(accuracy.get(name, 0.0) for name in ("shape", "colour")))
        passed = shape >= gate.shape and colour >= gate.colour
        if machine.first:
            print(
                f"gate: shape {shape:.3f} (at least {gate.shape}), colour {colour:.3f} (at least "
                f"{gate.colour}) in held-out rooms after {minutes:.0f} min: "
                f"{'passed' if passed else 'not there yet'}",
                flush=True,
            )
        if passed:
            return
    raise GateError(
        f"after {minutes:.0f} minutes the per-frame stage names the shape of {shape:.1%} and the "
        f"colour of {colour:.1%} of the objects in held-out rooms; joint training is worth its "
        f"time from {gate.shape:.0%} and {gate.colour:.0%} on. Render more scenes (--scenes, "
        "--furnished-scenes), give more --dense-minutes, or set --gate"
    )


def _features(
    state: TrainingState,
    scenes: list[Scene],
    config: NanoConfig,
    machine: DistributedContext,
    phase: str,
) -> torch.Tensor:
    """Frame features with the frame stage of a phase, kept on the disk."""
    model = state.model
    start = load_checkpoint(config.run / f"{phase}.pt")
    if start is not None:
        load_into(start, {"frame": model.frame})
    file = config.run / f"features_{phase}.pt"
    if machine.first:
        kept = torch.load(file, weights_only=True, mmap=True) if file.is_file() else ()
        if len(kept) != len(scenes):
            torch.save(frame_features(model.to(machine.device), scenes), file)
    machine.wait()
    features: torch.Tensor = torch.load(file, weights_only=True, mmap=True)
    return features


def newest(config: NanoConfig, before: str) -> str:
    """The newest finished phase that `before` can start from."""
    for phase in TRAINED[TRAINED.index(before) + 1 :]:
        if (config.run / f"{phase}.pt").is_file():
            return phase
    if config.start is not None:
        # Where phases of another run are to be continued, their checkpoint becomes part of this.
        file = config.run / "start.pt"
        if not file.is_file():
            content = load_start(config.start)
            if content is None:
                raise FileNotFoundError(f"'{config.start}' is neither a checkpoint nor a folder")
            text = load_checkpoint(config.run / "text.pt")
            if text is not None:  # its head belongs to the trunk that was trained with it
                content["parts"]["text_head"] = text["parts"]["text_head"]
            torch.save(content, file)
        return "start"
    return "joint"


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train nano`."""
    config = read_arguments(argv)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        train_nano(config)
    except BudgetExceeded as paused:
        print(f"stopped in {paused} with everything saved: the same command goes on", flush=True)
        return TO_BE_CONTINUED
    except GateError as error:
        print(f"vljepa train nano: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
