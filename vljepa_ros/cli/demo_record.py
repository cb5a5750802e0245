"""What was seen, said and true during a demo, and the figures that follow from it."""

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
    caption: str
    valid_texts: tuple[str, ...]

    @property
    def words(self) -> str:
        """The present event in a few words."""
        if self.event == "nothing":
            return "nothing is happening"
        if self.valid_texts:  # the newest event first, its plainest wording first
            return self.valid_texts[0]
        return f"{self.event} {self.object}".strip()


@dataclass(frozen=True)
class Said:
    """One scene event. `stamp`: its image; `onset`: when it says the change began; `heard`: when it
    arrived; all in seconds of the cameras' clock."""

    stamp: float
    onset: float
    heard: float
    text: str
    decoded: bool
    confidence: float
    reason: str


@dataclass(frozen=True)
class Answer:
    """One answered question; `seconds`: how long the service took; `truth`: empty where unknown."""

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
    said: list[Said] = field(default_factory=list)
    drifts: list[tuple[float, float]] = field(default_factory=list)  # (stamp, cosine distance)
    latencies: list[float] = field(default_factory=list)  # seconds, camera stamp to embedding
    answers: list[Answer] = field(default_factory=list)
    threshold: float = 0.0  # of the drift, as the decoder node states it
    decodes: int = 0  # times the Y-Decoder was asked; not every time it has something new to say
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> float:
        """Stamp of the first image known, seconds; 0 before it."""
        stamps = [part[0].stamp for part in (self.truths, self.said) if part]
        stamps += [self.drifts[0][0]] if self.drifts else []
        return min(stamps, default=0.0)

    @property
    def end(self) -> float:
        """Stamp of the last image known, seconds."""
        stamps = [part[-1].stamp for part in (self.truths, self.said) if part]
        stamps += [self.drifts[-1][0]] if self.drifts else []
        return max(stamps, default=0.0)

    @property
    def frames(self) -> int:
        """Clips the model embedded: what decoding every one of them would have cost."""
        return len(self.latencies)

    def saved(self) -> float:
        """Share of decodes saved against one decode for each embedded clip, 0..1."""
        return 1.0 - self.decodes / self.frames if self.frames else 0.0

    def truth_at(self, stamp: float) -> Truth | None:
        """What was true in the newest image not after `stamp`, None before the first."""
        best = None
        for truth in self.truths:
            if truth.stamp > stamp + 1e-6:
                break
            best = truth
        return best

    def lately(self, stamp: float) -> str:
        """What is happening at `stamp` in words; where it is nothing, what was over a moment
        ago."""
        now = self.truth_at(stamp)
        if now is None:
            return "unknown"
        for truth in reversed(self.truths):
            if stamp - AFTERGLOW <= truth.stamp <= stamp and truth.event != "nothing":
                return truth.words if now.event != "nothing" else f"{truth.words} (just now)"
        return now.words

    def said_at(self, time: float, from_onset: bool = False) -> Said | None:
        """Text in force at `time`: the last one heard by then.

        :param from_onset: let each text count from the onset it names instead; this takes off the
            delay that confirming a change costs.
        """
        best = None
        for said in self.said:
            if (said.onset if from_onset else said.heard) <= time + 1e-6:
                best = said
        return best

    def right_said(self, said: Said, truth: Truth) -> bool:
        """Whether one text is true in one image."""
        return same_text(said.text, truth.valid_texts)

    def right(self, truth: Truth, from_onset: bool = False) -> bool:
        """Whether what the robot says at an image's time is true then."""
        said = self.said_at(truth.stamp, from_onset)
        return said is not None and same_text(said.text, truth.valid_texts)

    def right_share(self, from_onset: bool = False) -> float | None:
        """Share of images, from the first text on, at which the text in force was true."""
        if not self.said or not self.truths:
            return None
        first = self.said[0].heard
        judged = [
            self.right(truth, from_onset)
            for truth in self.truths
            if truth.valid_texts and truth.stamp >= first
        ]
        return sum(judged) / len(judged) if judged else None

    def summary(self) -> dict[str, Any]:
        """Figures of the whole demo; latencies in milliseconds, None where nothing was measured."""
        ordered = sorted(self.latencies)
        share, onset_share = self.right_share(), self.right_share(from_onset=True)
        return {
            "seconds": round(self.end - self.start, 1),
            "text_right_share": None if share is None else round(share, 4),
            "text_right_share_from_onset": None if onset_share is None else round(onset_share, 4),
            "clips": self.frames,
            "decodes": self.decodes,
            "decodes_saved": round(self.saved(), 4),
            "latency_ms": {
                "median": round(1000 * statistics.median(ordered), 1) if ordered else None,
                "p99": round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 1)
                if ordered
                else None,
            },
            "answers": [
                {
                    "question": answer.question,
                    "answer": answer.answer,
                    "truth": answer.truth,
                    "score": answer.score,
                    "ms": round(1000 * answer.seconds, 1),
                }
                for answer in self.answers
            ],
        }
