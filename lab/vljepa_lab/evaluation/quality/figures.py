"""From what was judged to the JSON object of `vljepa eval`; doc/evaluation.md names its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vljepa_lab.evaluation.bootstrap import scene_bootstrap
from vljepa_lab.evaluation.quality.calibration import (
    accuracy_coverage,
    at_threshold,
    expected_calibration_error,
)
from vljepa_lab.evaluation.quality.captions import bleu
from vljepa_lab.evaluation.quality.judgement import Evaluation, StatedAnswers, TaskAnswers
from vljepa_lab.evaluation.quality.tasks import TASKS, VQA_TASKS
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
        figures[name]["top5"] = _mean(hits)
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
    if done.text_right.right:
        text = task_figures(done.text_right)
        result |= {"text_right_share": text["accuracy"], "text_right_share_ci": text["ci"]}
        if done.events_detected.right:
            events = task_figures(done.events_detected)
            result["events_told_share"] = events["accuracy"]
            result["events_told_share_ci"] = events["ci"]
            result["events_told_n"] = events["n"]
        result["decodes_per_minute"] = round(60 * done.decodes / done.seconds, 2)
    if done.decoded.right:
        result |= _captions(engine, answerer, done)
    if done.ceiling:
        result["unseen_action_ceiling"] = _mean(done.ceiling)
        if "unseen_action" in figures and np.mean(done.ceiling) > 0:
            share = figures["unseen_action"]["accuracy"] / float(np.mean(done.ceiling))
            result["unseen_action_of_ceiling"] = round(share, 4)
    if done.stated:
        result |= _calibration(done, engine.config.calibration.abstain_below)
    return result


def task_figures(judged: TaskAnswers, trained: float | None = None) -> dict[str, Any]:
    """Return accuracy, ci, blind (the best that does not look), blind_by, n and scenes of one task.

    Args:
        judged: the task's answers.
        trained: accuracy of a Predictor that was trained with visual tokens zeroed.

    Raises:
        ValueError: the task has no samples.
    """
    estimate = scene_bootstrap(judged.right, judged.scenes)
    blind = {name: round(value, 4) for name, value in judged.blind_by(trained).items()}
    figures: dict[str, Any] = {
        "accuracy": round(estimate.value, 4),
        "ci": [round(estimate.low, 4), round(estimate.high, 4)],
        "blind": max(blind.values(), default=None),
        "blind_by": blind,
        "n": estimate.n,
        "scenes": estimate.scenes,
    }
    if judged.other_clip:
        figures["other_clip"] = round(float(np.mean(judged.other_clip)), 4)
    return figures


def macro(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return macro_vqa, the mean accuracy of the VQA tasks present, and the mean of
    (accuracy - blind) / (1 - blind) over them: 0 for blind guessing, 1 for perfect."""
    present = [tasks[name] for name in VQA_TASKS if name in tasks]
    if not present:
        return {}
    gains = [
        (task["accuracy"] - task["blind"]) / max(1.0 - task["blind"], 1e-9)
        for task in present
        if task["blind"] is not None
    ]
    figures = {"macro_vqa": round(float(np.mean([task["accuracy"] for task in present])), 4)}
    if gains:
        figures["macro_vqa_above_blind"] = round(float(np.mean(gains)), 4)
    return figures


def _captions(engine: Engine, answerer: Answerer, done: Evaluation) -> dict[str, Any]:
    """The Y-Decoder from predicted embeddings, and from those of the texts themselves."""
    events = list(dict.fromkeys((m.kind, m.name) for m in done.moments))
    events.sort(key=lambda pair: event_key(*pair))
    vectors = answerer.embedded(tuple(event_text(kind, name) for kind, name in events))
    batches = [vectors[start : start + 64] for start in range(0, len(vectors), 64)]
    written = [generated.text for batch in batches for generated in engine.generate(batch)]
    references = [event_texts(kind, name) for kind, name in events]
    exact = [same_text(text, own) for text, own in zip(written, references, strict=True)]
    return {
        "decoded_event_object_named": _mean(done.decoded.named),
        "decoded_by_decoder_share": _mean(done.decoded.written),
        "bleu_predicted": round(bleu(done.decoded.texts), 4),
        "exact_from_true_embedding": _mean(exact),
        "bleu_from_true_embedding": round(bleu(list(zip(written, references, strict=True))), 4),
    }


def _calibration(done: Evaluation, abstain_below: float) -> dict[str, Any]:
    """ECE on whole sets (`ece`) and on random ones (`ece_open`), abstention, coverage."""
    every = StatedAnswers.joined(done.stated)
    by_task = {name: _ece(one.given, one.right) for name, one in sorted(done.stated.items())}
    kept = at_threshold(every.alone, every.right, abstain_below)
    result: dict[str, Any] = {
        "ece": _ece(every.given, every.right, debiased=False),
        "ece_debiased": _ece(every.given, every.right),
        "ece_by_task": by_task,
        "ece_n": {name: len(one.right) for name, one in sorted(done.stated.items())},
        "ece_worst": max(by_task.values()),
        "abstain_below": abstain_below,
        "abstained_share": round(1 - kept.share, 4),
        "accuracy_answered": round(kept.accuracy, 4),
        "coverage": _coverage(every, "share", "accuracy", "threshold"),
    }
    return result | _open_sets(done, abstain_below)


def _open_sets(done: Evaluation, abstain_below: float) -> dict[str, Any]:
    every = StatedAnswers.joined(done.open_stated)
    if not every.right:
        return {}
    by_task = {
        name: _ece(one.alone, one.right)
        for name, one in sorted(done.open_stated.items())
        if one.right
    }
    stated_none, none = zip(*done.lacking, strict=True)
    kept = at_threshold(every.alone, every.right, abstain_below)
    missing = np.array(none)
    withheld = np.array(every.alone) < abstain_below
    return {
        "ece_open": _ece(every.alone, every.right),
        "ece_open_by_task": by_task,
        "ece_open_worst": max(by_task.values()),
        "ece_none": _ece(stated_none, none),
        "open_sets": {
            "n": len(every.right),
            "lacking": _mean(missing),
            "abstained": round(1 - kept.share, 4),
            "accuracy_answered": round(kept.accuracy, 4),
            "abstained_where_lacking": _share(withheld[missing]),
            "abstained_where_present": _share(withheld[~missing]),
            "coverage": _coverage(every, "share", "accuracy"),
        },
    }


def _mean(values: ArrayLike) -> float:
    return round(float(np.asarray(values).mean()), 4)


def _share(values: NDArray[np.bool_]) -> float | None:
    return _mean(values) if values.size else None


def _ece(stated: ArrayLike, right: ArrayLike, debiased: bool = True) -> float:
    return round(expected_calibration_error(stated, right, debiased=debiased), 4)


def _coverage(answers: StatedAnswers, *names: str) -> list[dict[str, float]]:
    curve = accuracy_coverage(answers.alone, answers.right)
    return [{name: round(getattr(point, name), 4) for name in names} for point in curve]
