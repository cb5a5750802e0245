"""The end of `vljepa train nano`: Y-Decoder, calibration, export, model card. Needs torch."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tokenizers import Tokenizer

from vljepa_lab.training.calibration import calibrate
from vljepa_lab.training.decoder import known_keys, train_decoder
from vljepa_lab.training.graph_writer import rounded
from vljepa_lab.training.loop import RunContext, load_checkpoint, load_into
from vljepa_lab.training.model_folder_writer import (
    FolderContents,
    trainable_parameters,
    write_card,
    write_model_folder,
)
from vljepa_lab.training.nano_config import TRAINED, NanoConfig
from vljepa_lab.training.predictions import Pair, predicted_pairs, quick_accuracy
from vljepa_lab.training.question_sampling import canonical_text
from vljepa_lab.training.store import Scene, SceneStore
from vljepa_lab.training.text_side import tuned_parameters
from vljepa_lab.training.text_trunk import TextTable, demo_vocabulary
from vljepa_lab.world.wordings import wordings
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords

CHANGE_THRESHOLD = 0.08
"""Chosen by false changes in still rooms and the delay of strong ones, see doc/change.md."""


@dataclass(frozen=True)
class TrainingState:
    """What all phases work on."""

    model: VLJEPA
    tokenizer: Tokenizer
    table: TextTable
    words: DecoderWords
    store: SceneStore
    held_out: SceneStore


def spread(scenes: list[Scene], count: int) -> list[Scene]:
    """`count` scenes, evenly from all; all where there are no more."""
    count = min(count, len(scenes))
    return [scenes[index * len(scenes) // count] for index in range(count)]


def decode_and_export(config: NanoConfig, context: RunContext, state: TrainingState) -> None:
    """Y-Decoder, calibration and export, from the newest of the trained checkpoints."""
    model, table, words = state.model, state.table, state.words
    minutes: dict[str, float] = {}
    for phase in TRAINED:
        saved = load_checkpoint(config.run / f"{phase}.pt")
        if saved is not None and not minutes:
            parts = {n: getattr(model, n) for n in ("frame", "window", "predictor", "text_head")}
            load_into(saved, parts, partial=True)
        if saved is not None:
            minutes = {phase: saved["spent"]} | minutes
    text = load_checkpoint(config.run / "text.pt")
    if text is not None:
        minutes = {"text": text["spent"]} | minutes
    # What is shipped is rounded; the decoder and the calibration learn from that.
    model.load_state_dict(rounded(model.state_dict()))
    model.eval()
    validation = list(predicted_pairs(model, table, state.held_out.scenes, 5, config.seed))
    if "decoder" in config.phases:
        pairs: list[Pair] = []
        done = load_checkpoint(config.run / "decoder.pt")
        if not (done and done["done"]):
            scenes = spread(state.store.scenes, config.pair_scenes)
            pairs = list(predicted_pairs(model, table, scenes, config.pair_windows, config.seed))
        train_decoder(model, table, pairs, validation, words, config.decoder, context, config.seed)
    if "export" not in config.phases:
        return
    saved = load_checkpoint(config.run / "decoder.pt")
    if saved is not None:
        load_into(saved, {"y_decoder": model.y_decoder})
        minutes["decoder"] = saved["spent"]
    model.load_state_dict(rounded(model.state_dict()))
    model.eval()
    keys = known_keys()
    calibration = calibrate(
        model, table, validation, words, keys, config.seed, config.calibration_sets
    )
    print("calibration:", calibration, flush=True)
    contents = FolderContents(
        name="nano",
        default_query=wordings("questions")["event"][0],
        vocabulary=demo_vocabulary(),
        known_texts=list(dict.fromkeys(canonical_text(key) for key in keys)),
        decoder_words=words.words,
        calibration=calibration,
        change_threshold=CHANGE_THRESHOLD,
    )
    model_id = write_model_folder(model, state.tokenizer, contents, config.out)
    accuracy = quick_accuracy(model, table, state.held_out.scenes, blind=True)
    (config.run / "validation.json").write_text(json.dumps(accuracy, indent=1) + "\n")
    trained = trainable_parameters(model)
    if "text" in minutes:
        trained += tuned_parameters(model, config.text)
    count = len(state.store.scenes)
    write_card(config.out, model_id, trained, count, minutes, accuracy)
    print(f"{model_id} written to {config.out}", flush=True)
    print("validation:", accuracy, flush=True)
