from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from memory_endurance import kill_test
from memory_rows import DIM, MODEL, SECOND, row, unit, vector

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory import store as store_module
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Row
from vljepa_ros.perception.memory.search import MomentQuery
from vljepa_ros.perception.memory.store import Filter, MemoryMissingError, QueryError, open_store
from vljepa_ros.perception.memory.upkeep import Retention, Upkeep, compact_and_index, forget, tidy


def settings(folder: Path, **changes: object) -> MemorySettings:
    return MemorySettings(str(folder), MODEL, DIM, **changes)  # type: ignore[arg-type]


def test_age_counts_from_the_newest_row_and_segments_outlive_samples(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(float(i), kind=SAMPLE) for i in range(100)])
    store.append([row(float(i), kind=SEGMENT) for i in range(0, 100, 10)])
    assert forget(store, Retention(max_age=50.0, max_sample_age=9.5)) == 95
    assert store.count(Filter(kind=SAMPLE)) == 10
    assert store.count(Filter(kind=SEGMENT)) == 5
    assert store.ends().min() == 50 * SECOND
    assert forget(store, Retention(max_age=50.0)) == 0


NOW = time.time() - 7200.0


@pytest.mark.parametrize("begin", [5000.0, NOW], ids=["simulated", "now"])
def test_a_camera_whose_clock_is_ahead_costs_the_others_nothing(
    tmp_path: Path, begin: float
) -> None:
    """Two hours of two cameras, one three hours ahead; an hour is kept."""
    store = open_store(tmp_path, MODEL, DIM, create=True)
    seconds = range(0, 7200, 60)
    store.append([row(begin + second, camera="good") for second in seconds])
    store.append([row(begin + 10800.0 + second, camera="ahead") for second in seconds])
    assert tidy(store, Retention(max_age=3600.0)) == 118
    for camera, ahead in (("good", 0.0), ("ahead", 10800.0)):
        ends = store.ends(Filter(cameras=(camera,)))
        assert len(ends) == 61
        assert ends.min() >= (begin + ahead + 3540.0) * SECOND


def test_a_clock_that_was_ahead_for_a_while_costs_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    wrong = NOW + 7200.0 + 10_800.0
    for first, seconds in (
        (NOW, range(0, 3600, 60)),
        (wrong, range(1)),
        (NOW, range(3600, 7200, 60)),
    ):
        store.append([row(first + second) for second in seconds])
    assert forget(store, Retention(max_age=7300.0)) == 0
    assert forget(store, Retention(max_age=3600.0)) == 59


