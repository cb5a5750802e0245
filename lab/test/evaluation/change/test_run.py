"""Pieces of `vljepa eval events`: the same figures in one process or several."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("sklearn", reason="offline Ward needs the extra [eval]")

from vljepa_lab.evaluation.change import run
from vljepa_lab.evaluation.change.embedding import run_jobs
from vljepa_lab.evaluation.change.run import EventsConfig, merge, synthetic_jobs


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs_with_progress(workers: int) -> None:
    progress: list[tuple[str, int, int]] = []
    jobs = [partial(pow, *pair) for pair in ((2, 5), (3, 2), (5, 1))]
    results = run_jobs(jobs, workers, "powers", lambda *seen: progress.append(seen))
    assert results == [32, 9, 5]
    assert progress[0] == ("powers", 0, 3)
    assert progress[-1] == ("powers", 3, 3)
    assert run_jobs([], workers, "powers", lambda *_: None) == []


def test_a_job_that_fails_is_no_silence() -> None:
    jobs = [partial(divmod, 1, 1), partial(divmod, 1, 0)]
    with pytest.raises(ZeroDivisionError):
        run_jobs(jobs, 1, "", lambda *_: None)


def test_every_set_and_every_group_of_alarms_is_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SYNTHETIC_MINUTES", {"gap3": (3.0, 0.4)})
    sets = "gap3", "gap3.perturbed"
    monkeypatch.setattr(run, "SYNTHETIC_MIN_HOURS", 0.02)
    monkeypatch.setattr(run, "STILL_SCENES", 2)
    config = EventsConfig(world=False, sets=sets, streams=2, hours=0.02, draws=10, seed=3)
    result = merge([job() for job in synthetic_jobs(config)])
    assert list(result["streams"]) == ["gap3"]
    assert result["streams"]["gap3"]["perturbed"].keys() >= {"anchor_drift", "ward_midpoint"}
    assert list(result["saved"]) == ["gap3", "gap3.perturbed"]
    alarms = result["false_alarms"]
    assert set(alarms) == {"quiet", "perturbed", "perturbed_no_guard"}
    assert alarms["quiet"]["scenes"] == 2
    assert alarms["quiet"]["hours"] == pytest.approx(0.02, rel=0.1)
    assert alarms["perturbed"]["hours"] == pytest.approx(0.005, rel=0.3)


@pytest.mark.parametrize(
    ("setting", "says"), [({"streams": 1}, "streams is 1"), ({"draws": 2}, "draws is 2")]
)
def test_settings_out_of_range_are_refused(setting: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=f"{says}, allowed: at least"):
        EventsConfig(**setting)  # type: ignore[arg-type]


def test_a_set_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"set gap4: none of gap3, gap3\.perturbed"):
        EventsConfig(sets=("gap3", "gap4"))
