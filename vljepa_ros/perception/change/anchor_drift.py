"""Anchor drift, the default: has the smoothed embedding left the state that was published last?

Compared is with the *published* state, not with the sample before: clips overlap, so a change
comes as a ramp of small steps. The published state is refined by the quiet samples after it
(`reference`), the drift is the cosine distance between the exponentially smoothed embedding and
that reference, in units of

    1 + 2 smoothing / (seconds of samples in the reference)

because a fresh reference is itself noisy. A change is suspected when the drift passes the limit
max(threshold, strictness * quiet level) and dropped when it falls below `release` of that. While
it is suspected, evidence of min(drift / limit, 1.5) - 0.5 a second is gathered, as in Page's
CUSUM; at `settle` the change is confirmed, so that small changes must last longer than large ones.
A sample that has fallen back below half of the largest one is no evidence: one odd picture in
overlapping clips comes and goes, a change comes and stays. Returns, and changes in a stream that
has long been quiet, need more evidence (`readiness.py`). The state told is the mean of the samples
since the suspicion without the first, which still show the transition; where the change goes on, it
is told once more (`correction.py`). The quiet level is learned as told in `quiet_level.py` and
frozen while a change is suspected; strictness follows from `sensitivity`, the false alarms per hour
to expect of a camera that is disturbed now and then (measured, doc/change.md; one that is not gives
fewer).

A slow change never leaves the reference, which follows it. So the distance of the reference from
what it was when it had settled is summed beyond an allowance, and told when the sum reaches what
`slow` seconds at twice the limit give; less is left to the light and the time of day.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.anchor_drift_config import AnchorDriftConfig, strictness
from vljepa_ros.perception.change.correction import Correction
from vljepa_ros.perception.change.gated import GatedDetector
from vljepa_ros.perception.change.interface import CHANGE, CORRECTION, HEARTBEAT, Change
from vljepa_ros.perception.change.quiet_level import QuietLevel
from vljepa_ros.perception.change.readiness import Readiness
from vljepa_ros.perception.change.samples import BREAK, cosine_distance, unit
from vljepa_ros.perception.change.turn_guard import TurnGuard

Vector = NDArray[np.float32]

STRONG = 1.5  # limits: a drift beyond it is no stronger evidence
NO_EVIDENCE = 0.5  # of the limit: the drift that speaks neither for a change nor against it
GOING_BACK = 0.5  # of its peak: a change that has fallen below it gathers no evidence
PAUSE = 1.5  # usual steps: a sample after a longer pause is no stronger evidence
PACE = 0.1  # share by which one step moves the usual one, at most
FADE = 1.0  # seconds; time constant with which older samples of a change count less
TRANSITION = 0.2  # seconds after the suspicion whose samples are not part of the new state
QUIET = 1.2  # times the quiet level: below it nothing has begun
SURE = 1.2  # times the quiet level: samples beyond it count less in the reference
FRESH = 0.25  # seconds of samples that one sample is worth in a new reference
SETTLED = 4.0  # seconds of samples after which the reference is what was meant
SLOW_ALLOWANCE = 1.5  # limits by which light and view may move the reference for ever
SLOW_CHANGE = 2.0  # limits by which the reference must be off for `slow` seconds


class AnchorDrift(GatedDetector):
    """See the module; the interface is `ChangeDetector`.

    :param guard: takes the turn rates of the robot; without one, turns are not known.
    """

    _since: float | None  # when the present suspicion began
    _sum: Vector | None  # of the samples since then
    _count: float  # weights in the sum
    _evidence: float  # seconds
    _peak: float  # largest distance of a sample from the reference since then

    def __init__(self, config: AnchorDriftConfig, guard: TurnGuard | None = None) -> None:
        self.config = config
        self.guard = guard
        self._strictness = strictness(config.sensitivity)
        super().__init__(config.max_gap, config.threshold)

    @property
    def present(self) -> Vector | None:
        """[D] float32, L2 norm 1: the smoothed embedding."""
        return None if self._smooth is None else unit(self._smooth)

    @property
    def published(self) -> Vector | None:
        """[D] float32, L2 norm 1: the last published state."""
        return self._told.state

    def configure(self, config: AnchorDriftConfig) -> None:
        """Change the settings of a running detector; what it has learned stays."""
        self.config = config
        self._gate.max_gap = config.max_gap
        self._strictness = strictness(config.sensitivity)

    def _forget(self) -> None:
        """Forget also how noisy the stream is."""
        self._quiet = QuietLevel()
        self._smooth: Vector | None = None
        self._reference: Vector | None = None
        self._seconds = FRESH  # of samples in the reference
        self._pace = 0.0  # seconds, the usual step
        self._told_or_beat = -math.inf
        self._calm = -math.inf  # the last stamp at which nothing had begun
        self._readiness = Readiness()
        self._correction = Correction()
        self._settled: Vector | None = None  # the reference when it had settled
        self._slow = 0.0
        self.threshold = self.config.threshold
        self._drop_suspicion()

    def restore(self, state: Vector) -> None:
        """Start from a state that was published before a restart: it is not told again.

        :param state: [D] float32, not zero.
        :raises ValueError: `state` is zero or not finite.
        """
        norm = float(np.linalg.norm(state))
        if not (math.isfinite(norm) and norm > 0.0):
            raise ValueError(f"a published state of norm {norm} cannot be restored")
        self.reset()
        self._told.state = self._reference = (state / norm).astype(np.float32)

    def _take(self, stamp: float, sample: Vector, step: float) -> Change | None:
        """`drift` is the distance of the smoothed embedding from the reference here, `threshold`
        what it must pass now."""
        if self._reference is None:
            self._smooth = self._reference = sample
            self._calm = self._told_or_beat = stamp
            self._quiet.sample(stamp, sample, 0.0)
            self._readiness.begin(stamp)
            return self._told.publish(stamp, stamp, sample)
        if self._reference.size != sample.size:  # restored from a model of another size
            self.reset()
            return self.observe(stamp, sample)
        if step == BREAK or self._smooth is None:
            if self._smooth is None:  # restored
                self._readiness.begin(stamp)
            self._smooth, step = sample, FRESH
            self._calm = stamp
            self._told_or_beat = min(self._told_or_beat, stamp)
            self._drop_suspicion()
        elif self.config.smoothing:
            weight = 1.0 - math.exp(-step / self.config.smoothing)
            self._smooth = _towards(self._smooth, sample, weight)
        else:
            self._smooth = sample
        self._quiet.sample(stamp, sample, step)
        self._correction.take(stamp, sample)
        pace = self._pace or step
        self._pace = pace + max(-PACE * pace, min(PACE * pace, step - pace))
        return self._judge(stamp, sample, step) or self._beat(stamp)

    def _judge(self, stamp: float, sample: Vector, step: float) -> Change | None:
        assert self._smooth is not None
        assert self._reference is not None
        turning = 1.0 if self.guard is None else self.guard.factor(stamp)
        scale = (1.0 + 2.0 * self.config.smoothing / self._seconds) * self._quiet.unrest * turning
        level = self._quiet.level
        limit = max(self.config.threshold, self._strictness * level)
        self.threshold = limit * scale
        self.drift = cosine_distance(self._smooth, self._reference)
        drift = self.drift / scale
        if drift <= QUIET * level:
            self._calm = stamp
        if drift > limit * (1.0 if self._since is None else self.config.release):
            return self._suspect(stamp, sample, step, drift / limit)
        self._drop_suspicion()
        self._quiet.quiet(drift, step)
        self._refine(sample, step, drift, level)
        return self._correct(stamp, limit * turning) or self._slow_change(stamp, step, limit)

    def _suspect(self, stamp: float, sample: Vector, step: float, excess: float) -> Change | None:
        assert self._smooth is not None
        assert self._reference is not None
        if self._since is None:
            self._since = stamp
        lasted = min(step, PAUSE * self._pace, 1.0)
        raw = cosine_distance(sample, self._reference)
        self._peak = max(self._peak, raw)
        if raw < GOING_BACK * self._peak:
            excess = min(excess, NO_EVIDENCE)
        self._evidence += (min(excess, STRONG) - NO_EVIDENCE) * lasted
        if stamp - self._since >= TRANSITION:
            kept = math.exp(-lasted / FADE)
            self._sum = sample if self._sum is None else self._sum * np.float32(kept) + sample
            self._count = self._count * kept + 1.0
        if self._evidence < self.config.settle or self._sum is None:
            return None
        wanted = self._readiness.factor(stamp, self._smooth, self.drift)
        if self._evidence < self.config.settle * wanted:
            return None
        if not self._told.rested(stamp, self.config.min_gap):
            return None
        onset = max(self._calm, self._since - self.config.clip) - self.config.lag
        seconds = self._count * min(step, 1.0)
        self._readiness.told(stamp, self._reference)
        change = self._publish(stamp, onset, self._sum / np.float32(self._count), seconds)
        self._correction.open(stamp, change.onset, change.state, self.config.clip)
        return change

    def _correct(self, stamp: float, limit: float) -> Change | None:
        if not self._told.rested(stamp, self.config.min_gap):
            return None
        better = self._correction.due(limit)
        if better is None:
            return None
        return self._publish(stamp, self._correction.onset, better, self._seconds, CORRECTION)

    def _publish(
        self, stamp: float, onset: float, mean: Vector, seconds: float, reason: str = CHANGE
    ) -> Change:
        self._smooth = self._reference = mean
        self._seconds = max(FRESH, seconds)
        self._calm = self._told_or_beat = stamp
        self._settled, self._slow = None, 0.0
        self._drop_suspicion()
        return self._told.publish(stamp, onset, mean, reason)

    def _refine(self, sample: Vector, step: float, drift: float, level: float) -> None:
        """Average a quiet sample into the reference; the less, the less quiet it is."""
        assert self._reference is not None
        trust = 1.0 if drift <= SURE * level else (SURE * level / drift) ** 2
        self._seconds = min(self._seconds + step * trust, self.config.memory)
        weight = min(1.0, step * trust / self._seconds)
        self._reference = _towards(self._reference, sample, weight)

    def _slow_change(self, stamp: float, step: float, limit: float) -> Change | None:
        assert self._reference is not None
        if self._settled is None:
            if self._seconds >= SETTLED:
                self._settled = self._reference
            return None
        away = cosine_distance(self._reference, self._settled)
        self._slow = max(0.0, self._slow + (away - SLOW_ALLOWANCE * limit) * step)
        if self._slow <= (SLOW_CHANGE - SLOW_ALLOWANCE) * limit * self.config.slow:
            return None
        if not self._told.rested(stamp, self.config.min_gap):
            return None
        self._readiness.told(stamp, None)
        return self._publish(stamp, stamp, self._reference, self._seconds)

    def _beat(self, stamp: float) -> Change | None:
        if not self.config.heartbeat or stamp - self._told_or_beat < self.config.heartbeat:
            return None
        assert self._smooth is not None
        self._told_or_beat = stamp
        state = unit(self._smooth)
        return Change(stamp, stamp, state, max(0.0, self._told.drift(state)), HEARTBEAT)

    def _drop_suspicion(self) -> None:
        self._since = None
        self._sum = None
        self._count = 0.0
        self._evidence = 0.0
        self._peak = 0.0


def _towards(start: Vector, goal: Vector, weight: float) -> Vector:
    moved = goal - start
    moved *= np.float32(weight)
    moved += start
    return moved
