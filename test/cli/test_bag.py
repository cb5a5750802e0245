"""`vljepa bag`, `find` and `memory` on the shipped model: what they print, write and refuse."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest
from colour_bag import BEGIN, SECOND, images, write_bag, write_messages

from vljepa_ros.cli import bag, find, memory
from vljepa_ros.cli.options import CliError, CliUsageError
from vljepa_ros.perception.bags.reading import COMPRESSED, RAW
from vljepa_ros.perception.memory.row import SAMPLE, Row
from vljepa_ros.perception.memory.store import Filter, open_store

pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")

MODEL = ["--model", os.environ.get("VLJEPA_TEST_MODEL", "nano"), "--threads", "1"]


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for command in (bag, find, memory):
        command.add(commands)
    args = parser.parse_args([str(word) for word in words])
    return int(args.run(args))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bags in one memory."""
    place = tmp_path_factory.mktemp("bags")
    write_bag(place / "monday", (("red", 6.0), ("blue", 6.0)))
    write_bag(place / "tuesday", (("white", 8.0),), storage="mcap", compressed=True)
    options = ["--memory", place / "memory", "--events", place / "events", *MODEL]
    assert run("bag", "index", place / "monday", place / "tuesday", *options) == 0
    return place


def test_index_makes_a_memory_and_events(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("memory", "info", "--memory", place / "memory", "--json") == 0
    info = json.loads(capsys.readouterr().out)
    assert info["cameras"] == ["front"]
    assert info["bags"] == [str(place / "monday"), str(place / "tuesday")]
    assert info["segments"] >= 2
    assert info["first"] >= BEGIN / SECOND
    events = (place / "events" / "monday.events.jsonl").read_text().splitlines()
    assert json.loads(events[0])["camera"] == "front"


def test_find_prints_json_a_table_and_a_page(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--memory", place / "memory", *MODEL]
    assert run("find", "a <red> mug", *options, "--json", "--limit", 3) == 0
    moments = json.loads(capsys.readouterr().out)
    assert 1 <= len(moments) <= 3
    assert all(m["start"] <= m["stamp"] <= m["end"] for m in moments)
    assert all(0.0 <= m["score"] <= 1.0 for m in moments)
    only = ["--bag", place / "tuesday", "--html", place / "found.html"]
    assert run("find", "a <red> mug", *options, *only) == 0
    table = capsys.readouterr().out
    assert "tuesday" in table
    assert "monday" not in table
    page = (place / "found.html").read_text()
    assert "a &lt;red&gt; mug" in page
    assert "data:image/jpeg;base64," in page
    store = open_store(place / "memory")
    vector = np.eye(1, store.dim, dtype=np.float32)[0]
    store.append([Row(SAMPLE, "[/b]\x1b[2J", 0, 1, 0, vector, "[red]\x1b]0;x\x07")])
    assert run("find", "x", *options, "--end", "10") == 0
    table = capsys.readouterr().out
    assert r"[/b]\x1b[2J" in table, "neither markup nor a command to the terminal"
    assert r"[red]\x1b]0;x\x07" in table
    store.delete(Filter(end=SECOND))
    assert run("find", "x", *options, "--start", "2030-01-01") == 0
    assert capsys.readouterr().out == "nothing fits\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["  "], "the text is empty"),
        (["x", "--camera", "rear"], "knows no camera 'rear'; it has: front"),
        (["x", "--start", "20", "--end", "10"], "is before start"),
        (["x", "--min-score", "3"], "min_score is 3.0, allowed: 0 to 1"),
        (["x", "--limit", "2000"], "limit is 2000"),
    ],
)
def test_senseless_searches(place: Path, words: list[str], message: str) -> None:
    with pytest.raises(CliUsageError, match=message):
        run("find", *words, "--memory", place / "memory", *MODEL)


def test_no_memory_and_no_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CliError, match="there is no memory at"):
        run("find", "x", "--memory", tmp_path / "none", *MODEL)
    missing = ["bag", "index", tmp_path / "none", "--memory", tmp_path / "new", *MODEL]
    assert run(*missing) == 1
    assert "no bag at" in capsys.readouterr().err


def test_other_models_memory_is_refused(place: Path) -> None:
    from vljepa_ros.perception.memory.store import open_store

    open_store(place / "foreign", "other-1", 16, create=True)
    for command in (["find", "x"], ["bag", "index", place / "monday"]):
        with pytest.raises(CliError, match=r"holds embeddings of model 'other-1' .* reindex"):
            run(*command, "--memory", place / "foreign", *MODEL)


