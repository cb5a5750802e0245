"""Pieces of `vljepa eval events`: the same figures in one process or several."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn", reason="offline Ward needs the extra [eval]")

from vljepa_lab.evaluation.change import parts
from vljepa_lab.evaluation.change.cost import growth
from vljepa_lab.evaluation.change.judge import judge
from vljepa_lab.evaluation.change.parts import alarms_part, growth_part, merged, set_part, work_on
from vljepa_lab.evaluation.change.spread import spread
from vljepa_lab.evaluation.change.streams import StreamConfig, synthetic_stream


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs_with_progress(workers: int) -> None:
    told: list[tuple[str, int, int]] = []
    jobs = [(2, 5), (3, 2), (5, 1)]
    found = spread(pow, jobs, workers, "powers", lambda *seen: told.append(seen))
    assert found == [32, 9, 5]
    assert told[0] == ("powers", 0, 3)
    assert told[-1] == ("powers", 3, 3)
    assert spread(pow, [], workers, "powers", lambda *_: None) == []


def test_a_job_that_fails_is_no_silence() -> None:
    with pytest.raises(ZeroDivisionError):
        spread(divmod, [(1, 1), (1, 0)], 1, "", lambda *_: None)


def test_sets_judged_apart_are_those_judged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    minutes = {"gap3": (3.0, 0.4), "gap12": (3.0, 0.4)}
    monkeypatch.setattr(parts, "SYNTHETIC_MINUTES", minutes)
    monkeypatch.setattr(parts, "SYNTHETIC_SEED", 7000)
    names = ("gap3", "gap3.perturbed")
    done = [work_on(set_part(name, 10, streams=2, seed=3)) for name in names]
    sets = {}
    for name in names:
        settings = StreamConfig(gap=3.0, seconds=24.0, perturbed="perturbed" in name)
        sets[name] = [synthetic_stream(settings, 7003 + i) for i in range(2)]
    together = judge(sets, 10, lambda *_: None)
    apart: dict[str, Any] = merged(done)
    assert apart == together
    assert list(apart["streams"]) == list(names)


def test_alarms_of_several_groups_stand_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SCENES", 2)
    done = [work_on(alarms_part(name, hours=0.02)) for name in ("quiet", "perturbed")]
    alarms = merged(done)["false_alarms"]
    assert set(alarms) == {"quiet", "perturbed", "perturbed_no_guard"}
    assert alarms["quiet"]["scenes"] == 2
    assert alarms["quiet"]["hours"] == pytest.approx(0.02, rel=0.1)


def test_the_default_detector_does_not_grow() -> None:
    found = work_on(growth_part(6000))
    assert found == growth(6000) | {"process_grown_bytes": found["process_grown_bytes"]}
    assert found["samples"] == 8000, "whole laps"
    assert found["state_grown_bytes"] == 0
