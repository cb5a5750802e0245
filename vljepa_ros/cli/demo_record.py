"""What was seen, published and true during a demo, and the figures that follow from it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from vljepa_ros.perception.vocabulary import same_text

AFTERGLOW = 2.0  # seconds after its end for which an event's text still counts as right


@dataclass(frozen=True)
class Truth:
    """What is true in one image; `stamp` in seconds."""

    stamp: float
    event: str
    object: str
    valid_texts: tuple[str, ...]

    @property
    def words(self) -> str:
        """The present event in a few words."""
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
        stamp: Of its image; like the others, in seconds of the cameras' clock.
        onset: When the event says the change began.
        received: When it arrived.
        text: The text.
        decoded: By the Y-Decoder; else the nearest known text.
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
        stamp: Of the newest image that it was answered from.
        question: The question.
        answer: The best candidate.
        score: Its score.
        seconds: How long the service took.
        truth: The true answer, empty where unknown.
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
    threshold: float = 0.0  # of the drift, as the decoder node states it
    decodes: int = 0  # times the Y-Decoder was asked; not every time it has something new to say
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> float:
        """Stamp of the first image known, seconds; 0 before it."""
        return min(self._stamps(0), default=0.0)

    @property
    def end(self) -> float:
        """Stamp of the last image known, seconds."""
        return max(self._stamps(-1), default=0.0)

    def _stamps(self, index: int) -> list[float]:
        """Stamps of the first or last truth, text and drift."""
        stamps = [part[index].stamp for part in (self.truths, self.texts) if part]
        return stamps + [drift[0] for drift in self.drifts[index:][:1]]

    @property
    def frames(self) -> int:
        """Clips the model embedded: what decoding every one of them would have cost."""
        return len(self.latencies)

    def truth_at(self, stamp: float) -> Truth | None:
        """What was true in the newest image not after `stamp`, None before the first."""
        return next((t for t in reversed(self.truths) if t.stamp <= stamp + 1e-6), None)

    def recent_truth(self, stamp: float) -> str:
        """What happens at `stamp` in words; if nothing does, what was over a moment ago."""
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
            truth: Of the image.
            from_onset: Let each text count from the onset it names instead; this takes off the
                delay that confirming a change costs.
        """
        limit = truth.stamp + 1e-6
        said = [t.text for t in self.texts if (t.onset if from_onset else t.received) <= limit]
        return bool(said) and truth.allows(said[-1])

    def right_share(self, from_onset: bool = False) -> float | None:
        """Share of images, from the first text on, at which the text in force was true."""
        if not self.texts:
            return None
        first = self.texts[0].received
        judged = [
            self.is_right(truth, from_onset)
            for truth in self.truths
            if truth.valid_texts and truth.stamp >= first
        ]
        return sum(judged) / len(judged) if judged else None

    def summary(self) -> dict[str, Any]:
        """Figures of the whole demo; latencies in milliseconds, None where nothing was measured."""
        ordered = sorted(self.latencies)
        share, onset_share = self.right_share(), self.right_share(from_onset=True)
        median = p99 = None
        if ordered:
            median = round(1000 * statistics.median(ordered), 1)
            p99 = round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 1)
        return {
            "seconds": round(self.end - self.start, 1),
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
