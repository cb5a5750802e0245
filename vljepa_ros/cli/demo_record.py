"""Records what is published and true during a demo, and computes its figures."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vljepa_ros.files import JsonObject
from vljepa_ros.perception.vocabulary import same_text

AFTERGLOW = 2.0  # seconds after its end for which an event's text still counts as right


@dataclass(frozen=True)
class Truth:
    """The ground truth of one image; `stamp` in seconds."""

    stamp: float
    event: str
    object: str
    valid_texts: tuple[str, ...]

    @property
    def words(self) -> str:
        """A short description of the present event."""
        if self.event == "nothing":
            return "nothing is happening"
        if self.valid_texts:  # the newest event first, its plainest wording first
            return self.valid_texts[0]
        return f"{self.event} {self.object}".strip()

    def allows(self, text: str) -> bool:
        """Whether a text is true in this image."""
        return same_text(text, self.valid_texts)


@dataclass(frozen=True)
class PublishedText:
    """The text of one scene event.

    Attributes:
        stamp: Stamp of its image; like the others, in seconds of the cameras' clock.
        onset: When the change began, as the event says.
        received: When it arrived.
        text: The text.
        decoded: Whether the Y-Decoder wrote it; else it is the nearest known text.
    """

    stamp: float
    onset: float
    received: float
    text: str
    decoded: bool


@dataclass(frozen=True)
class Answer:
    """One answered question.

    Attributes:
        stamp: Stamp of the newest image of the clip.
        question: The question.
        answer: The best candidate.
        score: Its score.
        seconds: How long the service took.
        truth: The true answer; empty: unknown.
    """

    stamp: float
    question: str
    answer: str
    score: float
    seconds: float
    truth: str = ""


@dataclass
class DemoRecord:
    """Collects messages in the order in which they arrive."""

    truths: list[Truth] = field(default_factory=list)
    texts: list[PublishedText] = field(default_factory=list)
    drifts: list[tuple[float, float]] = field(default_factory=list)  # (stamp, cosine distance)
    latencies: list[float] = field(default_factory=list)  # seconds, camera stamp to embedding
    answers: list[Answer] = field(default_factory=list)
    threshold: float = 0.0  # of the drift, from the decoder's diagnostics
    decodes: int = 0  # runs of the Y-Decoder, also those without a new text
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> float:
        """Stamp of the first image known, seconds; 0 before it."""
        return min(self._stamps(0), default=0.0)

    @property
    def end(self) -> float:
        """Stamp of the last image known, seconds."""
        return max(self._stamps(-1), default=0.0)

    @property
    def _first_text(self) -> float:
        return self.texts[0].received if self.texts else math.inf

    def _judged(self) -> list[Truth]:
        """Images with ground truth, from the first text on."""
        return [t for t in self.truths if t.valid_texts and t.stamp >= self._first_text]

    def _stamps(self, index: int) -> list[float]:
        """Stamps of the first or last truth, text and drift."""
        stamps = [part[index].stamp for part in (self.truths, self.texts) if part]
        return stamps + [drift[0] for drift in self.drifts[index:][:1]]

    @property
    def frames(self) -> int:
        """Number of clips embedded, each of which would otherwise have been decoded."""
        return len(self.latencies)

    def truth_at(self, stamp: float) -> Truth | None:
        """Ground truth of the newest image up to `stamp`; None before the first."""
        return next((t for t in reversed(self.truths) if t.stamp <= stamp + 1e-6), None)

    def recent_truth(self, stamp: float) -> str:
        """The event at `stamp` in words; if there is none, the one that has just ended."""
        now = self.truth_at(stamp)
        if now is None:
            return "unknown"
        for truth in reversed(self.truths):
            if stamp - AFTERGLOW <= truth.stamp <= stamp and truth.event != "nothing":
                return truth.words if now.event != "nothing" else f"{truth.words} (just now)"
        return now.words

    def is_right(self, truth: Truth, from_onset: bool = False) -> bool:
        """Whether the last text received by an image's time is true then.

        Args:
            truth: Ground truth of the image.
            from_onset: Count each text from its onset instead, which excludes the delay of
                confirming a change.
        """
        limit = truth.stamp + 1e-6
        said = [t.text for t in self.texts if (t.onset if from_onset else t.received) <= limit]
        return bool(said) and truth.allows(said[-1])

    def right_share(self, from_onset: bool = False) -> float | None:
        """Share of images, from the first text on, at which the text in force was true."""
        judged = [self.is_right(truth, from_onset) for truth in self._judged()]
        return sum(judged) / len(judged) if judged else None

    def constant_text(self) -> tuple[str, float]:
        """The single text that is true most often, and its share: the baseline without a camera."""
        judged = self._judged()
        counts = Counter(text for truth in judged for text in truth.valid_texts)
        return next(((t, n / len(judged)) for t, n in counts.most_common(1)), ("", 0.0))

    def stretches(self) -> list[tuple[float, float, Truth]]:
        """(start, end, truth) of consecutive images with the same event and object."""
        starts: list[Truth] = []
        for truth in self.truths:
            if not starts or (starts[-1].event, starts[-1].object) != (truth.event, truth.object):
                starts.append(truth)
        ends = [truth.stamp for truth in [*starts[1:], *self.truths[-1:]]]
        return [(truth.stamp, end, truth) for truth, end in zip(starts, ends, strict=True)]

    def event_delays(self) -> list[float | None]:
        """Seconds from each event's onset to the first text that names it in time, else None.

        A text may come up to AFTERGLOW after the event's end. Only events that begin after the
        first text and whose time is over are counted.
        """
        delays: list[float | None] = []
        for begin, end, truth in self.stretches():
            before, latest = self.truth_at(begin - 1e-3), end + AFTERGLOW
            if truth.event == "nothing" or begin < self._first_text or latest > self.end:
                continue
            known = set() if before is None else set(before.valid_texts)
            names = [text for text in truth.valid_texts if text not in known]  # states are known
            named = [t.received for t in self.texts if same_text(t.text, names)]
            delays.append(next((at - begin for at in named if begin <= at <= latest), None))
        return delays

    def summary(self) -> JsonObject:
        """Figures of the whole demo; latencies in milliseconds, None if not measured."""
        ordered = sorted(self.latencies)
        delays = self.event_delays()
        known = [delay for delay in delays if delay is not None]
        constant, constant_share = self.constant_text()
        share, onset_share = self.right_share(), self.right_share(from_onset=True)
        median = p99 = None
        if ordered:
            median = round(1000 * statistics.median(ordered), 1)
            p99 = round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 1)
        return {
            "seconds": round(self.end - self.start, 1),
            "events": len(delays),
            "events_named": len(known),
            "delay_s": round(statistics.median(known), 2) if known else None,
            "constant_text": constant,
            "constant_text_right_share": round(constant_share, 4),
            "text_right_share": None if share is None else round(share, 4),
            "text_right_share_from_onset": None if onset_share is None else round(onset_share, 4),
            "clips": self.frames,
            "decodes": self.decodes,
            "decodes_saved": round(1.0 - self.decodes / self.frames, 4) if self.frames else 0.0,
            "latency_ms": {"median": median, "p99": p99},
            "answers": [
                {name: getattr(answer, name) for name in ("question", "answer", "truth", "score")}
                | {"ms": round(1000 * answer.seconds, 1)}
                for answer in self.answers
            ],
        }
