"""The truth about real pictures: enough of it, and its halves apart."""

from __future__ import annotations

from vljepa_lab.evaluation.real.truth import read_truth, read_yaml
from vljepa_ros.perception.vocabulary import from_groups

COCO = 19  # of the texts of objects: of its classes, "computer screen" for "tv" counted


def test_there_is_enough_of_everything() -> None:
    truth = read_truth()
    assert len({picture.group for picture in truth.pictures}) >= 200
    assert len(truth.objects) >= 30
    assert len(truth.places) >= 12
    assert len(truth.objects) / 2 >= COCO
    assert from_groups({"what?": truth.objects, "where?": truth.places}).size >= 42


def test_files_have_names_of_their_own_and_known_sources() -> None:
    truth = read_truth()
    files = [picture.file for picture in truth.pictures] + [clip.file for clip in truth.clips]
    assert len({file.name for file in files}) == len(files)
    assert {file.source for file in files} <= {row["id"] for row in read_yaml("sources")}


def test_halves_share_no_group_and_no_question() -> None:
    truth = read_truth()
    choose, report = truth.of_half("choose"), truth.of_half("report")
    assert len(choose.pictures) + len(report.pictures) == len(truth.pictures)
    assert not {p.group for p in choose.pictures} & {p.group for p in report.pictures}
    for half in (choose, report):
        asked = half.questions
        assert len(asked) >= 30
        assert sum("negated" in question.kinds for question in asked) >= len(asked) / 3 - 1
        assert sum("absent" in question.kinds for question in asked) >= len(asked) / 3
        assert sum("elsewhere" in question.kinds for question in asked) >= 5
        assert sum("people" in question.kinds for question in asked) <= 5
    assert len(choose.questions) + len(report.questions) == len(truth.questions)


def test_a_frame_shows_the_state_or_not_or_is_left_out() -> None:
    (clip,) = (clip for clip in read_truth().clips if clip.file.name == "cars")
    assert [clip.shows(frame) for frame in (53, 54, 58, 59, 104, 105)] == [
        False,
        None,
        None,
        True,
        True,
        None,
    ]
