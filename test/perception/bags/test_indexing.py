from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from colour_bag import BEGIN, SECOND, header, images, write_bag, write_messages
from colour_engine import ColourEngine

from vljepa_ros.perception.bags.embedding import ClipPlan, embed_images
from vljepa_ros.perception.bags.indexing import (
    IndexPlan,
    IndexReport,
    embed_bag,
    index_bag,
    write_events,
)
from vljepa_ros.perception.bags.reading import COMPRESSED, RAW, BagError, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, jpeg_to_frames
from vljepa_ros.perception.memory.search import MomentQuery, find_moments
from vljepa_ros.perception.memory.store import Filter, open_store

pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")

SCENES = (("red", 10.0), ("blue", 8.0), ("green", 6.0), ("red", 5.0))
PLAN = IndexPlan(ClipPlan(every=0.5, thumbnail=16), threshold=0.5)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_moment_is_found_by_text(tmp_path: Path, storage: str, compressed: bool) -> None:
    bag = write_bag(tmp_path / "bag", SCENES, storage=storage, compressed=compressed)
    engine = ColourEngine()
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    shares: list[float] = []
    report, scenes = index_bag(bag, engine, store, PLAN, tmp_path / "work", shares.append)
    assert report.problem == ""
    assert (report.images, report.broken, report.segments) == (290, 0, 4)
    assert report.seconds == pytest.approx(29.0, abs=0.2)
    assert 50 <= report.embeddings <= 57  # every 0.5 s, after the first clip is complete
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert list((tmp_path / "work").iterdir()) == []  # nothing to resume
    # a clip lasts 1.5 s and shows its last image's colour
    text = engine.generate(engine.encode_text(["green"]))[0].text
    assert [scene.text for scene in scenes][2] == text
    for scene, (start, end) in zip(scenes, ((0, 10), (10, 18), (18, 24), (24, 29)), strict=True):
        assert (scene.start - BEGIN) / SECOND == pytest.approx(start, abs=2.1)
        assert (scene.end - BEGIN) / SECOND == pytest.approx(end, abs=0.7)
    (vector,) = engine.encode_text(["green"])
    best = find_moments(
        store, MomentQuery("green", limit=1), vector, engine.config.calibration, thumbnails=True
    )[0]
    assert (best.camera, best.source, best.text) == ("front", str(bag), text)
    assert 18.0 <= (best.stamp - BEGIN) / SECOND <= 24.0
    frames = jpeg_to_frames(best.best.thumbnail or b"", best.best.thumbnail_frames, 16)
    assert frames.shape == (4, 16, 16, 3)
    assert frames[-1].mean(axis=(0, 1)) == pytest.approx([0, 255, 0], abs=20)


def test_again_replaces_its_rows_and_leaves_others(tmp_path: Path) -> None:
    first = write_bag(tmp_path / "first", SCENES[:2])
    second = write_bag(tmp_path / "second", SCENES[2:])
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    for bag in (first, second, first):
        index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work")
    assert store.count(Filter(source=str(first), kind=SEGMENT)) == 2
    assert store.count(Filter(source=str(second), kind=SEGMENT)) == 2
    samples = store.count(Filter(source=str(first), kind=SAMPLE))
    assert 14 <= samples <= 20  # one each second


class InterruptedRunError(Exception):
    pass


def test_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 30.0), ("blue", 30.0)))
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)

    def stop_at_half(share: float) -> None:
        if share > 0.6:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work", stop_at_half)
    assert store.count() == 0
    (resume,) = (tmp_path / "work").iterdir()
    with resume.open("ab") as file:  # killed in the middle of a record
        file.write(b"\0\0half a record")
    engine = ColourEngine()
    report, scenes = index_bag(bag, engine, store, PLAN, tmp_path / "work")
    assert report.resumed >= 32
    assert sum(engine.batches) < 80  # clips: not from the beginning
    assert report.images == pytest.approx(600, abs=30)  # of both runs
    whole, whole_scenes = index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work")
    assert report.embeddings == pytest.approx(whole.embeddings, abs=1)
    assert [s.text for s in scenes] == [s.text for s in whole_scenes]
    stamps = [clip.stamp for scene in scenes for clip in scene.clips]
    assert len(stamps) == len(set(stamps))


