"""Ways of choosing what to decode, on sets of streams: detectors, uniform strides, offline Ward.

`judge` takes streams as they are, so that synthetic ones and those of a real model go through the
same code. The definitions are in `measures.py`, the whole of `vljepa eval events` in
`run.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vljepa_lab.evaluation.change import replay as replay
from vljepa_lab.evaluation.change.curves import Curve, Floats, interval, rate_for, share_at
from vljepa_lab.evaluation.change.detectors import DEFAULT, DETECTORS, Detector
from vljepa_lab.evaluation.change.measures import StreamScore, pool, score
from vljepa_lab.evaluation.change.spread import Progress
from vljepa_lab.evaluation.change.streams import ChangeStream

STRIDES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 72, 120, 180, 240, 360)
PHASES = 8  # of each stride, at most
ENOUGH = 0.95  # of the ceiling, below which a saving does not count

Scores = list[StreamScore]


def judge(
    sets: Mapping[str, Sequence[ChangeStream]], draws: int, progress: Progress
) -> dict[str, Any]:
    """Judge all ways of choosing on each set; names as in doc/change.md.

    :param sets: streams by the name of their set. draws: of the bootstrap over streams.
    :param progress: told what is done, how many of how many.
    :raises ImportError: scikit-learn (extra `eval`) is missing.
    """
    result: dict[str, Any] = {"default": DEFAULT, "streams": {}}
    for number, (name, streams) in enumerate(sets.items()):
        progress("sets judged", number, len(sets))
        _add_set(result, name, streams, draws)
    progress("sets judged", len(sets), len(sets))
    return result


def false_alarms(streams: Sequence[ChangeStream], guarded: bool = True) -> dict[str, Any]:
    """False alarms of the default, with Garwood's interval; the median delay where events are."""
    make = DETECTORS[DEFAULT].maker(DETECTORS[DEFAULT].default)
    summary = pool([score(one, replay.detected(one, make, guarded)) for one in streams])
    return {
        "per_h": summary.false_alarms_per_h,
        "ci": summary.false_alarms_interval,
        "hours": summary.hours,
        "scenes": len(streams),
        "delay_s": summary.delay_s if np.isfinite(summary.delay_s) else None,
    }


def _add_set(
    result: dict[str, Any], name: str, streams: Sequence[ChangeStream], draws: int
) -> None:
    from vljepa_lab.evaluation.change.ward_offline import ward_tree

    kinds = {kind: _sweep(streams, detector) for kind, detector in DETECTORS.items()}
    texts = [stream.read(stream.embeddings) for stream in streams]
    strides = [
        [_uniform_mean(s, t, stride) for s, t in zip(streams, texts, strict=True)]
        for stride in STRIDES
    ]
    ceiling = pool(strides[0])
    chosen = kinds[DEFAULT][DETECTORS[DEFAULT].sweep.index(DETECTORS[DEFAULT].default)]
    trees = [ward_tree(stream.embeddings) for stream in streams]
    middle, bound = (
        [
            score(stream, replay.ward(stream, tree, own.decodes, from_start))
            for stream, tree, own in zip(streams, trees, chosen, strict=True)
        ]
        for from_start in (False, True)
    )
    figures = {
        kind: _figures(sweep[DETECTORS[kind].sweep.index(DETECTORS[kind].default)])
        for kind, sweep in kinds.items()
    }
    figures["ward_midpoint"] = _figures(middle)
    figures["ward_bound"] = _figures(bound)
    figures["constant_text"] = _figures([score(s, replay.constant(s)) for s in streams])
    result["streams"][name] = figures
    result.setdefault("ceiling", {})[name] = ceiling.event_right_share
    curves = {kind: Curve.of(sweep) for kind, sweep in kinds.items()}
    curves["uniform"] = Curve.of(strides)
    own = Curve.of([chosen])
    _add_saved(result, name, curves, own, ceiling.event_right_share, draws)
    _add_comparisons(result, name, curves, own, Curve.of([middle]), Curve.of([bound]), draws)
    result.setdefault("curves", {})[name] = {
        kind: [[float(v) for v in points] for points in curve.points()]
        for kind, curve in curves.items()
    }


