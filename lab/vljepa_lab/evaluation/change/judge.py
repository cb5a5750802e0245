"""Ways of choosing what to decode, on sets of streams: detectors, uniform strides, offline Ward.

Streams are taken as they are, so that synthetic ones and those of a real model go through the same
code. The definitions are in `measures.py`, the whole of `vljepa eval events` in `run.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vljepa_lab.evaluation.bootstrap import Floats, percentile_interval
from vljepa_lab.evaluation.change import replay
from vljepa_lab.evaluation.change.detectors import DEFAULT, DETECTORS, DetectorKind
from vljepa_lab.evaluation.change.measures import StreamScore, add_scores, pool, score
from vljepa_lab.evaluation.change.streams import ChangeStream
from vljepa_ros.files import JsonMapping, JsonObject

PERTURBED = "perturbed"
STRIDES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 72, 120, 180, 240, 360)
PHASES = 8  # of each stride, at most
MIN_CEILING_SHARE = 0.95  # of the ceiling, below which a saving does not count


@dataclass(frozen=True)
class Curve:
    """Rate against quality over a detector's knob.

    Attributes:
        sums: [K, S, 4] for K settings and S streams: event share, events, decodes, minutes.
    """

    sums: Floats

    @staticmethod
    def of(settings: Sequence[Sequence[StreamScore]]) -> Curve:
        """From the scores of all streams at each setting."""
        sums = [
            [(s.event_share, s.events, s.decodes, s.seconds / 60.0) for s in scores]
            for scores in settings
        ]
        return Curve(np.array(sums))

    def points(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Decodes per minute [K] and event_right_share [K], streams counted `weights` [S] times."""
        ones = np.ones(self.sums.shape[1]) if weights is None else weights
        total = np.einsum("ksf,s->kf", self.sums, ones)
        return total[:, 2] / total[:, 3], total[:, 0] / np.maximum(total[:, 1], 1e-9)


def share_at(rates: Floats, shares: Floats, rate: float) -> float:
    """Quality at a rate, from rates [N] and shares [N]: linear in the rate's logarithm.

    The best setting that decodes no more than that counts: more decodes are never held against a
    detector that could have been set to fewer. Beyond the curve its last point counts.
    """
    order = np.argsort(rates)
    best = np.maximum.accumulate(shares[order])
    return float(np.interp(np.log(rate), np.log(rates[order]), best))


def rate_for(rates: Floats, shares: Floats, share: float) -> tuple[float, bool]:
    """The least rate with a quality, and whether it is reached (else the rate of the best).

    Args:
        rates: [N] decodes a minute.
        shares: [N] quality at each.
        share: The quality.
    """
    order = np.argsort(rates)
    logs, best = np.log(rates[order]), np.maximum.accumulate(shares[order])
    if share > best[-1]:
        return float(rates[order[-1]]), False
    above = int(np.argmax(best >= share))
    if above == 0:
        return float(np.exp(logs[0])), True
    low, high = best[above - 1], best[above]
    part = (share - low) / (high - low)
    return float(np.exp(logs[above - 1] + part * (logs[above] - logs[above - 1]))), True


def judge_alarms(
    streams: Sequence[ChangeStream],
    guarded: bool = True,
    default: DetectorKind = DETECTORS[DEFAULT],
) -> JsonObject:
    """False alarms of the default, with Garwood's interval; the median delay where events are.

    Args:
        streams: in which nothing happens.
        guarded: whether the detector gets the turn rates of the robot.
        default: with the model's threshold.
    """
    make = partial(default.make, default.default)
    figures = pool([score(one, replay.detected(one, make, guarded)) for one in streams])
    return {
        "per_h": figures["false_alarms_per_h"],
        "ci": figures["false_alarms_interval"],
        "hours": figures["hours"],
        "scenes": len(streams),
        "delay_s": figures["delay_s"],
    }


