"""From what was judged to the JSON object of `vljepa eval`; doc/evaluation.md names its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.abstention import accuracy_coverage, at_threshold
from vljepa_lab.evaluation.quality.calibration import expected_calibration_error
from vljepa_lab.evaluation.quality.captions import bleu
from vljepa_lab.evaluation.quality.judgement import Evaluation, Stated
from vljepa_lab.evaluation.quality.report import Judged, macro, task_figures
from vljepa_lab.evaluation.quality.tasks import TASKS
from vljepa_lab.evaluation.quality.vqa import Answerer
from vljepa_lab.world.captions import event_key, event_text, event_texts
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.vocabulary import same_text


def figures_of(
    engine: Engine, answerer: Answerer, done: Evaluation, seed: int, blind: Mapping[str, float]
) -> dict[str, Any]:
    """All figures of an evaluation. blind: see `evaluate`."""
    figures = {
        name: task_figures(done.judged[name], blind.get(name))
        for name in TASKS
        if name in done.judged
    }
    for name, hits in done.best_five.items():
        figures[name]["top5"] = round(float(np.mean(hits)), 4)
    result: dict[str, Any] = {
        "model_id": engine.config.model_id,
        "engine": engine.info.engine,
        "device": engine.info.device,
        "precision": engine.info.precision,
        "scenes": done.scenes,
        "seed": seed,
        "tasks": figures,
        **macro(figures),
    }
    if done.told:
        told = task_figures(Judged(done.told_scenes, done.told))
        result["text_right_share"] = told["accuracy"]
        result["text_right_share_ci"] = told["ci"]
        if done.events_told:
            named = task_figures(Judged(done.events_scenes, done.events_told))
            result["events_told_share"] = named["accuracy"]
            result["events_told_share_ci"] = named["ci"]
            result["events_told_n"] = named["n"]
        result["decodes_per_minute"] = round(60 * done.decodes / done.seconds, 2)
    if done.decoded.right:
        result |= _captions(engine, answerer, done)
    if done.ceiling:
        result["unseen_action_ceiling"] = round(float(np.mean(done.ceiling)), 4)
        if "unseen_action" in figures and np.mean(done.ceiling) > 0:
            share = figures["unseen_action"]["accuracy"] / float(np.mean(done.ceiling))
            result["unseen_action_of_ceiling"] = round(share, 4)
    if done.stated:
        result |= _calibration(done, engine.config.calibration.abstain_below)
    return result


def _captions(engine: Engine, answerer: Answerer, done: Evaluation) -> dict[str, Any]:
    """The Y-Decoder from predicted embeddings, and from those of the texts themselves."""
    events = list(dict.fromkeys((m.kind, m.name) for m in done.moments))
    events.sort(key=lambda pair: event_key(*pair))
    vectors = answerer.embedded(tuple(event_text(kind, name) for kind, name in events))
    written = [g.text for s in range(0, len(vectors), 64)
               for g in engine.generate(vectors[s : s + 64])]  # fmt: skip
    references = [event_texts(kind, name) for kind, name in events]
    exact = [same_text(text, own) for text, own in zip(written, references, strict=True)]
    return {
        "decoded_event_object_named": round(float(np.mean(done.decoded.named)), 4),
        "decoded_by_decoder_share": round(float(np.mean(done.decoded.written)), 4),
        "bleu_predicted": round(bleu(done.decoded.texts), 4),
        "exact_from_true_embedding": round(float(np.mean(exact)), 4),
        "bleu_from_true_embedding": round(bleu(list(zip(written, references, strict=True))), 4),
    }


def _calibration(done: Evaluation, abstain_below: float) -> dict[str, Any]:
    """ECE on whole sets (`ece`) and on random ones (`ece_open`), abstention, coverage."""
    given, right = done.whole_sets()
    by_task = {
        name: round(expected_calibration_error(one.given, one.right, debiased=True), 4)
        for name, one in sorted(done.stated.items())
    }
    alone = [value for one in done.stated.values() for value in one.alone]
    kept = at_threshold(alone, right, abstain_below)
    result: dict[str, Any] = {
        "ece": round(expected_calibration_error(given, right), 4),
        "ece_debiased": round(expected_calibration_error(given, right, debiased=True), 4),
        "ece_by_task": by_task,
        "ece_n": {name: len(one.right) for name, one in sorted(done.stated.items())},
        "ece_worst": max(by_task.values()),
        "abstain_below": abstain_below,
        "abstained_share": round(1 - kept.share, 4),
        "accuracy_answered": round(kept.accuracy, 4),
        "coverage": [
            {"share": round(c.share, 4), "accuracy": round(c.accuracy, 4),
             "threshold": round(c.threshold, 4)}
            for c in accuracy_coverage(alone, right)
        ],
    }  # fmt: skip
    return result | (_open_sets(done, abstain_below) if done.open_stated else {})


def _open_sets(done: Evaluation, abstain_below: float) -> dict[str, Any]:
    every = Stated()
    by_task = {}
    for name, one in sorted(done.open_stated.items()):
        every.alone += one.alone
        every.right += one.right
        if one.right:
            by_task[name] = round(
                expected_calibration_error(one.alone, one.right, debiased=True), 4
            )
    if not every.right:
        return {}
    stated_none, none = zip(*done.lacking, strict=True)
    kept = at_threshold(every.alone, every.right, abstain_below)
    missing = np.array(none)
    withheld = np.array(every.alone) < abstain_below
    return {
        "ece_open": round(
            expected_calibration_error(every.alone, every.right, debiased=True), 4
        ),
        "ece_open_by_task": by_task,
        "ece_open_worst": max(by_task.values()),
        "ece_none": round(expected_calibration_error(stated_none, none, debiased=True), 4),
        "open_sets": {
            "n": len(every.right),
            "lacking": round(float(missing.mean()), 4),
            "abstained": round(1 - kept.share, 4),
            "accuracy_answered": round(kept.accuracy, 4),
            "abstained_where_lacking": _share(withheld[missing]),
            "abstained_where_present": _share(withheld[~missing]),
            "coverage": [
                {"share": round(c.share, 4), "accuracy": round(c.accuracy, 4)}
                for c in accuracy_coverage(every.alone, every.right)
            ],
        },
    }  # fmt: skip


def _share(values: NDArray[np.bool_]) -> float | None:
    return round(float(values.mean()), 4) if values.size else None
