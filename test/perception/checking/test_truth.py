"""Truth files: all ways of writing times, and what a mistake is answered with."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from vljepa_ros.perception.checking.truth import TruthError, TruthFile, read_truth

BEGIN = 1_700_000_000.0
DATE = datetime.datetime.fromtimestamp(BEGIN + 60).isoformat()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "intervals.yaml"


def read(file: Path, text: str) -> TruthFile:
    file.write_text(text, encoding="utf-8")
    return read_truth(file)


def test_times_are_read_as_they_are_written(file: Path) -> None:
    found = read(
        file,
        f"kettle: [[12, 48.5], [1:20, '1:35.5'], [1:00:01, 3605], [{BEGIN + 50}, {DATE}]]\n"
        "on: []\n",
    )
    kettle, never = found.entries
    assert never.text == "on", "YAML would make a boolean of it"
    true, judged = kettle.within(BEGIN, 4000.0)
    assert true.tolist() == [[12, 48.5], [50, 60], [80, 95.5], [3601, 3605]]
    assert judged.tolist() == [[0, 4000]]
    assert never.within(BEGIN, 10.0)[0].shape == (0, 2)


def test_cameras_labels_and_what_is_not_judged(file: Path) -> None:
    found = read(
        file,
        "/front/image_raw:\n  door:\n    true: [[10, 20]]\n    unclear: [[18, 25], [40, 99]]\n"
        "rear:\n  door: {true: [[10, 20]], false: [[30, 40]]}\n"
        "labels: ['is it open? | open | shut', loud]\n",
    )
    front, rear = found.entries
    assert found.labels == ("is it open? | open | shut", "loud")
    assert [one.camera for one in found.entries] == ["/front/image_raw", "rear"]
    true, judged = front.within(0.0, 50.0)
    assert true.tolist() == [[10, 20]]
    assert judged.tolist() == [[0, 18], [25, 40]]
    assert rear.within(0.0, 50.0)[1].tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, allowed: texts with intervals"),
        ("[1, 2]", "line 1: the file has a list of 2, allowed: texts, or cameras with texts"),
        ("a: [1", "is not YAML: .* line 1"),
        ("front:\n  door:", "line 2: 'door' has nothing, allowed: .*; \\[\\] for never"),
        ("door:", "line 1: 'door' has nothing, allowed"),
        ("door: [[1, 2], 3]", "'door' has '3', allowed: \\[begin, end\\]"),
        ("door:\n  - [1, 2]\n  - [5, 4]", "line 3: 'door' has an interval that ends at or before"),
        ("door: [[1, x]]", "'door' has the time 'x', allowed: 0 or more seconds, minutes:seconds"),
        ("door: [[-1, 2]]", "the time '-1', allowed: 0 or more"),
        ("door: [[1, .inf]]", "the time '.inf'"),
        ("door: [[1, 2e999]]", "the time '2e999'"),
        ("door: {true: [[1, 2]], maybe: []}", "'door' has 'maybe', allowed: true"),
        ("front: {door: {true: [], maybe: []}}", "'door' has 'maybe', allowed: true, false, uncl"),
        ("front: {}\ndoor: []", "line 1: 'front' has a mapping of 0, allowed: texts with"),
        ("door: []\n\ndoor: []", "line 3: 'door' is in line 1 already, allowed: once"),
        ("? [1]\n: []", "a list of 1 as a name, allowed: a text"),
        (f"{'x' * 600}: []", "has 600 characters, allowed: 1 to 512"),
        ("labels: [a, b]", "there is no text"),
        (f"door: [['{'9' * 5000}:00', 9]]", "'door' has the time"),
        ("door: []\nlabels: a", "labels are not a list of texts, allowed"),
    ],
)
def test_a_mistake_is_named_with_its_line(file: Path, text: str, message: str) -> None:
    with pytest.raises(TruthError, match=message) as raised:
        read(file, text)
    assert str(file) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "door:\n- [1, 2]\n- [200, 300]",
            "line 3: 'door': .* is 200.0 to 300.0 s after .* 100.0 s",
        ),
        ("door: [['2020-01-01', '2020-01-02']]", "after the recording begins, allowed: 0 to"),
        ("a: {door: {true: [[1, 9]], false: [[5, 20]]}}", "5.0 to 9.0 s is true and false"),
        ("a: {door: {false: []}}", "no time is left to evaluate"),
        ("a: {door: {true: [], unclear: [[0, 100]]}}", "no time is left"),
    ],
)
def test_what_does_not_fit_the_recording(file: Path, text: str, message: str) -> None:
    (entry,) = read(file, text).entries
    with pytest.raises(TruthError, match=message):
        entry.within(BEGIN, 100.0)


def test_what_is_no_text_is_no_truth(file: Path) -> None:
    for content in (b"\xff\xfe\x00", b"[" * 5000):
        file.write_bytes(content)
        with pytest.raises(TruthError, match="is not YAML"):
            read_truth(file)