def judge_set(
    name: str,
    streams: Sequence[ChangeStream],
    draws: int,
    default: DetectorKind = DETECTORS[DEFAULT],
) -> JsonObject:
    """Judge all ways of choosing on one set; names as in doc/change.md.

    Args:
        name: of the set, `gap3.perturbed` for instance.
        streams: of the set.
        draws: of the bootstrap over streams.
        default: with the model's threshold.

    Raises:
        ImportError: scikit-learn (extra `eval`) is missing.
    """
    detectors = DETECTORS | {DEFAULT: default}
    sweeps = {
        kind: [
            [score(one, replay.detected(one, partial(detector.make, value))) for one in streams]
            for value in detector.sweep
        ]
        for kind, detector in detectors.items()
    }
    defaults = {kind: sweeps[kind][one.sweep.index(one.default)] for kind, one in detectors.items()}
    texts = [stream.read(stream.embeddings) for stream in streams]
    sweeps["uniform"] = [
        [_uniform_mean(s, t, stride) for s, t in zip(streams, texts, strict=True)]
        for stride in STRIDES
    ]
    trees = [replay.ward_tree(stream.embeddings) for stream in streams]
    chosen = defaults[DEFAULT]
    middle, bound = (
        [
            score(stream, replay.ward(stream, tree, own.decodes, from_start))
            for stream, tree, own in zip(streams, trees, chosen, strict=True)
        ]
        for from_start in (False, True)
    )
    constant = [score(stream, replay.constant(stream)) for stream in streams]
    ways = {"ward_midpoint": middle, "ward_bound": bound, "constant_text": constant}
    ceiling = pool(sweeps["uniform"][0])["event_right_share"]
    curves = {kind: Curve.of(sweep) for kind, sweep in sweeps.items()}
    own = Curve.of([chosen])
    saved = _saved(curves, own, ceiling, draws)
    own_share, bound_share = own.points()[1][0], Curve.of([bound]).points()[1][0]
    rivals = {kind: curve for kind, curve in curves.items() if kind != DEFAULT}
    result = {
        "streams": {kind: pool(scores) for kind, scores in (defaults | ways).items()},
        "ceiling": ceiling,
        "saved_vs_uniform": saved.pop("factor"),
        "saved": saved,
        "vs_ward": _ahead(own, Curve.of([middle]), draws),
        "vs": {kind: _ahead(own, curve, draws) for kind, curve in rivals.items()},
        "of_ward_bound": float(own_share / bound_share),
        "curves": {
            kind: [values.tolist() for values in curve.points()] for kind, curve in curves.items()
        },
    }
    return {"default": DEFAULT} | {key: {name: value} for key, value in result.items()}


def nest_by_gap(streams: JsonMapping) -> JsonObject:
    """Figures by set as the JSON has them: each perturbed set within the quiet one of its gap."""
    nested: dict[str, Any] = {}
    for name, figures in streams.items():
        gap, _, rest = name.partition(".")
        nested.setdefault(gap, {}).update({rest: figures} if rest else figures)
    return nested


def sets_of(result: JsonMapping) -> dict[str, JsonObject]:
    """The inverse: figures of each way of choosing by the name of their set, `gap3.perturbed`."""
    sets: dict[str, dict[str, Any]] = {}
    for gap, figures in result["streams"].items():
        quiet = {kind: one for kind, one in figures.items() if kind != PERTURBED}
        if quiet:
            sets[gap] = quiet
        if PERTURBED in figures:
            sets[f"{gap}.{PERTURBED}"] = figures[PERTURBED]
    return sets


def _uniform_mean(stream: ChangeStream, texts: replay.Indices, stride: int) -> StreamScore:
    """Sums over the phases of one stride, so that each phase counts alike."""
    phases = sorted({round(i * stride / PHASES) for i in range(PHASES)})
    return add_scores([score(stream, replay.uniform(stream, texts, stride, p)) for p in phases])


def _saved(curves: Mapping[str, Curve], own: Curve, ceiling: float, draws: int) -> JsonObject:
    """Uniform rate / rate of the default at the same quality (`factor`), with its interval."""

    def factor(of: Curve, weights: Floats | None = None) -> tuple[float, bool]:
        rates, shares = of.points(weights)
        needed, reached = rate_for(*curves["uniform"].points(weights), float(shares[0]))
        return needed / float(rates[0]), not reached

    def rate_near_ceiling(kind: str) -> float:
        return rate_for(*curves[kind].points(), MIN_CEILING_SHARE * ceiling)[0]

    saved, at_least = factor(own)
    every = [Curve(curves[DEFAULT].sums[i : i + 1]) for i in range(len(curves[DEFAULT].sums))]
    good = [factor(c)[0] for c in every if c.points()[1][0] >= MIN_CEILING_SHARE * ceiling]
    return {
        "factor": saved,
        "at_least": at_least,
        "ci": percentile_interval(lambda w: factor(own, w)[0], own.sums.shape[1], draws),
        "of_best_threshold": saved / max([*good, saved]),
        "at_rate_of_95_percent": rate_near_ceiling("uniform") / rate_near_ceiling(DEFAULT),
    }


def _ahead(own: Curve, other: Curve, draws: int) -> JsonObject:
    """Difference of event_right_share at the decode rate of the default, with its interval."""

    def difference(weights: Floats | None = None) -> float:
        rates, shares = own.points(weights)
        return float(shares[0]) - share_at(*other.points(weights), float(rates[0]))

    interval = percentile_interval(difference, own.sums.shape[1], draws)
    return {"difference": difference(), "ci": interval}
