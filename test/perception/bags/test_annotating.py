from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from colour_bag import BEGIN, LATE, SECOND, write_bag
from colour_engine import ColourEngine
from rosbags.highlevel import AnyReader

from vljepa_ros.perception.bags.annotating import annotate_bag
from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.bags.indexing import IndexPlan, embed_bag
from vljepa_ros.perception.bags.reading import BagError
from vljepa_ros.perception.bags.segmentation import Scene, scenes_of


def scenes_in(bag: Path, work: Path) -> list[Scene]:
    engine = ColourEngine()
    records = embed_bag(bag, engine, IndexPlan(ClipPlan(0.5, 0)), work).records
    records.close(remove=True)
    return scenes_of(records.clips, engine, 0.5)


@pytest.mark.parametrize(("source", "target"), [("sqlite3", "mcap"), ("mcap", "sqlite3")])
def test_copy_has_everything_and_what_the_model_saw(
    tmp_path: Path, source: str, target: str
) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 8.0), ("blue", 8.0)), storage=source)
    scenes = scenes_in(bag, tmp_path / "work")
    shares: list[float] = []
    out = tmp_path / "out"
    added = annotate_bag(bag, out, scenes, ColourEngine(), target, shares.append)
    clips = [clip for scene in scenes for clip in scene.clips]
    assert added == len(clips) + len(scenes)
    assert shares[-1] == pytest.approx(1.0)
    with AnyReader([bag]) as before, AnyReader([out]) as after:
        for topic in ("/front/image_raw", "/chatter"):
            old, new = (
                [(time, bytes(data)) for c, time, data in r.messages() if c.topic == topic]
                for r in (before, after)
            )
            assert old == new
        times = [time for _, time, _ in after.messages()]
        assert times == sorted(times)
        # the definitions travel with the bag: no other typestore was given
        found = {
            c.topic: [
                (time, after.deserialize(data, c.msgtype)) for _, time, data in after.messages([c])
            ]
            for c in after.connections
        }
    embeddings = found["/vljepa/front/embeddings"]
    assert len(embeddings) == len(clips)
    for (time, message), clip in zip(embeddings, clips, strict=True):
        stamp = message.header.stamp.sec * SECOND + message.header.stamp.nanosec
        assert (stamp, time) == (clip.stamp, clip.stamp + LATE)
        assert message.header.frame_id == "front_optical"
        assert message.model_id == "colour-1"
        assert np.allclose(message.vector, clip.vector)
    events = [message for _, message in found["/vljepa/events"]]
    assert [(e.sequence, e.reason, e.text) for e in events] == [
        (0, 0, scenes[0].text),
        (1, 1, scenes[1].text),
    ]
    assert events[1].onset.sec - BEGIN // SECOND in range(7, 11)


def test_nothing_is_overwritten_or_left_half(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 5.0),))
    scenes = scenes_in(bag, tmp_path / "work")
    out = tmp_path / "out"
    annotate_bag(bag, out, scenes, ColourEngine(), "mcap")
    with pytest.raises(BagError, match="exists; give a new name"):
        annotate_bag(bag, out, scenes, ColourEngine(), "mcap")
    with pytest.raises(BagError, match="it is annotated"):
        annotate_bag(out, tmp_path / "twice", scenes, ColourEngine(), "mcap")
    assert not (tmp_path / "twice").exists()
    with pytest.raises(BagError, match="no bag at"):
        annotate_bag(tmp_path / "none", tmp_path / "new", scenes, ColourEngine(), "mcap")


def test_a_copy_keeps_types_that_are_not_known_and_needs_no_metadata(tmp_path: Path) -> None:
    """So a bag that a power cut left becomes a whole one."""
    bag = write_bag(tmp_path / "bag", (("red", 5.0),))
    (bag / "metadata.yaml").unlink()
    with sqlite3.connect(bag / "bag.db3") as db:
        db.execute("INSERT INTO topics VALUES (7, '/odd', 'my_msgs/msg/Odd', 'cdr', '- {', '')")
        db.execute("INSERT INTO messages VALUES (NULL, 7, ?, X'00010000')", (BEGIN + SECOND,))
        db.execute("DELETE FROM message_definitions")
    out = tmp_path / "out"
    annotate_bag(bag, out, scenes_in(bag, tmp_path / "work"), ColourEngine(), "mcap")
    with AnyReader([out]) as after:
        odd = [data for c, _, data in after.messages() if c.topic == "/odd"]
        counts = {c.topic: c.msgcount for c in after.connections}
    assert odd == [b"\0\1\0\0"]
    assert counts["/front/image_raw"] == 50


def test_a_copy_that_was_stopped_is_removed(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", (("red", 8.0),))

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_bag(bag, tmp_path / "out", scenes_in(bag, tmp_path), ColourEngine(), "mcap", stop)
    assert not (tmp_path / "out").exists()  # a second run may use the name