def test_each_camera_gives_of_its_oldest_when_the_disk_is_full(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = open_store(tmp_path, MODEL, DIM, create=True)
    for camera, begin in (("1970", 10.0), ("good", NOW), ("ahead", NOW + 1e6)):
        jpegs = {second: rng.bytes(2000) for second in range(200)}
        store.append([row(begin + s, camera=camera, thumbnail=jpegs[s]) for s in jpegs])
    tidy(store, Retention(max_bytes=store.disk_bytes() // 2), keep_versions=0.001)
    counts = [store.count(Filter(cameras=(camera,))) for camera in ("1970", "good", "ahead")]
    assert max(counts) - min(counts) <= 1
    assert 50 < min(counts) < 150


def test_size_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = open_store(tmp_path, MODEL, DIM, create=True)
    for block in range(5):
        start = 100 * block
        store.append([row(float(start + i), thumbnail=rng.bytes(2000)) for i in range(100)])
    limit = 600_000
    assert store.disk_bytes() > limit
    for _ in range(5):
        tidy(store, Retention(max_bytes=limit), keep_versions=0.001)
    assert store.disk_bytes() <= limit
    assert store.count() > 150  # 2 kB a row: not far below the limit
    assert store.ends().max() == 499 * SECOND


def test_nothing_is_forgotten_without_limits(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    assert forget(store, Retention(max_age=1.0, max_bytes=1)) == 0  # empty
    store.append([row(0.0), row(1e6)])
    assert forget(store, Retention()) == 0


@pytest.mark.parametrize("name", ["max_age", "max_sample_age", "max_bytes"])
def test_negative_retention_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is -1, allowed: 0"):
        Retention(**{name: -1})


def test_compaction_merges_files_and_keeps_every_row(tmp_path: Path) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    for i in range(30):
        store.append([row(float(i))])
    data = tmp_path / "moments.lance" / "data"
    assert len(list(data.iterdir())) == 30
    store.compact(0.001)
    assert len(list(data.iterdir())) == 1
    assert store.count() == 30
    assert open_store(tmp_path).count() == 30


def test_index_is_built_when_it_pays_and_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(float(i)) for i in range(3000)])
    assert not store.build_index()
    monkeypatch.setattr(store_module, "INDEXED_VALUES", 100 * 256)
    assert store.build_index()
    assert not store.build_index()  # it is there
    assert store.indexed()
    store.append([row(5000.0, vector=vector(76))])  # not in the index yet, found all the same
    assert store.nearest(vector(76), 1)[0].row.stamp == 5000 * SECOND
    shared = 0
    for seed in range(10_000, 10_020):
        approximate = {hit.row.stamp for hit in store.nearest(vector(seed), 10)}
        exact = {hit.row.stamp for hit in store.nearest(vector(seed), 10, exact=True)}
        shared += len(approximate & exact)
    assert shared >= 170  # k-means begins anywhere
    store.compact()
    assert store.nearest(vector(76), 1)[0].row.stamp == 5000 * SECOND


def test_a_filter_finds_what_exact_search_finds_however_far_its_rows_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "INDEXED_VALUES", 100 * 256)
    monkeypatch.setattr(store_module, "CELLS_SEARCHED", 1)
    store = open_store(tmp_path, MODEL, DIM, create=True)
    rooms = [vector(seed) for seed in range(16)]  # each camera sees one thing, again and again
    for number, seen in enumerate(rooms):
        noise = np.random.default_rng(number).standard_normal((100, DIM)) / 20
        rows = [
            row(
                100.0 * number + second,
                vector=unit(seen + noise[second]),
                camera=f"room_{number}",
                source=f"bag_{number}",
            )
            for second in range(100)
        ]
        store.append(rows)
    assert store.build_index()
    for number in range(4):
        begin = 100 * number * SECOND
        for which in (
            Filter(cameras=(f"room_{number}",)),
            Filter(source=f"bag_{number}"),
            Filter(start=begin, end=begin + 50 * SECOND),
            Filter(cameras=(f"room_{number}",), start=begin + 95 * SECOND),
        ):
            for query in rooms[2:6]:
                exact = {hit.row.stamp for hit in store.nearest(query, 10, which, exact=True)}
                assert len(exact) >= 5
                assert {hit.row.stamp for hit in store.nearest(query, 10, which)} == exact


def test_filters_select_the_same_rows_with_an_index_of_what_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "INDEXED_VALUES", 100 * DIM)
    store = open_store(tmp_path, MODEL, DIM, create=True)
    random = np.random.default_rng(0)
    there: list[Row] = []

    def more(count: int) -> None:
        names = random.choice(["front", "rear", "it's"], count)
        new = [row(float(random.integers(500)), camera=str(name)) for name in names]
        store.append(new)
        there.extend(new)

    def same() -> None:
        for _ in range(20):
            begin, end, before = (int(t) * SECOND for t in random.integers(0, 500, 3))
            cameras = tuple(random.choice(["front", "rear", "it's"], random.integers(3)))
            which = Filter(
                cameras=tuple(map(str, cameras)),
                start=random.choice([None, begin]),
                end=random.choice([None, end]),
                ended_before=random.choice([None, before]),
            )
            wanted = [one for one in there if which.means(one)]
            assert store.count(which) == len(wanted), which
            assert sorted(store.ends(which)) == sorted(one.end for one in wanted), which
            found = store.nearest(vector(1), len(there), which)
            assert sorted(hit.row.end for hit in found) == sorted(one.end for one in wanted), which

    more(300)
    assert store.build_index()
    columns = {column for index in store._table.list_indices() for column in index.columns}
    assert columns == {"vector", "camera", "start_ns", "end_ns"}
    same()
    for _ in range(3):
        more(40)  # not in the indices yet
        same()
        gone = Filter(cameras=("rear",), ended_before=int(random.integers(100, 300)) * SECOND)
        store.delete(gone)
        there = [one for one in there if not gone.means(one)]
        same()
        compact_and_index(store, keep_versions=0.001)
        same()


def test_an_index_in_many_parts_or_for_far_fewer_rows_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "INDEXED_VALUES", 40 * 256)
    monkeypatch.setattr(store_module, "INDEX_PARTS", 2)
    store = open_store(tmp_path, MODEL, DIM, create=True)

    def parts() -> list[tuple[str, int]]:
        indices = [index for index in store._table.list_indices() if "vector" in index.columns]
        return [(index.name, index.num_segments) for index in indices]

    store.append([row(float(i)) for i in range(400)])
    assert store.build_index()
    assert parts() == [("vector_400", 1)]
    assert not store.build_index()
    rows = 400
    names = set()
    for _ in range(8):  # most rounds add a part
        store.append([row(float(rows + i)) for i in range(50)])
        rows += 50
        tidy(store, Retention(), keep_versions=0.001)
        ((name, count),) = parts()
        assert count <= 3
        names.add(name)
    assert len(names) > 1
    store.append([row(float(rows + i)) for i in range(1600)])
    tidy(store, Retention(), keep_versions=0.001)
    assert parts() == [("vector_2400", 1)]
    for second in (3.0, 420.0, 2350.0):
        best = store.nearest(row(second).vector, 3)[0]
        assert best.row.stamp == second * SECOND
        assert best.similarity > 0.99