def _figures(scores: Scores) -> dict[str, Any]:
    """The pooled figures; a delay without end (most events missed) is None, which JSON can hold."""
    figures = asdict(pool(scores))
    if not np.isfinite(figures["delay_s"]):
        figures["delay_s"] = None
    return figures


def _sweep(streams: Sequence[ChangeStream], detector: Detector) -> list[Scores]:
    makers = [detector.maker(value) for value in detector.sweep]
    return [[score(stream, replay.detected(stream, make)) for stream in streams] for make in makers]


def _uniform_mean(stream: ChangeStream, texts: replay.Indices, stride: int) -> StreamScore:
    """Sums over the phases of one stride, so that each phase counts alike."""
    phases = sorted({round(i * stride / PHASES) for i in range(PHASES)})
    scores = [score(stream, replay.uniform(stream, texts, stride, phase)) for phase in phases]
    return StreamScore(
        event_share=sum(s.event_share for s in scores),
        events=sum(s.events for s in scores),
        right=sum(s.right for s in scores),
        seconds=sum(s.seconds for s in scores),
        decodes=sum(s.decodes for s in scores),
        delays=tuple(delay for s in scores for delay in s.delays),
        hits=sum(s.hits for s in scores),
        boundaries=sum(s.boundaries for s in scores),
        estimates=sum(s.estimates for s in scores),
        false_alarms=sum(s.false_alarms for s in scores),
        lookahead=sum(s.lookahead for s in scores),
    )


def _add_saved(
    result: dict[str, Any],
    name: str,
    curves: Mapping[str, Curve],
    own: Curve,
    ceiling: float,
    draws: int,
) -> None:
    """Uniform rate / rate of the default at the same quality, with its interval."""

    def factor(of: Curve, weights: Floats | None = None) -> tuple[float, bool]:
        rates, shares = of.points(weights)
        needed, reached = rate_for(*curves["uniform"].points(weights), float(shares[0]))
        return needed / float(rates[0]), not reached

    saved, at_least = factor(own)
    share = float(own.points()[1][0])
    every = [Curve(curves[DEFAULT].sums[i : i + 1]) for i in range(len(curves[DEFAULT].sums))]
    good = [factor(c)[0] for c in every if c.points()[1][0] >= ENOUGH * ceiling]
    result.setdefault("saved_vs_uniform", {})[name] = saved
    result.setdefault("saved", {})[name] = {
        "at_least": at_least,
        "ci": interval(lambda w: factor(own, w)[0], own.sums.shape[1], draws),
        "of_ceiling": share / ceiling,
        "of_best_threshold": saved / max([*good, saved]),
        "at_rate_of_95_percent": rate_for(*curves["uniform"].points(), ENOUGH * ceiling)[0]
        / rate_for(*curves[DEFAULT].points(), ENOUGH * ceiling)[0],
    }


def _add_comparisons(
    result: dict[str, Any],
    name: str,
    curves: Mapping[str, Curve],
    own: Curve,
    middle: Curve,
    bound: Curve,
    draws: int,
) -> None:
    """Differences of event_right_share at the decode rate of the default."""

    def against(other: Curve, weights: Floats | None = None) -> float:
        rates, shares = own.points(weights)
        return float(shares[0]) - share_at(*other.points(weights), float(rates[0]))

    def entry(other: Curve) -> dict[str, Any]:
        ci = interval(lambda w: against(other, w), own.sums.shape[1], draws)
        return {"difference": against(other), "ci": ci}

    result.setdefault("vs_ward", {})[name] = entry(middle)
    others = {kind: entry(curve) for kind, curve in curves.items() if kind != DEFAULT}
    result.setdefault("vs", {})[name] = others
    ratio = float(own.points()[1][0] / bound.points()[1][0])
    result.setdefault("of_ward_bound", {})[name] = ratio