def test_work_of_another_model_or_plan_is_not_resumed(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", SCENES)
    embed_bag(bag, ColourEngine(), PLAN, tmp_path / "work").records.close()
    other = IndexPlan(ClipPlan(every=1.0, thumbnail=16))
    found = embed_bag(bag, ColourEngine(), other, tmp_path / "work")
    found.records.close()
    assert found.resumed == 0


def test_events_file(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", SCENES)
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    _, scenes = index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work")
    write_events(scenes, str(bag), "colour-1", tmp_path / "out" / "events.jsonl")
    lines = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["previous_text"] for event in events[1:]] == [e["text"] for e in events[:-1]]
    assert events[0]["change"] == 0.0
    assert events[1]["change"] > 0.5
    assert events[1]["onset"] == pytest.approx(BEGIN / SECOND + 10.0, abs=2.1)


def test_clip_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 12.0), ("blue", 12.0)))
    engine = ColourEngine()
    with BagReader(bag) as reader:
        topics, _ = choose_topics(reader)
        counts = {"front": ImageCounts()}
        found = reader.images(topics, counts)
        rounds = embed_images(engine, found, ClipPlan(0.5, 0), counts)
        clips = [clip for made in rounds for clip in made]
    steps = np.diff([clip.stamp for clip in clips]) / SECOND
    assert steps == pytest.approx(np.full(len(steps), 0.5), abs=0.11)
    assert all(clip.stamp - clip.start == 3 * SECOND // 2 for clip in clips[1:])
    assert max(engine.batches) > 1
    assert {clip.frame_id for clip in clips} == {"front_optical"}


def index(bag: Path, tmp_path: Path) -> IndexReport:
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    return index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work")[0]


def test_no_bag(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no bag at"):
        index(tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BagError, match=r"no bag in .*empty': no file there ends with \.db3, \.mcap"
    ):
        index(tmp_path / "empty", tmp_path)


def test_bag_without_images(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", SCENES[:1], topics=())
    with pytest.raises(BagError, match=r"no image topics; its topics: /chatter"):
        index(bag, tmp_path)


def test_bag_with_too_few_images(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 0.3),))
    with pytest.raises(
        BagError, match=r"too few images for a clip: /front/image_raw \(3 recorded\)"
    ):
        index(bag, tmp_path)


def test_bag_of_unknown_encoding(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", SCENES[:1], encoding="32FC9")
    with pytest.raises(
        BagError, match=r"/front/image_raw: (\d+) of the \1 images .*'32FC9', allowed: rgb8"
    ):
        index(bag, tmp_path)


def test_damaged_images_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = images(200, compressed=True)
    for number, (_, message) in enumerate(rows):
        if 40 <= number < 136:
            message.data = message.data[:40]
    other = images(200, "blue")
    topics = {("/front/compressed", COMPRESSED): rows, ("/rear/image_raw", RAW): other}
    report = index(write_messages(tmp_path / "bag", topics), tmp_path)
    assert report.problem == ""
    front, rear = report.topics
    assert (front["topic"], front["images"], front["messages"]) == ("/front/compressed", 200, 200)
    assert front["broken"] == 96  # no clip can be made of them: each is tried
    assert front["reason"].startswith("JPEG image is truncated")
    assert (rear["images"], rear["broken"]) == (200, 0)
    assert report.broken == 96


@pytest.mark.parametrize(
    ("stamp_of", "said", "broken"),
    [
        (lambda number: BEGIN, "the same stamp again and again", 0),
        (lambda number: 0, "no stamp", 0),
        (
            lambda number: BEGIN + (number * SECOND // 10) + 5 * SECOND * (number % 2),
            "jump back",
            0,
        ),
        (lambda number: -SECOND if number == 50 else BEGIN + number * SECOND // 10, "negative", 1),
    ],
)
def test_a_camera_without_usable_stamps_is_indexed_all_the_same(
    tmp_path: Path, stamp_of: Callable[[int], int], said: str, broken: int
) -> None:
    rows = images(200)
    for number, (_, message) in enumerate(rows):
        message.header = header(stamp_of(number))
    topics = {("/front/image_raw", RAW): rows, ("/rear/image_raw", RAW): images(200, "blue")}
    report = index(write_messages(tmp_path / "bag", topics), tmp_path)
    front, rear = report.topics
    assert said in front["note"]
    assert rear["note"] == ""
    assert (front["broken"], rear["broken"]) == (broken, 0)
    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    kept = [store.count(Filter(cameras=(camera,), kind=SAMPLE)) for camera in ("front", "rear")]
    assert kept[0] >= kept[1] - 3


def test_what_an_interrupted_run_lost_is_not_forgotten(tmp_path: Path) -> None:
    rows = images(600, compressed=True)
    for _, message in rows[40:60]:
        message.data = message.data[:40]
    bag = write_messages(tmp_path / "bag", {("/front/compressed", COMPRESSED): rows})

    def stop_at_half(share: float) -> None:
        if share > 0.6:
            raise InterruptedRunError

    store = open_store(tmp_path / "memory", "colour-1", 8, create=True)
    with pytest.raises(InterruptedRunError):
        index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work", stop_at_half)
    report, _ = index_bag(bag, ColourEngine(), store, PLAN, tmp_path / "work")
    assert report.resumed > 0
    assert report.broken == 20


def test_a_bag_that_is_cut_off_is_indexed_as_far_as_it_goes(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 60.0), ("blue", 30.0)), storage="mcap")
    (file,) = bag.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: round(0.6 * file.stat().st_size)])
    (bag / "metadata.yaml").unlink()
    report = index(bag, tmp_path)
    assert "ends without an end mark" in report.problem
    assert "no metadata.yaml" in report.notes[0]
    assert report.embeddings > 90


def test_other_models_store_keeps_the_work(tmp_path: Path) -> None:
    from vljepa_ros.perception.memory.store import OtherModelError

    open_store(tmp_path / "memory", "nano-1", 8, create=True)
    with pytest.raises(OtherModelError):
        open_store(tmp_path / "memory", "colour-1", 8, create=True)


def test_a_camera_that_is_not_there_is_not_turned_without_a_word(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", SCENES[:1])
    plan = IndexPlan(ClipPlan(0.5, 16, rotate={"rear": 180}, crop={"front": (4, 4, 20, 0)}))
    found = embed_bag(bag, ColourEngine(), plan, tmp_path)
    found.records.close(remove=True)
    (note,) = found.rest["notes"]
    assert note == "no camera 'rear' to be turned or cropped; its cameras: front"
    with pytest.raises(ValueError, match="rotate is 45, allowed: 0, 90, 180, 270"):
        ClipPlan(0.5, rotate={"": 45})
    with pytest.raises(ValueError, match=r"crop is \(1, 2\), allowed"):
        ClipPlan(0.5, crop={"front": (1, 2)})
