"""What real pictures and clips show, read from the YAML files beside this module."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vljepa_ros.files import JsonMapping

HALVES = ("choose", "report")
"""Settings are chosen on one half; figures are those of the other."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class File:
    """A picture, or a clip, of a source.

    Attributes:
        name: of its own.
        source: `id` in sources.yaml.
        path: inside the source's archive.
        sha: the first digits of its SHA-256.
    """

    name: str
    source: str
    path: str
    sha: str


@dataclass(frozen=True)
class Seen:
    """Labels of one kind: `clear` are those that fit; `unclear` ones are left out."""

    clear: frozenset[str]
    unclear: frozenset[str]


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows.

    Attributes:
        file: the picture, or the clip that it is a frame of.
        frame: of the clip; None: the file is a picture.
        objects: texts of the labels.
        places: likewise.
        person: whether somebody is there; None: left out.
        indoors: None: left out.
        group: pictures of a group count once.
        half: of HALVES, by the group's name.
    """

    file: File
    frame: int | None
    objects: Seen
    places: Seen
    person: bool | None
    indoors: bool | None
    group: str
    half: str


@dataclass(frozen=True)
class Question:
    """A yes/no question about a picture; `kinds`: of negated, absent, elsewhere, people."""

    picture: str
    ask: str
    answer: str
    kinds: frozenset[str]


@dataclass(frozen=True)
class RealClip:
    """A clip of a camera.

    Attributes:
        file: of a kind that OpenCV or pillow reads.
        use: `domain` or `fit`, see clips.yaml.
        state: what some of its frames show; empty: not to be taught.
        other: what the others show.
        there: intervals of frames, both ends included, that show the state.
        unclear: intervals that are left out.
    """

    file: File
    use: str
    state: str
    other: str
    there: tuple[tuple[int, int], ...]
    unclear: tuple[tuple[int, int], ...]

    def shows(self, frame: int) -> bool | None:
        """Whether a frame shows the state; None: unclear."""
        if any(first <= frame <= last for first, last in self.unclear):
            return None
        return any(first <= frame <= last for first, last in self.there)


@dataclass(frozen=True)
class Truth:
    """All pictures, questions and clips, and the texts of the labels."""

    objects: tuple[str, ...]
    places: tuple[str, ...]
    pictures: tuple[Picture, ...]
    questions: tuple[Question, ...]
    clips: tuple[RealClip, ...]

    def of_half(self, half: str) -> Truth:
        """The pictures of one half, with their questions, and all clips."""
        pictures = tuple(picture for picture in self.pictures if picture.half == half)
        names = {picture.file.name for picture in pictures}
        asked = tuple(question for question in self.questions if question.picture in names)
        return Truth(self.objects, self.places, pictures, asked, self.clips)


def read_truth() -> Truth:
    """Everything that stands in the YAML files."""
    data = read_yaml("pictures")
    questions = tuple(
        Question(row["picture"], row["ask"], row["answer"], frozenset(row.get("kinds", "").split()))
        for row in read_yaml("questions")
    )
    return Truth(
        tuple(data["objects"].values()),
        tuple(data["places"].values()),
        tuple(_picture(row, data["objects"], data["places"]) for row in data["pictures"]),
        questions,
        tuple(map(_clip, read_yaml("clips"))),
    )


def read_yaml(name: str) -> Any:
    """One of the files beside this module."""
    return yaml.load((_HERE / f"{name}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def _picture(row: JsonMapping, objects: Mapping[str, str], places: Mapping[str, str]) -> Picture:
    group = row.get("group") or row["name"]
    first = hashlib.sha256(group.encode()).digest()[0]
    return Picture(
        file=_file(row),
        frame=row.get("frame"),
        objects=_seen(row, "objects", "unclear", objects),
        places=_seen(row, "places", "maybe", places),
        person={"p": True, "n": False}.get(row["person"]),
        indoors={"i": True, "o": False}.get(row["where"]),
        group=group,
        half=HALVES[first >= 128],
    )


def _seen(row: JsonMapping, clear: str, unclear: str, texts: Mapping[str, str]) -> Seen:
    named = (
        frozenset(texts[word] for word in row.get(key, "").split()) for key in (clear, unclear)
    )
    return Seen(*named)


def _clip(row: JsonMapping) -> RealClip:
    there, unclear = (tuple(map(tuple, row.get(key, ()))) for key in ("there", "unclear"))
    return RealClip(
        _file(row), row["use"], row.get("state", ""), row.get("other", ""), there, unclear
    )


def _file(row: JsonMapping) -> File:
    return File(row["name"], row["source"], row["path"], row["sha"])