def test_reindex_makes_a_new_memory_from_thumbnails(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = ["--memory", place / "memory"]
    assert run("memory", "reindex", *old, "--to", place / "again", *MODEL) == 0
    assert "rows embedded again with nano" in capsys.readouterr().out
    run("memory", "info", *old, "--json")
    run("memory", "info", "--memory", place / "again", "--json")
    before, after = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert after["segments"] + after["samples"] == before["segments"] + before["samples"]
    with pytest.raises(CliError, match="has rows already"):
        run("memory", "reindex", *old, "--to", place / "again", *MODEL)
    with pytest.raises(CliUsageError, match="the old one is not changed"):
        run("memory", "reindex", *old, "--to", place / "memory", *MODEL)


def test_annotate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bag", "annotate", place / "monday", place / "out", *MODEL) == 0
    assert "messages added" in capsys.readouterr().out
    with pytest.raises(CliError, match="exists; give a new name"):
        run("bag", "annotate", place / "monday", place / "out", *MODEL)


def test_what_is_left_out_and_lost_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--memory", tmp_path / "memory", *MODEL]
    depth = images(60, encoding="16UC1", step=64)
    packed = images(60, compressed=True, format="16UC1; compressedDepth png")
    topics = {
        ("/cam/color/image_raw", RAW): [],
        ("/cam/color/image_raw/compressed", COMPRESSED): images(60, compressed=True),
        ("/cam/depth/image_raw", RAW): depth,
        ("/cam/depth/image_raw/compressedDepth", COMPRESSED): packed,
    }
    whole = write_messages(tmp_path / "depth", topics)
    assert run("bag", "index", whole, *options) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert [line.partition(": ")[2] for line in said.out.splitlines() if "left out" in line] == [
        "/cam/color/image_raw (0 images): it holds no messages",
        "/cam/depth/image_raw (60 images): depth, no picture (16UC1)",
        "/cam/depth/image_raw/compressedDepth (60 images): depth, no picture (16UC1; "
        "compressedDepth png)",
    ]
    rows = images(100, compressed=True)
    for _, message in rows[30:60]:
        message.data = message.data[:40]
    broken = write_messages(tmp_path / "broken", {("/front/compressed", COMPRESSED): rows})
    (broken / "metadata.yaml").unlink()
    for more in ([], ["--json"]):
        assert run("bag", "index", broken, *options, *more) == 1
        said = capsys.readouterr()
        assert "/front/compressed: 30 of the " in said.err
        assert "JPEG image is truncated" in said.err
    (report,) = json.loads(said.out)
    assert report["topics"][0]["broken"] == 30
    assert "has no metadata.yaml" in report["notes"][0]
    assert run("bag", "annotate", broken, tmp_path / "out", *options[2:]) == 1
    said = capsys.readouterr()
    assert "/front/compressed: 30 of the " in said.err
    assert "has no metadata.yaml" in said.out


def test_two_bags_of_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bags = [tmp_path / robot / "monday" for robot in ("one", "two")]
    for path in bags:
        path.parent.mkdir()
        write_bag(path, (("red", 4.0),))
    options = ["--memory", tmp_path / "memory", "--events", tmp_path / "events", *MODEL]
    assert run("bag", "index", *bags, *options) == 0
    files = sorted((tmp_path / "events").iterdir())
    assert len(files) == 2
    said = capsys.readouterr().out
    assert all(f"events: {file}" in said for file in files)
    page = tmp_path / "found.html"
    assert run("find", "red", "--memory", tmp_path / "memory", "--html", page, *MODEL) == 0
    # one name for two bags would not say which of them was found
    said = capsys.readouterr().out
    assert all(str(path)[-20:] in said and f">{path}<" in page.read_text() for path in bags)
    assert [file.name for file in tmp_path.glob("found*")] == ["found.html"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topic", "/x=a", "--topic", "/y=a"], "same topic or camera"),
        (["--topic", "/x=front door"], "camera is 'front door', allowed: letters, digits and _"),
        (["--topic", "/x=2"], "camera is '2', allowed: letters, digits and _"),
        (["--threshold", "0"], "allowed: finite, above 0"),
        (["--threshold", "nan"], "allowed: finite, above 0"),
        (["--thumbnail", "5000"], "thumbnail is 5000 pixels"),
    ],
)
def test_senseless_options(place: Path, options: list[str], message: str) -> None:
    with pytest.raises(CliUsageError, match=message):
        run("bag", "index", place / "monday", "--memory", place / "x", *options, *MODEL)


def test_tidy_by_age(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("memory", "tidy", "--memory", place / "memory") == 0
    assert capsys.readouterr().out.startswith("0 rows deleted")
    for hours in ("-1", "inf"):
        with pytest.raises(CliUsageError, match="allowed: 0"):
            run("memory", "tidy", "--memory", place / "memory", "--max-age-hours", hours)
    with pytest.raises(CliUsageError):
        run("memory", "tidy", "--memory", place / "memory", "--max-megabytes", "inf")