def test_upkeep_goes_on_after_a_failure() -> None:
    problems: list[str] = []
    again = threading.Event()
    rounds = 0

    def work() -> None:
        nonlocal rounds
        rounds += 1
        if rounds <= 2:
            raise OSError("disk gone")

    def tell(problem: str) -> None:
        problems.append(problem)
        if not problem:
            again.set()

    upkeep = Upkeep(work, 0.01, tell)
    assert again.wait(60)
    assert upkeep.close(60.0)
    assert problems[:2] == ["disk gone", ""]


def test_a_writer_that_works_does_not_hide_upkeep_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(memory: EpisodicMemory) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(EpisodicMemory, "tidy", refuse)
    memory = EpisodicMemory(settings(tmp_path / "memory", upkeep_period=0.01))
    end = time.monotonic() + 60
    while not memory.status().problem and time.monotonic() < end:
        time.sleep(0.01)
    memory.remember(row(1.0))
    assert memory.flush(60.0)
    assert (memory.status().written, memory.status().problem) == (1, "read-only file system")
    assert memory.close(60.0)


def test_remember_and_find(tmp_path: Path) -> None:
    memory = EpisodicMemory(settings(tmp_path / "memory"))
    query = MomentQuery("a door opens")
    with pytest.raises(MemoryMissingError):
        memory.find(query, vector(3), Calibration())
    assert memory.remember(row(1.0, seed=3)) is None
    assert "shape" in str(memory.remember(row(2.0, vector=vector(1, 8))))
    assert memory.flush(60.0)
    assert memory.find(query, vector(3), Calibration())[0].similarity > 0.99
    memory.tidy()
    assert memory.close(60.0)


def test_what_is_not_on_the_disk_yet_is_found(tmp_path: Path) -> None:
    memory = EpisodicMemory(settings(tmp_path / "memory", batch_seconds=3600.0))
    memory.remember(row(1.0, seed=3, camera="rear"))
    memory.remember(row(500.0, seed=4))
    assert memory.status().written == 0
    found = memory.find(MomentQuery("x", limit=1), vector(3), Calibration())
    assert [(m.camera, m.stamp) for m in found] == [("rear", SECOND)]
    assert (
        memory.find(MomentQuery("x", cameras=("front",)), vector(3), Calibration())[0].start
        > SECOND
    )
    early = MomentQuery("x", end=2 * SECOND)
    assert [m.stamp for m in memory.find(early, vector(4), Calibration())] == [SECOND]
    with pytest.raises(QueryError, match="knows no camera 'left'; it has: front, rear"):
        memory.find(MomentQuery("x", cameras=("left",)), vector(3), Calibration())
    assert memory.flush(60.0)
    memory.remember(row(900.0, seed=5))
    stamps = {m.stamp // SECOND for m in memory.find(MomentQuery("x"), vector(5), Calibration())}
    assert stamps == {1, 500, 900}
    for second in range(3000):  # a disk that is slow, or full
        memory.remember(row(1000.0 + 3 * second, seed=second % 7))
    few = memory.find(MomentQuery("x", limit=3), vector(5), Calibration())
    assert [round(m.similarity, 2) for m in few] == [1.0, 1.0, 1.0]
    assert memory.close(60.0)


def test_place_that_comes_back_is_used(tmp_path: Path) -> None:
    """A file where the directory should be stands for a disk that is not mounted."""
    place = tmp_path / "disk"
    place.write_text("not mounted")
    problems: list[str] = []
    memory = EpisodicMemory(settings(place / "memory"), problems.append)
    memory.remember(row(1.0))
    assert not memory.flush(60.0)
    assert "cannot open the memory" in memory.status().problem
    assert memory.find(MomentQuery("x"), row(1.0).vector, Calibration())[0].stamp == SECOND
    place.unlink()
    assert memory.flush(60.0)
    assert open_store(place / "memory").count() == 1
    assert memory.close(60.0)
    assert len(problems) == 2
    assert problems[1] == ""


def test_another_models_store_is_refused_and_kept(tmp_path: Path) -> None:
    open_store(tmp_path, "other-1", DIM, create=True).append([row(1.0)])
    memory = EpisodicMemory(settings(tmp_path))
    memory.remember(row(2.0))
    assert not memory.flush(60.0)
    assert "holds embeddings of model 'other-1'" in memory.status().problem
    memory.close(60.0)
    assert open_store(tmp_path).count() == 1


def test_kill_9_loses_at_most_one_batch(tmp_path: Path) -> None:
    result = kill_test(tmp_path, 2, batch=16)
    assert result["opened"] == 2
    assert result["holes"] == 0
    assert result["largest_loss"] <= 16
    assert result["rows"] > 0
