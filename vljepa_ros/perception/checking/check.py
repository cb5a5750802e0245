"""Measures each text of a truth file on a recording, with the rules of live triggers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.models.calibration import EncodedText, EncodedTexts, calibration_for
from vljepa_ros.models.tokenizer import TextError
from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.checking.figures import (
    DEFAULT_THRESHOLD,
    TriggerTrace,
    Verdict,
    candidates,
    judge,
)
from vljepa_ros.perception.checking.truth import Truth, TruthFile
from vljepa_ros.perception.checking.watching import Limits, Recording, Seen, replay, watch
from vljepa_ros.perception.pipeline import EMBEDDINGS, LABELS
from vljepa_ros.perception.trigger_board import State
from vljepa_ros.perception.vocabulary import PresenceError, Vocabulary, from_groups, parse

LABEL, TAUGHT, TEXT = "label", "taught", "text"


@dataclass(frozen=True)
class Checked:
    """The result for one text on one camera.

    Attributes:
        camera: name of the camera.
        text: the text, as in the truth file.
        kind: how it is scored: LABEL, TAUGHT (a state learned from examples) or TEXT.
        verdict: the verdict; None: it cannot be evaluated.
        problem: why it cannot be evaluated or used; empty: it can.
    """

    camera: str
    text: str
    kind: str
    verdict: Verdict | None
    problem: str

    @property
    def usable(self) -> bool | None:
        """Whether it is usable; None: not known."""
        if self.verdict is None or self.verdict.too_little:
            return None if self.verdict else False
        return not self.problem

    def as_dict(self) -> JsonObject:
        """Convert to a dict with stable names; None for unknown values."""
        found: dict[str, Any] = {
            "camera": self.camera,
            "text": self.text,
            "kind": self.kind,
            "usable": self.usable,
            "problem": self.problem,
        }
        if self.verdict is not None:
            found |= {
                "threshold": self.verdict.threshold,
                "held_out": self.verdict.held_out,
                **self.verdict.figures.as_dict(),
                "default": {
                    "threshold": DEFAULT_THRESHOLD,
                    **self.verdict.by_default.as_dict(),
                },
            }
        return found


@dataclass(frozen=True)
class Conditions:
    """How a recording is replayed and evaluated.

    Attributes:
        clips: `every` from max_rate; rotate and crop of the cameras.
        limits: parameters of the triggers.
        tolerance: see `figures`.
        taught: name -> taught label.
    """

    clips: ClipPlan
    limits: Limits
    tolerance: float
    taught: Mapping[str, EncodedText]


def check(
    engine: Engine,
    recording: Recording,
    truth: TruthFile,
    conditions: Conditions,
    progress: Callable[[float], None] = lambda share: None,
) -> list[Checked]:
    """Evaluate each text of a truth file on a recording, in order.

    Raises:
        TruthError: an entry does not fit the recording or the model.
        VocabularyError: the labels do not form a vocabulary.
    """
    taught = conditions.taught
    vocabulary = _vocabulary(engine, truth, taught)
    labels = {label for group in vocabulary.groups for label in group.labels}
    encoded = _encoded(engine, truth.entries, labels, taught)
    cameras = [_camera_of(one, recording) for one in truth.entries]
    wanted = dict.fromkeys(cameras, frozenset({EMBEDDINGS}))
    for camera, one in zip(cameras, truth.entries, strict=True):
        if one.text in labels:
            wanted[camera] |= {LABELS}
        if recording.length:  # report a mistake now, not after minutes
            one.within(recording.start / 1e9, recording.length)
    used = vocabulary if vocabulary.groups else None
    seen = watch(engine, recording, conditions.clips, wanted, used, taught, progress)
    found = []
    for camera, one in zip(cameras, truth.entries, strict=True):
        kind = LABEL if one.text in labels else TAUGHT if one.text in taught else TEXT
        verdict, problem = None, _refusal(one.text, kind, encoded)
        if not seen[camera].times:
            problem = "the camera has too few images for a clip"
        if not problem:
            true, judged = one.within(recording.start / 1e9, recording.length)
            traces = _traces(one.text, seen[camera], encoded, labels, conditions.limits)
            verdict = judge(traces, true, judged, conditions.tolerance)
            problem = verdict.problem
        found.append(Checked(camera, one.text, kind, verdict, problem))
    return found


def _vocabulary(engine: Engine, truth: TruthFile, taught: Mapping[str, EncodedText]) -> Vocabulary:
    """The labels of the truth file, else the model's own."""
    config = engine.config
    if truth.labels:
        found = parse(truth.labels, config.default_query)
    else:
        found = from_groups(config.vocabulary) if config.vocabulary else Vocabulary(())
    found.check(engine, taught)
    return found


def _encoded(
    engine: Engine,
    entries: Sequence[Truth],
    labels: Collection[str],
    taught: Mapping[str, EncodedText],
) -> EncodedTexts:
    """Encode the texts that are compared with embeddings, as the service encode_text does."""
    config, texts = engine.config, {}
    for one in entries:
        if one.text in labels:
            continue
        if one.text in taught:
            texts[one.text] = taught[one.text]
            continue
        try:
            engine.check_texts(config.default_query, [one.text])
        except TextError as error:
            raise one.error(str(error)) from error
        (vector,) = engine.encode_text([one.text])
        texts[one.text] = EncodedText(vector, calibration_for(config, one.text, vector))
    return EncodedTexts(config.model_id, texts)


def _refusal(text: str, kind: str, encoded: EncodedTexts) -> str:
    """Why a text cannot be evaluated; empty: it can."""
    if kind == LABEL or encoded.texts[text].calibration.judges_presence:
        return ""
    if kind == TAUGHT:
        return "this taught label cannot be used: see vljepa teach --list"
    return str(PresenceError("the text is not among the labels"))


def _camera_of(one: Truth, recording: Recording) -> str:
    """The camera of an entry. Raises TruthError."""
    topics = recording.topics
    if not one.camera and len(topics) == 1:
        return next(iter(topics))
    for camera, topic in topics.items():
        if one.camera in (camera, topic):
            return camera
    known = ", ".join(f"{camera} ({topic})" for camera, topic in topics.items())
    raise one.error(
        f"its camera is '{one.camera}', allowed: {known}"
        if one.camera
        else f"it names no camera, and there are {len(topics)}, allowed: under one of {known}"
    )


def _traces(
    text: str, seen: Seen, encoded: EncodedTexts, labels: Collection[str], limits: Limits
) -> list[TriggerTrace]:
    """The states of a text's trigger with each candidate threshold."""
    first = replay(seen, [(text, DEFAULT_THRESHOLD)], encoded, labels, limits)
    thresholds = candidates(first.scores[~np.isnan(first.scores)])
    found = replay(seen, [(text, limit) for limit in thresholds], encoded, labels, limits)
    return [
        TriggerTrace(limit, found.when(i, State.TRUE), found.when(i, State.UNKNOWN))
        for i, limit in enumerate(thresholds)
    ]
