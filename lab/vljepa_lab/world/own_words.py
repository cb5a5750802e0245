"""Questions in words that no training step sees, asked of a clip: read from a table, judged by it.

A table (`world/texts/*_own_words.yaml`) has entries of a kind each: the text, the state of the clip
that decides, and which candidate is right for each of its values. There are two tables, one to
calibrate with and one to report on, written by different people who did not see the wordings of
training. Importable without mujoco.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vljepa_lab.world.candidates import NUMBERS
from vljepa_lab.world.captions import object_names
from vljepa_lab.world.questions import Question
from vljepa_lab.world.records import (
    ACTIONS,
    COLORS,
    OBJECT_ACTIONS,
    PERSON_SEEN,
    SHAPES,
    ObjectState,
    Record,
    between_places,
    clip_event,
    named,
)

CALIBRATE, REPORT = (
    Path(__file__).parent / "texts" / f"{use}_own_words.yaml" for use in ("calibrate", "report")
)
_SEEN = 0.6  # visible share of an object from which it is asked about
_CANDIDATES = 4  # of sort `objects`
_OTHER_ACTIONS = 5
_SAME = ("same", "different")
_STATES = frozenset(
    {
        *("door", "lights", "person", "exists", "side", "holding", "held", "is_held", "colour"),
        *("is_colour", "count", "moved", "is_moved", "action", "is_action", "any_event"),
    }
)


@dataclass(frozen=True)
class Entry:
    """One question of a table.

    Attributes:
        kind: what is asked about.
        name: unique in the table.
        text: with placeholders.
        state: what of the clip decides.
        polarity: plain, opposite or choice.
        pair: name that an entry of the opposite polarity shares; empty without one.
        truth: value of the state -> right candidate; empty where `candidates` stands.
        candidates: objects, colours, numbers or actions; empty with `truth`.
        answer: how a candidate is written.
        phrases: action -> phrase; empty where none is needed.
    """

    kind: str
    name: str
    text: str
    state: str
    polarity: str
    pair: str
    truth: Mapping[str, str]
    candidates: str
    answer: str
    phrases: Mapping[str, str]


@dataclass(frozen=True)
class OwnWords:
    """An entry asked of a clip; value: of its state then."""

    entry: Entry
    value: str
    question: Question


def read_table(file: Path) -> tuple[Entry, ...]:
    """The entries of a table.

    Raises:
        ValueError: an unknown state, an action without a phrase, a name given twice.
    """
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    tables: dict[str, dict[str, str]] = raw.get("phrases", {})
    for name, phrases in tables.items():
        if set(phrases) != set(ACTIONS):
            odd = sorted(set(phrases) ^ set(ACTIONS))
            raise ValueError(f"{file.name}: phrases {name} lack or have too many: {odd}")
    entries = [_entry(kind, one, tables) for kind, some in raw["kinds"].items() for one in some]
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{file.name}: names stand twice: {', '.join(twice)}")
    return tuple(entries)


def _entry(kind: str, raw: Mapping[str, Any], tables: Mapping[str, dict[str, str]]) -> Entry:
    if raw["state"] not in _STATES:
        raise ValueError(
            f"{raw['id']}: state {raw['state']!r} is unknown; allowed are "
            f"{', '.join(sorted(_STATES))}"
        )
    pair = f"{kind} {raw['pair']}" if "pair" in raw else ""
    truth = {str(value): str(text) for value, text in raw.get("truth", {}).items()}
    return Entry(
        *(kind, str(raw["id"]), raw["text"], raw["state"], raw["polarity"], pair, truth),
        raw.get("candidates", ""),
        raw.get("answer", "{x}"),
        tables[raw["phrases"]] if "phrases" in raw else {},
    )


def ask_in_own_words(
    entries: tuple[Entry, ...], record: Record, t: int, seed: str
) -> Iterator[OwnWords]:
    """Each entry that can be asked of the clip that ends at frame `t`.

    Entries of a pair have the same objects and the same truth.

    Args:
        entries: of a table.
        record: of the scene.
        t: frame, CLIP_FRAMES - 1 or later.
        seed: of the objects that are asked about.
    """
    for entry in entries:
        rng = random.Random(f"{seed} {t} {entry.pair or entry.name} {entry.state}")
        asked = _Asked(record, t, rng).ask(entry)
        if asked is not None:
            yield asked


class _Asked:
    """What one clip says about one entry."""

    def __init__(self, record: Record, t: int, rng: random.Random) -> None:
        self._record, self._rng = record, rng
        self._state = record.states[t]
        self._event = clip_event(record, t)
        self._clear = [o for o in self._state.objects if o.visible >= _SEEN]
        self._names = object_names(record.split)
        self._fill: dict[str, str] = {}

    def ask(self, entry: Entry) -> OwnWords | None:
        """None where the clip does not decide the answer."""
        value = getattr(self, f"_{entry.state}")(entry)
        if value is None:
            return None
        fill = {**self._fill}
        for name in ("object", "other"):
            if name in fill:
                vowel = "n" if fill[name][:1] in "aeiou" else ""
                fill[f"an_{name}"] = f"a{vowel} {fill[name]}"
        if entry.candidates:
            pairs = self._candidates(entry, value, fill)
        else:
            texts = dict.fromkeys(text.format(**fill) for text in entry.truth.values())
            pairs = [(text, text) for text in texts]
            value = entry.truth[value].format(**fill)
        if len(pairs) < 2:
            return None
        texts_, keys = zip(*pairs, strict=True)
        question = Question(
            entry.kind, entry.text.format(**fill), texts_[keys.index(value)], value, texts_, keys
        )
        return OwnWords(entry, value, question)

    def _candidates(self, entry: Entry, value: str, fill: dict[str, str]) -> list[tuple[str, str]]:
        """(text, key) of candidates of a sort, the right one with key `value` among them."""
        rng = self._rng
        if entry.candidates == "colours":
            names = list(COLORS)
        elif entry.candidates == "numbers":
            names = [str(n) for n in range(1, 6)]
        elif entry.candidates == "objects":
            seen = [o.name for o in self._clear if o.name != value]
            absent = [n for n in self._names if n not in {o.name for o in self._state.objects}]
            others = list(dict.fromkeys([*seen, *rng.sample(absent, 3)]))
            names = [value, *others[: _CANDIDATES - 1]]
        else:
            others = [kind for kind in ACTIONS if kind != value]
            names = [value, *rng.sample(others, _OTHER_ACTIONS)]
        rng.shuffle(names)
        pairs = []
        for name in names:
            if entry.candidates == "actions":
                text = self._phrase(entry, name, fill)
            elif entry.candidates == "numbers":
                text = entry.answer.format(**fill, x=NUMBERS[int(name)], n=name)
            else:
                text = entry.answer.format(**fill, x=name, n=name)
            pairs.append((text, name))
        unique = dict(reversed(pairs))
        return list(unique.items()) if value in unique.values() else []

    def _phrase(self, entry: Entry, kind: str, fill: Mapping[str, str]) -> str:
        words = dict(fill)
        happening = kind == self._event.kind and self._event.object
        name = self._event.object if happening else self._any_object()
        words |= {"object": name, "an_object": f"a{'n' if name[:1] in 'aeiou' else ''} {name}"}
        return entry.phrases[kind].format(**words)

    def _any_object(self) -> str:
        return self._rng.choice(self._clear).name if self._clear else "thing"

    def _door(self, entry: Entry) -> str | None:
        s = self._state
        if not s.door_visible or 0.05 < s.door < 0.6:
            return None
        return "open" if s.door > 0.5 else "closed"

    def _lights(self, entry: Entry) -> str | None:
        return "on" if self._state.lights else "off"

    def _person(self, entry: Entry) -> str | None:
        s = self._state
        if s.person_visible >= PERSON_SEEN:
            return "present"
        return "absent" if s.person <= 0.001 else None

    def _exists(self, entry: Entry) -> str | None:
        present = {o.name for o in self._state.objects}
        if not self._clear:
            return None
        value = self._rng.choice(("present", "absent"))
        options = [o.name for o in self._clear]
        if value == "absent":
            o = self._rng.choice(self._state.objects)
            near = [named(c, o.shape) for c in COLORS] + [named(o.color, s) for s in SHAPES]
            options = [n for n in near if n not in present and n in self._names]
        self._fill["object"] = self._rng.choice(options) if options else ""
        return value if options else None

    def _side(self, entry: Entry) -> str | None:
        table = [o for o in self._clear if o.place == "table"]
        pairs = [(a, b) for a in table for b in table if abs(a.uv[0] - b.uv[0]) > 0.2]
        if not pairs:
            return None
        a, b = self._rng.choice(pairs)
        self._fill |= {"object": a.name, "other": b.name}
        return "left" if a.uv[0] < b.uv[0] else "right"

    def _holding(self, entry: Entry) -> str | None:
        s = self._state
        if between_places(self._record, self._state.stamp):
            return None
        if s.held:
            seen = any(o.name == s.held and o.visible >= 0.5 for o in s.objects)
            return "holding" if seen else None
        return "empty" if s.gripper_visible else None

    def _held(self, entry: Entry) -> str | None:
        return self._state.held if self._holding(entry) == "holding" else None

    def _is_held(self, entry: Entry) -> str | None:
        return self._same(self._held(entry))

    def _same(self, true: str | None) -> str | None:
        """Half of the times the true object is named, else another one that is seen."""
        if not true:
            return None
        value = self._rng.choice(_SAME)
        others = [o.name for o in self._clear if o.name != true]
        if value == "different" and not others:
            return None
        self._fill["object"] = true if value == "same" else self._rng.choice(others)
        return value

    def _single_shape(self) -> ObjectState | None:
        shapes = [o.shape for o in self._state.objects]
        single = [o for o in self._clear if shapes.count(o.shape) == 1]
        return self._rng.choice(single) if single else None

    def _colour(self, entry: Entry) -> str | None:
        o = self._single_shape()
        if o is None:
            return None
        self._fill["shape"] = o.shape
        return o.color

    def _is_colour(self, entry: Entry) -> str | None:
        true = self._colour(entry)
        if true is None:
            return None
        value = self._rng.choice(_SAME)
        others = [c for c in COLORS if c != true]
        self._fill["colour"] = true if value == "same" else self._rng.choice(others)
        return value

    def _count(self, entry: Entry) -> str | None:
        objects = self._state.objects
        clean = all(o.place == "table" and o.visible >= 0.4 for o in objects)
        if not clean or self._state.held or between_places(self._record, self._state.stamp):
            return None
        allowed = entry.truth or [str(n) for n in range(1, 6)]
        return str(len(objects)) if str(len(objects)) in allowed else None

    def _moved(self, entry: Entry) -> str | None:
        return self._event.object if self._event.kind in OBJECT_ACTIONS else None

    def _is_moved(self, entry: Entry) -> str | None:
        return self._same(self._moved(entry))

    def _action(self, entry: Entry) -> str | None:
        return self._event.kind

    def _is_action(self, entry: Entry) -> str | None:
        if self._event.kind is None:
            return None
        value = self._rng.choice(_SAME)
        others = [kind for kind in ACTIONS if kind != self._event.kind]
        kind = self._event.kind if value == "same" else self._rng.choice(others)
        self._fill["happening"] = self._phrase(entry, kind, {})
        return value

    def _any_event(self, entry: Entry) -> str | None:
        kind = self._event.kind
        return None if kind is None else "nothing" if kind == "nothing" else "something"
