"""Share of time the robot's text is true, with selective decoding as the decoder node does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import yaml
from numpy.typing import NDArray

from vljepa_lab.world.captions import AFTERGLOW, event_texts
from vljepa_lab.world.records import Event
from vljepa_ros.engines.protocol import Generated
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.selective_decoder import SelectiveDecoder
from vljepa_ros.perception.vocabulary import same_text
from vljepa_ros.resources import share_dir


@dataclass(frozen=True)
class Told:
    """One scene told. right: for each image whether the text in force was true. decodes: texts
    written. texts: what was said, in order. shown: the text in force at each image, "" before the
    first."""

    right: tuple[bool, ...]
    decodes: int
    texts: tuple[str, ...]
    shown: tuple[str, ...] = ()


def shipped_detection(model: ModelConfig) -> AnchorDriftConfig:
    """The settings with which the decoder node starts, from `config/selective_decoder.yaml`."""
    file = share_dir() / "config" / "selective_decoder.yaml"
    (node,) = yaml.safe_load(file.read_text(encoding="utf-8")).values()
    names = {field.name for field in dataclasses.fields(AnchorDriftConfig)}
    given = {k: float(v) for k, v in node["ros__parameters"].items() if k in names}
    return AnchorDriftConfig(**given, clip=model.frame_interval * (model.clip_frames - 1))


def tell(
    stamps: Sequence[float],
    embeddings: NDArray[np.float32],
    valid: Sequence[Sequence[str]],
    generate: Callable[[NDArray[np.float32]], list[Generated]],
    config: AnchorDriftConfig,
) -> Told:
    """Tell one stream, text by text, and compare with the truth at each image.

    Images for which no text is valid are not counted.

    :param stamps: [T] seconds. embeddings: [T, D] float32. valid: [T] texts that are true at each.
    :param generate: the Y-Decoder.
    """
    decoder = SelectiveDecoder(AnchorDrift(config), generate)
    right: list[bool] = []
    texts: list[str] = []
    shown: list[str] = []
    for stamp, embedding, truths in zip(stamps, embeddings, valid, strict=True):
        told = decoder.observe(stamp, embedding)
        if told is not None and told.is_event:
            texts.append(told.text)
        now = decoder.last
        shown.append("" if now is None else now.text)
        if truths:
            right.append(now is not None and same_text(now.text, truths))
    return Told(tuple(right), decoder.decodes, tuple(texts), tuple(shown))


def told_rightly(
    stamps: Sequence[float], shown: Sequence[str], events: Sequence[Event]
) -> list[bool]:
    """Of each event that begins and ends within the stream: whether a text that names it, its
    object or not, was in force at some image between its onset and AFTERGLOW after its end.

    :param stamps, shown: [T] seconds, and the text in force at each image.
    """
    found = []
    for event in events:
        if event.start < stamps[0] or event.end > stamps[-1]:
            continue
        texts = [
            text
            for name in dict.fromkeys((event.object, ""))
            for which in ("train", "unseen")
            for text in event_texts(event.kind, name, which)
        ]
        during = {
            text
            for stamp, text in zip(stamps, shown, strict=True)
            if event.start <= stamp <= event.end + AFTERGLOW
        }
        found.append(any(same_text(text, texts) for text in during if text))
    return found
