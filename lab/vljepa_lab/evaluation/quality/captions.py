"""Does the Y-Decoder's text say what happens?

Clip by clip, and over a stream that is decoded selectively, as the decoder node does it.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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

_MAX_N_GRAM = 4  # words


@dataclass
class DecodedEvents:
    """Texts of clips whose event is known, judged one by one.

    Attributes:
        right: any wording of the event, the object named or not (as a person would accept it).
        named: as right, and the object named where there is one.
        written: by the decoder, not the nearest known text.
        texts: as written, with the event's wordings.
    """

    right: list[bool] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    written: list[bool] = field(default_factory=list)
    texts: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    def judge(self, text: str, decoded: bool, kind: str, name: str) -> None:
        """Compare a text with the event `kind` (one of ACTIONS) of object `name` ('' for none)."""
        self.written.append(decoded)
        full = _wordings(kind, name)
        self.named.append(same_text(text, full))
        self.right.append(self.named[-1] or same_text(text, _wordings(kind, "")))
        self.texts.append((text, event_texts(kind, name)))


def _wordings(kind: str, name: str) -> Sequence[str]:
    return [*event_texts(kind, name), *event_texts(kind, name, which="unseen")]


def bleu(texts: Sequence[tuple[str, Sequence[str]]]) -> float:
    """BLEU-4 of a corpus, 0..1: (text, its references), see Papineni and others 2002, section 2.3.

    Texts shorter than four words count with the n-grams that they have. References that are
    many are the wordings of one meaning.
    """
    hits, totals = [0] * _MAX_N_GRAM, [0] * _MAX_N_GRAM
    length = nearest = 0
    for text, references in texts:
        words = text.lower().split()
        others = [reference.lower().split() for reference in references]
        length += len(words)
        nearest += min((abs(len(o) - len(words)), len(o)) for o in others)[1]
        for n in range(1, _MAX_N_GRAM + 1):
            own = _grams(words, n)
            most: Counter[tuple[str, ...]] = Counter()
            for other in others:
                most |= _grams(other, n)
            hits[n - 1] += sum((own & most).values())
            totals[n - 1] += sum(own.values())
    if not length or not all(hits):
        return 0.0
    precision = sum(math.log(h / t) for h, t in zip(hits, totals, strict=True)) / _MAX_N_GRAM
    return math.exp(precision + min(0.0, 1 - nearest / length))


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def shipped_detector(model: ModelConfig) -> AnchorDriftConfig:
    """The settings with which the decoder node starts, from `config/selective_decoder.yaml`."""
    file = share_dir() / "config" / "selective_decoder.yaml"
    (node,) = yaml.safe_load(file.read_text(encoding="utf-8")).values()
    names = {field.name for field in dataclasses.fields(AnchorDriftConfig)}
    given = {k: float(v) for k, v in node["ros__parameters"].items() if k in names}
    if given["threshold"] < 0.0:
        given["threshold"] = model.change_threshold
    return AnchorDriftConfig(**given, clip=model.frame_interval * (model.clip_frames - 1))


def decode_stream(
    stamps: Sequence[float],
    embeddings: NDArray[np.float32],
    valid: Sequence[Sequence[str]],
    generate: Callable[[NDArray[np.float32]], list[Generated]],
    config: AnchorDriftConfig,
) -> tuple[list[bool], list[str], int]:
    """Decode one stream selectively and compare with the truth at each image.

    Images for which no text is valid are not counted.

    Args:
        stamps: [T] seconds.
        embeddings: [T, D] float32.
        valid: [T] texts that are true at each image.
        generate: the Y-Decoder.
        config: of the detector of changes.

    Returns:
        For each counted image whether the text in force was true; the text in force at each of the
        T images, "" before the first; the number of decodes.
    """
    decoder = SelectiveDecoder(AnchorDrift(config), generate)
    right: list[bool] = []
    shown: list[str] = []
    for stamp, embedding, truths in zip(stamps, embeddings, valid, strict=True):
        decoder.observe(stamp, embedding)
        now = decoder.last
        shown.append("" if now is None else now.text)
        if truths:
            right.append(now is not None and same_text(now.text, truths))
    return right, shown, decoder.decodes


def events_detected(
    stamps: Sequence[float], shown: Sequence[str], events: Sequence[Event]
) -> list[bool]:
    """Of each event that begins and ends within the stream: whether a text named it in time.

    That is a text that names it, its object or not, in force at some image between its onset and
    AFTERGLOW after its end.

    Args:
        stamps: [T] seconds.
        shown: [T] the text in force at each image.
        events: that really happened.
    """
    detected = []
    for event in events:
        if event.start < stamps[0] or event.end > stamps[-1]:
            continue
        texts = [*_wordings(event.kind, event.object), *_wordings(event.kind, "")]
        during = {
            text
            for stamp, text in zip(stamps, shown, strict=True)
            if event.start <= stamp <= event.end + AFTERGLOW
        }
        detected.append(any(same_text(text, texts) for text in during if text))
    return detected
