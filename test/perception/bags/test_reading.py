"""Bags as power cuts, copies and tools leave them: what can be read is read, the rest is named."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from colour_bag import (
    BEGIN,
    FRONT,
    LATE,
    SECOND,
    STORAGES,
    bag_of,
    images,
    read,
    storage_file,
    write_messages,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.bags.reading import BagError, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("compression", ["none", "file", "message"])
def test_without_metadata_everything_is_read_and_it_is_said(
    tmp_path: Path, storage: str, compression: str
) -> None:
    if (storage, compression) == ("mcap", "message"):
        compression = "storage"  # as the mcap plugin does it: whole chunks
    bag = bag_of(tmp_path / "bag", storage=storage, compression=compression)
    assert read(bag)[1].notes == []
    (bag / "metadata.yaml").unlink()
    stamps, reader, counts = read(bag)
    assert stamps == list(range(60))
    assert (reader.problem, counts.broken) == ("", 0)
    (note,) = reader.notes
    assert "has no metadata.yaml: the recording was not ended properly" in note


@pytest.mark.parametrize("storage", STORAGES)
def test_the_file_the_folder_and_its_metadata_name_the_same_bag(
    tmp_path: Path, storage: str
) -> None:
    bag = bag_of(tmp_path / "bag", storage=storage)
    for path in (bag, bag / "metadata.yaml", storage_file(bag)):
        assert len(read(path)[0]) == 60
        assert read(path)[1].notes == []


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(
    "name", ["my bag", "run #3", "50%20 full?", "über 🚪", "a'b\"c", "x;y&z=1"]
)
def test_any_name(tmp_path: Path, storage: str, name: str) -> None:
    bag = bag_of(tmp_path / "plain", storage=storage, count=9)
    bag.rename(tmp_path / name)
    assert read(tmp_path / name)[0] == list(range(9))


def split(path: Path, storage: str, parts: int = 3) -> Path:
    """A bag of several files of 20 images each, as `ros2 bag record -d` makes it."""
    path.mkdir()
    names = []
    for part in range(parts):
        topics = {FRONT: images(20, start=20 * part)}
        one = storage_file(write_messages(path / "part", topics, storage=storage))
        names.append(f"bag_{part}{one.suffix}")
        one.rename(path / names[-1])
        meta = yaml.safe_load((path / "part" / "metadata.yaml").read_text())
        shutil.rmtree(path / "part")
    meta["rosbag2_bagfile_information"]["relative_file_paths"] = names
    (path / "metadata.yaml").write_text(yaml.safe_dump(meta))
    return path


@pytest.mark.parametrize("storage", STORAGES)
def test_a_split_bag_is_read_in_order_with_or_without_metadata(
    tmp_path: Path, storage: str
) -> None:
    bag = split(tmp_path / "bag", storage, parts=12)
    assert read(bag)[0] == list(range(240))
    (bag / "metadata.yaml").unlink()
    assert read(bag)[0] == list(range(240))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("harm", ["missing", "empty", "rubbish", "folder"])
def test_one_file_of_a_split_bag_costs_only_its_own_images(
    tmp_path: Path, storage: str, harm: str
) -> None:
    bag = split(tmp_path / "bag", storage)
    (middle,) = bag.glob("bag_1*")
    middle.unlink()
    if harm == "folder":
        middle.mkdir()
    elif harm != "missing":
        middle.write_bytes(b"" if harm == "empty" else b"rubbish" * 100)
    stamps, reader, _ = read(bag)
    assert stamps == [*range(20), *range(40, 60)]
    assert middle.name in reader.problem
    wanted = {"empty": "it is empty", "rubbish": "neither SQLite nor MCAP", "folder": "directory"}
    assert wanted.get(harm, "lacks bag_1") in reader.problem


def test_a_file_that_metadata_does_not_name_is_read_too(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", "mcap")
    meta = yaml.safe_load((bag / "metadata.yaml").read_text())
    meta["rosbag2_bagfile_information"]["relative_file_paths"].pop()
    (bag / "metadata.yaml").write_text(yaml.safe_dump(meta))
    assert read(bag)[0] == list(range(60))


def test_a_compressed_file_that_was_played_is_not_read_twice(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag", compression="file")
    bag_of(tmp_path / "played")
    shutil.copy(tmp_path / "played" / "played.db3", bag / "bag.db3")
    assert read(bag)[0] == list(range(60))
    (bag / "metadata.yaml").unlink()
    assert read(bag)[0] == list(range(60))


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda path: None, "no bag at '{}'"),
        (lambda path: path.mkdir(), "no bag in '{}': no file there ends with .db3, .mcap"),
        (lambda path: path.write_bytes(b""), "'{}' cannot be read: it is empty"),
        (
            lambda path: path.write_bytes(b"GIF89a" * 9),
            "neither SQLite nor MCAP, it begins with 47",
        ),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t(a)"), "no such table: topics"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)), "sqlite3 '{}' .recover"),
        (lambda path: path.write_bytes(b"\x89MCAP0\r\n"), "has no image topics; its topics: none"),
        (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd"), "'{}' cannot be read: it is empty"),
    ],
)
def test_what_is_no_bag_is_refused_with_the_cause(tmp_path: Path, make: Any, cause: str) -> None:
    path = tmp_path / "bag"
    make(path)
    with pytest.raises(BagError) as caught:
        read(path)
    assert cause.format(path) in str(caught.value)
    assert "ros2 bag" not in str(caught.value)


def test_a_folder_of_bags_names_them(tmp_path: Path) -> None:
    bag_of(tmp_path / "monday")
    bag_of(tmp_path / "tuesday")
    with pytest.raises(BagError, match="folders in it that have: monday, tuesday"):
        read(tmp_path)


def test_no_permission_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = bag_of(tmp_path / "bag")

    def refuse(*args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(BagError, match=r"bag\.db3' cannot be read: Permission denied"):
            read(bag)
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BagError, match=r"'.*bag' cannot be read: Permission denied"):
        read(bag)


def test_a_bag_without_messages_says_so(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="has no image topics; its topics: none"):
        read(write_messages(tmp_path / "none", {}))
    with pytest.raises(BagError, match=r"/front/image_raw: it holds no messages"):
        read(write_messages(tmp_path / "empty", {FRONT: []}))


@pytest.mark.parametrize("storage", STORAGES)
def test_a_message_that_is_none_is_counted_and_costs_no_other(tmp_path: Path, storage: str) -> None:
    rows: list[Any] = images(30)
    for number, cdr in enumerate((b"", b"\0", b"\0\1\0\0", b"\xff" * 60, bytes(3000))):
        rows[5 + number] = (rows[5 + number][0], cdr)
    stamps, reader, counts = read(write_messages(tmp_path / "bag", {FRONT: rows}, storage=storage))
    assert [stamp for stamp in stamps if stamp >= 0][:6] == [*range(5), 10]
    assert counts.images == 30
    assert counts.broken >= 4
    assert "0 bytes are not a sensor_msgs/msg/Image" in counts.reason
    assert reader.problem == ""


@pytest.mark.parametrize("storage", STORAGES)
def test_types_that_are_not_known_do_not_matter(tmp_path: Path, storage: str) -> None:
    bag = bag_of(tmp_path / "bag", storage=storage)
    file = storage_file(bag)
    data = file.read_bytes()
    if storage == "sqlite3":
        with sqlite3.connect(file) as db:
            db.execute(
                "INSERT INTO topics VALUES (7, '/odd', 'my_msgs/msg/Odd', 'cdr', '{', 'RIHS01_x')"
            )
            db.execute(
                "INSERT INTO message_definitions VALUES (7, 'my_msgs/msg/Odd', 'ros2msg', '%', 'x')"
            )
            db.execute("INSERT INTO messages VALUES (NULL, 7, ?, X'00')", (BEGIN + SECOND,))
            db.execute("UPDATE message_definitions SET encoded_message_definition = 'broken %'")
    else:
        file.write_bytes(data.replace(b"ros2msg", b"unknown"))
    assert read(bag)[0] == list(range(60))


def test_time_that_goes_back_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", "mcap", parts=2)
    (first,), (second,) = bag.glob("bag_0*"), bag.glob("bag_1*")
    first.rename(bag / "x")
    second.rename(first)
    (bag / "x").rename(second)
    counts = ImageCounts()
    with BagReader(bag) as reader:
        topics, _ = choose_topics(reader)
        stamps = [image.stamp for image in reader.images(topics, {"front": counts})]
        assert reader.span == (BEGIN + LATE, BEGIN + LATE + 39 * SECOND // 10)
    assert len(stamps) == 40
    assert stamps[0] > stamps[-1]


def test_one_huge_message(tmp_path: Path) -> None:
    side = 4096
    big = images(1, width=side, height=side, step=3 * side)
    big[0][1].data = np.zeros(3 * side * side, np.uint8)
    bag = write_messages(tmp_path / "bag", {FRONT: [*big, *images(9, start=1)]}, storage="mcap")
    assert read(bag)[0] == list(range(10))


VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=20)),
    *(st.lists(st.integers(), max_size=3), st.just({}), st.just("/etc/passwd"), st.floats()),
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bag_of(tmp_path_factory.mktemp("plain") / "bag", count=9)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_metadata_that_is_wrong_costs_no_image(plain: Path, data: st.DataObject) -> None:
    good = yaml.safe_load((plain / "metadata.yaml").read_text())
    place: Any = good
    for _ in range(data.draw(st.integers(1, 5))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and data.draw(st.booleans()):
            place = place[key]
        elif isinstance(place, dict) and data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(VALUES)
    text = yaml.safe_dump(good, allow_unicode=True)
    at = data.draw(st.integers(0, len(text)))
    text = (
        text[:at]
        + data.draw(st.sampled_from(["", "", "\t", "{", "\x00", "\ufeff", "- :"]))
        + text[at:]
    )
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(shutil.copytree(plain, Path(folder, "bag")))
        (bag / "metadata.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        stamps, reader, _ = read(bag)
    assert stamps == list(range(9))
    assert all("metadata" in note for note in reader.notes)


@pytest.mark.parametrize("version", [1, 4, 5, 6, 7, 8, 9, 10, 99, "nine", None])
def test_metadata_of_any_version(plain: Path, tmp_path: Path, version: Any) -> None:
    bag = Path(shutil.copytree(plain, tmp_path / "bag"))
    meta = yaml.safe_load((bag / "metadata.yaml").read_text())
    meta["rosbag2_bagfile_information"]["version"] = version
    (bag / "metadata.yaml").write_text(yaml.safe_dump(meta))
    assert read(bag)[0] == list(range(9))


def test_bags_of_humble_and_before_have_no_definitions(plain: Path, tmp_path: Path) -> None:
    bag = Path(shutil.copytree(plain, tmp_path / "bag"))
    with sqlite3.connect(storage_file(bag)) as db:
        for table in ("message_definitions", "schema", "metadata"):
            db.execute(f"DROP TABLE {table}")
        db.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
        db.execute("ALTER TABLE topics DROP COLUMN offered_qos_profiles")
    assert read(bag)[0] == list(range(9))
