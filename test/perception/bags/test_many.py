"""Many bags: one bad bag stops no other; Ray is asked for only where it is wanted."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from colour_bag import write_bag
from colour_engine import ColourEngine

from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.bags.indexing import IndexPlan
from vljepa_ros.perception.bags.many import BagJob, RayMissingError, index_each, index_with_ray
from vljepa_ros.perception.memory.store import Filter, open_store

pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")


def job(tmp_path: Path) -> BagJob:
    plan = IndexPlan(ClipPlan(0.5, 16))
    memory = str(tmp_path / "memory")
    return BagJob(Path("unused"), "auto", 1, memory, tmp_path / "work", plan, tmp_path / "events")


def test_a_bad_bag_stops_no_other(tmp_path: Path) -> None:
    good = write_bag(tmp_path / "good", (("red", 4.0), ("blue", 4.0)))
    quiet = write_bag(tmp_path / "quiet", (("red", 1.0),), topics=())
    last = write_bag(tmp_path / "last", (("green", 4.0),), storage="mcap", compressed=True)
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    bags = [good, quiet, tmp_path / "none", last]
    done = list(index_each(bags, job(tmp_path), ColourEngine(), store))
    assert [("took" in one, one["problem"][:18]) for one in done] == [
        (True, ""),
        (False, f"'{quiet}' has no "[:18]),
        (False, f"no bag at '{tmp_path}"[:18]),
        (True, ""),
    ]
    assert sum(one.get("rows", 0) for one in done) == store.count()
    assert store.count(Filter(source=str(last))) == done[3]["rows"]
    files = sorted(file.name for file in (tmp_path / "events").iterdir())
    assert files == ["good.events.jsonl", "last.events.jsonl"]


def sources(folder: Path) -> dict[str, str]:
    """Name of each events file -> the bag that it is of."""
    return {
        file.name: json.loads(file.read_text().splitlines()[0])["source"]
        for file in folder.iterdir()
    }


def test_two_bags_of_one_name_have_two_events_files(tmp_path: Path) -> None:
    bags = [tmp_path / robot / "monday" for robot in ("one", "two")]
    for bag in bags:
        bag.parent.mkdir()
        write_bag(bag, (("red", 4.0),))
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    together = replace(job(tmp_path), shared=frozenset({"monday"}))
    done = list(index_each(bags, together, ColourEngine(), store))
    found = sources(tmp_path / "events")
    assert sorted(found.values()) == sorted(map(str, bags))
    assert {Path(one["events"]).name for one in done} == set(found)
    # the same one after the other, in runs of their own; and again: nothing is written twice
    later = replace(job(tmp_path), events=tmp_path / "later")
    for bag in (*bags, *bags):
        list(index_each([bag], later, ColourEngine(), store))
    found = sources(tmp_path / "later")
    assert sorted(found.values()) == sorted(map(str, bags))
    assert found["monday.events.jsonl"] == str(bags[0])


def test_without_ray_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        RayMissingError, match=r"pip install 'vljepa_ros\[ray\]'; without --workers"
    ):
        next(index_with_ray([tmp_path / "bag"], job(tmp_path), 2))


def test_ray_is_not_imported_without_being_asked(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: nothing could be imported")
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    list(index_each([tmp_path / "none"], job(tmp_path), ColourEngine(), store))
    assert "ray" not in sys.modules
