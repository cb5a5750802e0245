"""Anchor drift, the default detector: has the smoothed embedding left the published state?

It compares with the *published* state, not with the sample before: clips overlap, so a change comes
as a ramp of small steps. The published state is refined by the quiet samples after it (the
reference). The drift is the cosine distance of the smoothed embedding from the reference. A drift
above max(threshold, multiplier * noise floor) is a suspected change; evidence is gathered as in
Page's CUSUM while the suspicion lasts, so that small changes must last longer than large ones. The
evidence of a *strong* change has no upper limit: where changes are to be expected, `settle` seconds
are enough. A change with enough evidence is published, and again if it continues afterwards (a
correction). A slow change never leaves the reference, which follows it, so the movement of the
reference itself is summed as well.

The noise floor is in `noise_floor.py`, the evidence that is needed in `change_prior.py`; each step
is explained in `_judge`, `_suspect`, `_refine` and `_slow_change`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from vljepa_ros.perception.change.change_prior import ChangePrior, ColourGuard, TurnGuard
from vljepa_ros.perception.change.detector import (
    BREAK,
    CHANGE,
    CORRECTION,
    Change,
    ChangeDetector,
    Vector,
    cosine_distance,
    unit,
)
from vljepa_ros.perception.change.noise_floor import NoiseFloor

NOISE_MARGIN = 1.2  # times the noise floor: drift below it is noise
MAX_EXCESS = 1.5  # limits: a larger drift is no stronger evidence, but of a strong change
NEUTRAL_EXCESS = 0.5  # limits: the drift that speaks neither for a change nor against it
RETREAT_SHARE = 0.5  # of its largest distance: a sample that fell below it is no evidence
MAX_STEP = 1.5  # usual steps (and 1 s): a sample after a longer pause is no stronger evidence
STEP_ADAPTATION = 0.1  # share by which one step moves the usual step, at most
ENOUGH = 2.5  # times `settle`: the evidence that a change needs; a strong one without MAX_EXCESS
STRONG_PATIENCE = 6.0  # power of the factor with which returns and quiet streams keep it waiting
STRONG_SAMPLE_S = 0.5  # a sample is no stronger evidence of one, however few there are
MAX_STRONG_STEP = 2.2  # usual steps: a sample after a longer pause is no evidence of one
TRANSITION_S = 0.2  # samples so soon after the suspicion still show the old state
SAMPLE_FADE_S = 1.0  # time constant with which older samples count less in the new state
NEW_REFERENCE_S = 0.25  # seconds of samples that one sample is worth in a new reference
SETTLED_S = 4.0  # seconds of samples after which a reference is the state that was meant
REFERENCE_MEMORY_S = 12.0  # of quiet samples in the reference
SLOW_S = 10.0  # that a slow change of twice the limit takes to be published
SLOW_ALLOWANCE = 1.5  # limits by which light and view may move the reference permanently
CORRECTION_DISTANCE = 2.5  # limits between a published state and the mean of the samples since

NOTHING = np.zeros(0, np.float32)

RANGES = {
    "threshold": (0.0, 2.0),
    "release": (0.0, 1.0),
    "max_gap": (0.0, math.inf),
    "sensitivity": (1e-3, 1e3),
}
"""Allowed values of settings; those not named here are seconds from 0 to 3600."""


def threshold_multiplier(sensitivity: float) -> float:
    """Multiple of the noise floor at which `sensitivity` false alarms per hour are expected.

    Measured on disturbed streams (doc/change.md): about one per hour at 2.7, and a factor of e in
    false alarms for each 0.2.
    """
    return 2.7 - 0.2 * math.log(sensitivity)


@dataclass(frozen=True)
class AnchorDriftConfig:
    """Settings of the detector; RANGES says what is allowed.

    Attributes:
        threshold: cosine distance below which nothing is a change of meaning.
        release: share of the limit below which a suspicion is dropped.
        smoothing: time constant of the smoothed embedding, seconds.
        settle: seconds that even a strong change must last; a change of 1.5 times the limit must
            last 2.5 times as long, one barely above the limit 5 times.
        min_gap: seconds between two publications.
        max_gap: seconds without a sample after which a suspicion is dropped.
        sensitivity: expected false alarms per hour of a camera with occasional disturbances
            (others have fewer); the parameter to change first.
        clip: length of a clip in seconds: the onset is at most this long before the suspicion,
            and a correction comes at most this long after a change.
    """

    threshold: float = 0.06
    release: float = 0.8
    smoothing: float = 0.3
    settle: float = 0.35
    min_gap: float = 1.0
    max_gap: float = 5.0
    sensitivity: float = 1.0
    clip: float = 1.5

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a setting is out of its range.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = RANGES.get(field.name, (0.0, 3600.0))
            if not low <= value <= high:
                raise ValueError(f"{field.name} is {value}, allowed: {low} to {high}")


class Correction:
    """Finds a better state for the last published change, if the scene kept changing.

    A change is published early, from samples whose clips still show the state before. If the stream
    has moved far from that state since, the mean of all samples is worth another decode. It is not
    a new change: it keeps the onset.
    """

    def __init__(self) -> None:
        self.onset = -math.inf
        self._state: Vector | None = None  # None: nothing is left to be corrected
        self._sum: Vector | None = None  # of the samples since
        self._count = 0
        self._stamp = self._until = -math.inf

    def start(self, stamp: float, onset: float, state: Vector, seconds: float) -> None:
        """`state`, [D] with L2 norm 1, was published; it may be corrected for `seconds`."""
        self._state, self._sum, self._count = state, None, 0
        self._stamp, self._until, self.onset = stamp, stamp + seconds, onset

    def observe(self, stamp: float, sample: Vector) -> None:
        """Take a sample, [D] with L2 norm 1."""
        if self._state is None:
            return
        if self._stamp < stamp <= self._until:
            self._sum = sample if self._sum is None else self._sum + sample
            self._count += 1
        else:  # too late, or time jumped back
            self._state = self._sum = None

    def due(self, limit: float) -> Vector | None:
        """The mean of the published state and the samples since, [D]; None: nothing to correct.

        At most one for each change.

        Args:
            limit: cosine distance that counts as a change now.
        """
        if self._state is None or self._sum is None:
            return None
        if cosine_distance(self._sum, self._state) <= CORRECTION_DISTANCE * limit:
            return None
        better = (self._state + self._sum) / np.float32(self._count + 1)
        self._state = self._sum = None
        return better


class AnchorDrift(ChangeDetector):
    """The default detector, described at the top of this file.

    `drift` is the distance of the smoothed embedding from the reference, `threshold` the value that
    it must exceed at present.
    """

    def __init__(
        self,
        config: AnchorDriftConfig,
        guard: TurnGuard | None = None,
        colour: ColourGuard | None = None,
    ) -> None:
        """Start with an empty stream.

        Args:
            config: may be changed later, see `configure`.
            guard: recognises turns of the robot.
            colour: recognises switches to infrared.
        """
        self.config = config
        self.guard = guard
        self.colour = colour
        super().__init__(config.max_gap, config.threshold)

    @property
    def present(self) -> Vector | None:
        """[D] float32, L2 norm 1: the smoothed embedding."""
        return unit(self._smooth) if self._smooth.size else None

    @property
    def published(self) -> Vector | None:
        """[D] float32, L2 norm 1: the last published state."""
        return self._published.state

    def configure(self, config: AnchorDriftConfig) -> None:
        """Change the settings of a running detector; what it has learned stays."""
        self.config = config
        self.max_gap = config.max_gap

    def _reset_rule(self) -> None:
        self._noise = NoiseFloor()
        self._prior = ChangePrior()
        self._correction = Correction()
        self._smooth = self._reference = NOTHING
        self._reference_seconds = NEW_REFERENCE_S  # of samples in the reference
        self._usual_step = 0.0  # seconds; 0: not known yet
        self._calm_stamp = -math.inf  # the last one at which nothing had begun
        self._settled: Vector | None = None  # the reference when it had settled
        self._slow_sum = 0.0
        self.threshold = self.config.threshold
        self._drop_suspicion()

    def _drop_suspicion(self) -> None:
        self._suspected_since: float | None = None
        self._sum: Vector | None = None  # of the samples of the new state
        self._sum_weight = 0.0
        self._evidence = 0.0  # limits * seconds
        self._strong_evidence = self._strong_seconds = 0.0
        self._peak = 0.0  # largest distance of a sample from the reference

    def restore(self, state: Vector) -> None:
        """Start from a state that was published before a restart: it is not published again.

        Args:
            state: [D] float32, not zero.

        Raises:
            ValueError: `state` is zero or not finite.
        """
        norm = float(np.linalg.norm(state))
        if not (math.isfinite(norm) and norm > 0.0):
            raise ValueError(f"a published state of norm {norm} cannot be restored")
        self.reset()
        self._published.state = self._reference = (state / norm).astype(np.float32)

    def _update(self, stamp: float, sample: Vector, step: float) -> Change | None:
        if not self._reference.size:  # the first sample of a stream is published at once
            self._smooth = self._reference = sample
            self._calm_stamp = stamp
            self._noise.observe(stamp, sample, 0.0)
            self._prior.advance(stamp)
            return self._published.publish(stamp, stamp, sample)
        if self._reference.size != sample.size:  # restored from a model of another size
            self.reset()
            return self.observe(stamp, sample)
        if step == BREAK or not self._smooth.size:
            if not self._smooth.size:  # restored
                self._prior.advance(stamp)
            self._smooth, step = sample, NEW_REFERENCE_S
            self._calm_stamp = stamp
            self._drop_suspicion()
        elif self.config.smoothing:
            weight = 1.0 - math.exp(-step / self.config.smoothing)
            self._smooth = _towards(self._smooth, sample, weight)
        else:
            self._smooth = sample
        self._noise.observe(stamp, sample, step)
        self._correction.observe(stamp, sample)
        usual = self._usual_step or step
        most = STEP_ADAPTATION * usual
        self._usual_step = usual + max(-most, min(most, step - usual))
        return self._judge(stamp, sample, step)

    def _judge(self, stamp: float, sample: Vector, step: float) -> Change | None:
        """Decide whether a change is suspected at this sample."""
        guards = (guard for guard in (self.guard, self.colour) if guard is not None)
        guarded = max((guard.factor(stamp) for guard in guards), default=1.0)
        # A fresh reference is itself noisy; so is everything in a burst of noise and in a turn.
        fresh = 1.0 + 2.0 * self.config.smoothing / self._reference_seconds
        scale = fresh * self._noise.noise_burst * guarded
        level = self._noise.level
        limit = max(self.config.threshold, threshold_multiplier(self.config.sensitivity) * level)
        self.threshold = limit * scale
        self.drift = cosine_distance(self._smooth, self._reference)
        drift = self.drift / scale
        if drift <= NOISE_MARGIN * level:  # nothing has begun: an onset lies after this sample
            self._calm_stamp = stamp
        # Hysteresis: a suspicion ends below `release` of the limit at which it begins.
        if drift > limit * (1.0 if self._suspected_since is None else self.config.release):
            return self._suspect(stamp, sample, step, drift / limit)
        self._drop_suspicion()
        self._noise.learn(drift, step)
        self._refine(sample, step, drift, level)
        return self._correct(stamp, limit * guarded) or self._slow_change(stamp, step, limit)

    def _suspect(self, stamp: float, sample: Vector, step: float, excess: float) -> Change | None:
        """Accumulate evidence, seconds * limits, and publish when it is enough.

        Args:
            stamp: Of the sample, seconds.
            sample: [D] embedding, norm 1.
            step: Seconds since the sample before.
            excess: Drift in limits.
        """
        if self._suspected_since is None:
            self._suspected_since = stamp
        lasted = min(step, MAX_STEP * self._usual_step, 1.0)
        # One odd picture in overlapping clips comes and goes, a change comes and stays: a sample
        # that has fallen back adds nothing.
        raw = cosine_distance(sample, self._reference)
        self._peak = max(self._peak, raw)
        if raw < RETREAT_SHARE * self._peak:
            excess = min(excess, NEUTRAL_EXCESS)
        self._evidence += (min(excess, MAX_EXCESS) - NEUTRAL_EXCESS) * lasted
        # The drift in a pause is unknown, and one sample a second says little about duration.
        if step <= MAX_STRONG_STEP * self._usual_step:
            seconds = min(lasted, STRONG_SAMPLE_S)
            self._strong_evidence += (excess - NEUTRAL_EXCESS) * seconds
            self._strong_seconds += seconds
        # The new state is the mean of the samples that no longer show the transition.
        if stamp - self._suspected_since >= TRANSITION_S:
            kept = math.exp(-lasted / SAMPLE_FADE_S)
            self._sum = sample if self._sum is None else self._sum * np.float32(kept) + sample
            self._sum_weight = self._sum_weight * kept + 1.0
        enough = ENOUGH * self.config.settle
        evidence = self._evidence if self._sum is not None else 0.0
        lasts = self._strong_seconds >= self.config.settle
        strong = self._strong_evidence if lasts else 0.0
        if max(evidence, strong) < enough:
            return None
        # Returns, and changes in a stream that has long been quiet, need more evidence.
        factor = self._prior.evidence_factor(stamp, self._smooth, self.drift)
        if evidence < enough * factor and strong < enough * factor**STRONG_PATIENCE:
            return None
        if not self._published.gap_passed(stamp, self.config.min_gap):
            return None
        if self._sum is None:  # a change so strong that its first sample is enough
            self._sum, self._sum_weight = sample, 1.0
        since = max(self._calm_stamp, self._suspected_since - self.config.clip)
        self._prior.record_change(stamp, self._reference)
        seconds = self._sum_weight * min(step, 1.0)
        mean = self._sum / np.float32(self._sum_weight)
        change = self._publish(stamp, since, mean, seconds)
        self._correction.start(stamp, change.onset, change.state, self.config.clip)
        return change

    def _correct(self, stamp: float, limit: float) -> Change | None:
        if not self._published.gap_passed(stamp, self.config.min_gap):
            return None
        better = self._correction.due(limit)
        if better is None:
            return None
        onset = self._correction.onset
        return self._publish(stamp, onset, better, self._reference_seconds, CORRECTION)

    def _publish(
        self, stamp: float, onset: float, mean: Vector, seconds: float, reason: str = CHANGE
    ) -> Change:
        """Publish a mean over `seconds` of samples, and start a new reference from it."""
        self._smooth = self._reference = mean
        self._reference_seconds = max(NEW_REFERENCE_S, seconds)
        self._calm_stamp = stamp
        self._settled, self._slow_sum = None, 0.0
        self._drop_suspicion()
        return self._published.publish(stamp, onset, mean, reason)

    def _refine(self, sample: Vector, step: float, drift: float, level: float) -> None:
        """Average a quiet sample into the reference, with less weight the less quiet it is."""
        margin = NOISE_MARGIN * level
        trust = 1.0 if drift <= margin else (margin / drift) ** 2
        self._reference_seconds = min(self._reference_seconds + step * trust, REFERENCE_MEMORY_S)
        weight = min(1.0, step * trust / self._reference_seconds)
        self._reference = _towards(self._reference, sample, weight)

    def _slow_change(self, stamp: float, step: float, limit: float) -> Change | None:
        """Sum how far the settled reference has moved beyond the allowance.

        A change is published at the sum of SLOW_S seconds at twice the limit; less may be due to
        light and time of day.
        """
        if self._settled is None:
            if self._reference_seconds >= SETTLED_S:
                self._settled = self._reference
            return None
        away = cosine_distance(self._reference, self._settled)
        self._slow_sum = max(0.0, self._slow_sum + (away - SLOW_ALLOWANCE * limit) * step)
        if self._slow_sum <= (2.0 - SLOW_ALLOWANCE) * limit * SLOW_S:
            return None
        if not self._published.gap_passed(stamp, self.config.min_gap):
            return None
        self._prior.record_change(stamp, None)
        return self._publish(stamp, stamp, self._reference, self._reference_seconds)


def _towards(start: Vector, goal: Vector, weight: float) -> Vector:
    moved = goal - start
    moved *= np.float32(weight)
    moved += start
    return moved
