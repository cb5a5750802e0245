"""Questions about a clip with their true answers, from a scene's record; no pictures needed.

A clip is CLIP_FRAMES frames INTERVAL seconds apart that ends at frame `t` of the record. What is
doubtful (half visible, half over) is not asked. Importable without mujoco.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from vljepa_lab.world.candidates import (
    COLOR_KEYS,
    NUMBER_KEYS,
    NUMBERS,
    STATE_WORDS,
    event_candidates,
    most_wordings,
    object_candidates,
)
from vljepa_lab.world.captions import (
    caption,
    event_key,
    event_texts,
    noun,
    object_names,
    state_texts,
)
from vljepa_lab.world.polar import AS_WRITTEN, asked, draw_polar, draw_written
from vljepa_lab.world.records import (
    ACTIONS,
    CLIP_FRAMES,
    COLORS,
    NEVER_TRAINED,
    OBJECT_ACTIONS,
    PERSON_SEEN,
    SHAPES,
    ObjectState,
    Record,
    between_places,
    clip_event,
    named,
)
from vljepa_lab.world.wordings import wordings

TASKS = (
    "door",
    "lights",
    "person",
    "action",
    "event",
    "colour",
    "count",
    "exists",
    "side",
    "held",
    "holding_anything",
    "moved",
    "caption",
)
WORDINGS = ("canonical", "train", "wide", "unseen")
_CLEARLY_SEEN = 0.6  # visible share of an object from which it is asked about
_WHICH = 0.25  # share of the questions about sides, in wide wordings, that ask for an object
_FORMS = (0, 0, 0, 0, 0, 1, 1, 1, 2, 2)  # yes/no, words, sentences: most people ask yes/no
_POLAR = 0.8  # share of the yes/no questions in wide wordings that are made of statements
_LIMITS = (("atleast", 0), ("atmost", 0), ("atleast", 1), ("atmost", -1))
"""Relation to a limit, and the limit beyond the true count at which it decides."""


@dataclass(frozen=True)
class Question:
    """A question with its true answer.

    Attributes:
        task: one of TASKS.
        text, answer: as they are said.
        key: semantic key of the answer (see `captions`).
        candidates: answers of the same kind, the true one among them.
        keys: of the candidates.
    """

    task: str
    text: str
    answer: str
    key: str
    candidates: tuple[str, ...]
    keys: tuple[str, ...]

    def right(self, index: int) -> bool:
        """Whether the candidate with this index is a right answer."""
        return self.keys[index] == self.key


class _Asker:
    """The questions of one clip; each method adds those of one task, or none."""

    def __init__(self, record: Record, t: int, rng: random.Random, wording: str) -> None:
        self.record, self.t, self.rng, self.wording = record, t, rng, wording
        self.state = record.states[t]
        self.which = "train" if wording == "canonical" else wording
        self.names = object_names(record.split)
        self.out: list[Question] = []
        self.clear = [o for o in self.state.objects if o.visible >= _CLEARLY_SEEN]
        self.shapes = Counter(o.shape for o in self.state.objects)
        self.event = clip_event(record, t)

    def _text(self, form: str, **fill: str) -> str:
        texts = wordings("questions", self.which).get(form)
        texts = texts or wordings("statements", "polar")[f"open:{form}"]
        return self._choose(texts).format(**fill)

    def _add(
        self, form: str, key: str, texts: tuple[str, ...], keys: tuple[str, ...], **fill: str
    ) -> None:
        task = form.removesuffix("_yes")
        answer = texts[keys.index(key)]
        self.out.append(Question(task, self._text(form, **fill), answer, key, texts, keys))

    def _yes(self, form: str, right: bool, **fill: str) -> None:
        self._add(form, "yes" if right else "no", ("yes", "no"), ("yes", "no"), **fill)

    def _choose(self, texts: tuple[str, ...]) -> str:
        return texts[0] if self.wording == "canonical" else self.rng.choice(texts)

    def _polar(self, task: str, holds: str, x: str = "", y: str = "") -> bool:
        """In wide wordings, often: ask whether a statement or its opposite holds.

        `holds` is true of the clip. Returns whether it was asked.
        """
        if self.wording != "wide" or self.rng.random() >= _POLAR:
            return False
        self._whether(task, *draw_polar(holds, self.rng, x, y))
        return True

    def _either(self, task: str, options: tuple[str, str], first: bool) -> None:
        """A state asked as yes/no, as a word, or answered with a sentence."""
        forms = _FORMS if self.wording == "wide" else (0, 1, 2)
        form = self.rng.choice(forms)
        keys = (f"{task}:{options[0]}", f"{task}:{options[1]}")
        key = keys[0] if first else keys[1]
        if form == 0:
            if not self._polar(task, key):
                self._yes(f"{task}_yes", first)
        elif form == 1:
            self._add(task, key, self._words(task), keys)
        else:
            self._sentence(task, keys, first)

    def _words(self, task: str, y: str = "") -> tuple[str, str]:
        """Two words or phrases for the states that a question of `task` asks for."""
        wide = self.wording == "wide"
        first, second = self.rng.choice(STATE_WORDS[task]) if wide else STATE_WORDS[task][0]
        return first.format(y=y), second.format(y=y)

    def _sentence(self, form: str, keys: tuple[str, str], first: bool) -> None:
        """A state of two, answered with a sentence."""
        texts = tuple(self._choose(state_texts(k, self.which)) for k in keys)
        self._add(form, keys[0] if first else keys[1], texts, keys)

    def states(self) -> None:
        s = self.state
        if s.door_visible and (s.door <= 0.05 or s.door >= 0.6):
            self._either("door", ("open", "closed"), s.door > 0.5)
        self._either("lights", ("on", "off"), s.lights)
        present = s.person_visible >= PERSON_SEEN
        if present or s.person <= 0.001:
            if self.rng.random() < 0.6:
                if not self._polar("person", f"person:{'yes' if present else 'no'}"):
                    self._yes("person_yes", present)
            elif self.wording == "wide" and self.rng.random() < 0.6:
                keys = ("person:yes", "person:no")
                self._add("person", keys[not present], self._words("person"), keys)
            else:
                self._sentence("person_yes", ("person:yes", "person:no"), present)

    def happening(self) -> None:
        kind, obj = self.event.kind, self.event.object
        if kind is None:
            return
        limits = {"canonical": 1, "train": 13, "wide": most_wordings(), "unseen": 4}
        # `canonical` draws nothing: its questions stay what they were.
        index = 0 if self.wording == "canonical" else self.rng.randrange(limits[self.wording])
        texts, keys = event_candidates(self.record.split, self.wording, index)
        self._add("event", event_key(kind, obj), texts, keys)
        texts = tuple(self._choose(event_texts(k, "", self.which)) for k in ACTIONS)
        self._add("action", event_key(kind), texts, tuple(event_key(k) for k in ACTIONS))
        texts, keys = object_candidates(self.record.split)
        if obj:
            self._add("moved", f"object:{obj}", texts, keys)
        elif kind == "nothing" and self.rng.random() < 0.5:
            self._add("moved", "none", texts, keys)

    def colour(self) -> None:
        unique = [o for o in self.clear if self.shapes[o.shape] == 1]
        if unique:
            o = self.rng.choice(unique)
            fill = noun(o.shape)
            texts = self._answers("colour", tuple(COLORS))
            self._add("colour", f"color:{o.color}", texts, COLOR_KEYS, x=fill)

    def _answers(self, task: str, texts: tuple[str, ...]) -> tuple[str, ...]:
        """Colours or numbers as they are given for an answer; bare ones but in wide wordings."""
        forms = wordings("statements", "polar")[f"answer:{task}"]
        form = self.rng.choice(forms if self.wording == "wide" else forms[:1])
        return tuple(form.format(s=text) for text in texts)

    def count(self) -> None:
        table = [o for o in self.state.objects if o.place == "table"]
        if all(o.visible >= 0.4 for o in table) and not between_places(
            self.record, self.state.stamp
        ):
            if self.wording == "wide" and self.rng.random() < 0.4:
                self.count_limit(len(table))
            else:
                digits = self.wording == "wide" and self.rng.random() < 0.3
                texts = tuple(str(n) for n in range(len(NUMBERS))) if digits else NUMBERS
                texts = self._answers("count", texts)
                self._add("count", f"count:{len(table)}", texts, NUMBER_KEYS)

    def exists(self) -> None:
        present = {o.name for o in self.state.objects}
        if not self.clear:  # a "no" alone would spoil the balance
            return
        right = self.rng.random() < 0.5
        if right:
            options = [o.name for o in self.clear]
        else:
            options = [n for n in self._near_misses(present) if n in self.names]
        if options:
            name = self.rng.choice(options)
            if not self._polar("exists", f"exists:{'yes' if right else 'no'}", name):
                self._yes("exists_yes", right, x=noun(name, "a"))

    def _near_misses(self, present: set[str]) -> list[str]:
        """Absent objects: half the time colour and shape of two present ones, else one of both."""
        objects = self.state.objects
        if self.rng.random() < 0.5:
            swapped = [named(a.color, b.shape) for a in objects for b in objects]
            absent = [n for n in swapped if n not in present and n in self.names]
            if absent:
                return absent
        o = self.rng.choice(objects)
        one_wrong = [named(c, o.shape) for c in COLORS] + [named(o.color, s) for s in SHAPES]
        return [n for n in one_wrong if n not in present]

    def held_out_pair(self) -> None:
        """Is a never-trained pair there? Only in test_b, as often yes as no."""
        pairs = {named(c, s) for c, s in NEVER_TRAINED}
        present = {o.name for o in self.state.objects}
        right = self.rng.random() < 0.5
        if right:
            options = [o.name for o in self.clear if o.name in pairs]
        else:
            misses = {named(o.color, s) for o in self.state.objects for s in SHAPES}
            misses |= {named(c, o.shape) for o in self.state.objects for c in COLORS}
            options = sorted((misses & pairs) - present)
        if options:
            self._yes("exists_yes", right, x=noun(self.rng.choice(options), "a"))

    def side(self) -> None:
        table = [o for o in self.clear if o.place == "table"]
        pairs = [(a, b) for a in table for b in table if abs(a.uv[0] - b.uv[0]) > 0.2]
        if not pairs:
            return
        a, b = self.rng.choice(pairs)
        left = a.uv[0] < b.uv[0]
        names = self._short(a), self._short(b)
        x, y = noun(names[0]), noun(names[1])
        if self.wording == "wide" and self.rng.random() < _WHICH and a.name != b.name:
            self._which(a.name, b.name, left)
            return
        if self.rng.random() < 0.5 and self._polar(
            "side", "side:left", *names[:: 1 if left else -1]
        ):
            return
        if self.rng.random() < 0.5:
            self._yes("side_yes", left, x=x, y=y)
        else:
            key = "side:left" if left else "side:right"
            words = self._words("side", y)
            self._add("side", key, words, ("side:left", "side:right"), x=x, y=y)

    def _which(self, one: str, other: str, left: bool) -> None:
        """Which of two objects is further left, or right."""
        asks_left = self.rng.random() < 0.5
        forms = wordings("statements", "polar")["side:which" if asks_left else "side:which right"]
        right = one if left == asks_left else other
        text = self.rng.choice(forms).format(x=noun(one), y=noun(other))
        texts, keys = (noun(one), noun(other)), (f"object:{one}", f"object:{other}")
        self.out.append(Question("side", text, noun(right), f"object:{right}", texts, keys))

    def _short(self, o: ObjectState) -> str:
        """The object's name, or its shape alone where that is enough, now and then."""
        plain = self.shapes[o.shape] == 1 and self.wording != "canonical"
        return o.shape if plain and self.rng.random() < 0.4 else o.name

    def held(self) -> None:
        s = self.state
        if between_places(self.record, self.state.stamp):
            return
        seen = s.gripper_visible
        if s.held:
            seen = any(o.name == s.held and o.visible >= 0.5 for o in s.objects)
        if not seen:
            return
        texts, keys = object_candidates(self.record.split)
        if s.held or self.rng.random() < 0.4:
            self._add("held", f"object:{s.held}" if s.held else "none", texts, keys)
            if self.wording == "wide" and self.rng.random() < 0.3:
                keys = (f"held:{s.held or 'something'}", "held:nothing")
                words = self._words("holding_anything")
                self._add("holding_anything", keys[not s.held], words, keys)
            elif not self._polar("holding_anything", "held" if s.held else "held:nothing"):
                self._yes("holding_anything_yes", bool(s.held))

    def statements(self) -> None:
        """Yes/no questions about what else is known of the clip: in wide wordings alone."""
        rng = self.rng
        unique = [o for o in self.clear if self.shapes[o.shape] == 1]
        if unique:
            o, true = rng.choice(unique), rng.random() < 0.5
            pairs = [named(c, o.shape) for c in COLORS if c != o.color]
            others = [n.split()[0] for n in pairs if n in self.names] or [o.color]
            colour = o.color if true else rng.choice(others)
            self._statement("colour", "colour", colour == o.color, x=noun(o.shape), c=colour)
        kind, obj = self.event.kind, self.event.object
        others = [o.name for o in self.clear if o.name not in (obj, self.state.held)]
        if kind is not None and rng.random() < 0.3:
            self._whether("event", *draw_written("something", kind != "nothing", rng))
        elif kind is not None:
            true = rng.random() < 0.5
            said = kind if true else rng.choice([k for k in ACTIONS if k != kind])
            about = obj if rng.random() < 0.5 and said in OBJECT_ACTIONS else ""
            text = rng.choice(event_texts(said, about, "wide"))
            if rng.random() < AS_WRITTEN:
                frame, right = draw_written("happens", true, rng)
                self._whether("event", frame.format(s=text), right)
            else:
                self._asked("event", text, true)
        if obj and others:
            true = rng.random() < 0.5
            self._statement("moved", "moved", true, x=noun(obj if true else rng.choice(others)))
        held = self.state.held
        if held and others and not between_places(self.record, self.state.stamp):
            true = rng.random() < 0.5
            self._statement("held", "holds", true, x=noun(held if true else rng.choice(others)))

    def count_limit(self, count: int) -> None:
        """Whether there are exactly, more than, fewer than, at least or at most so many."""
        rng = self.rng
        relation, near = rng.choice([("exactly", 0), ("more", -1), ("fewer", 1), *_LIMITS])
        limit = count + near if rng.random() < 0.5 else rng.randrange(1, len(NUMBERS))
        true = {
            "exactly": count == limit,
            "more": count > limit,
            "fewer": count < limit,
            "atleast": count >= limit,
            "atmost": count <= limit,
        }[relation]
        if 0 < limit < len(NUMBERS):
            self._statement("count", f"count:{relation}", true, n=NUMBERS[limit])

    def _statement(self, task: str, key: str, true: bool, **fill: str) -> None:
        """Whether the statement `key` holds, as written or made of a sentence."""
        table, rng = wordings("statements", "polar"), self.rng
        if rng.random() < AS_WRITTEN or key not in (*table, "holds"):
            text, right = draw_written(key, true, rng)
            self._whether(task, text.format(**fill), right)
            return
        if f"{key}:not" in table and rng.random() < 0.4:
            key, true = f"{key}:not", not true
        sentences = wordings("states", "wide")["held"] if key == "holds" else table[key]
        self._asked(task, rng.choice(sentences).format(**fill), true)

    def _asked(self, task: str, sentence: str, true: bool) -> None:
        text, asserts = asked(sentence, self.rng)
        self._whether(task, text, asserts == true)

    def _whether(self, task: str, text: str, right: bool) -> None:
        answer = "yes" if right else "no"
        self.out.append(Question(task, text, answer, answer, ("yes", "no"), ("yes", "no")))

    def caption(self) -> None:
        text = caption(self.state, self.rng)
        key = "caption:" + caption(self.state)
        self._add("caption", key, (text,), (key,))


def ask(record: Record, t: int, rng: random.Random, wording: str = "train") -> list[Question]:
    """The questions about the clip that ends at frame t of the record; at most one or two per task.

    Never-trained pairs are spoken of only in records of test_b.

    Args:
        record: of the scene.
        t: frame, CLIP_FRAMES - 1 or later.
        rng: draws what is asked and how.
        wording: train (random trained wordings), wide (those and many more, for training alone),
            canonical (the first wording of everything), unseen (only wordings that are never
            trained, of questions and of event and state answers).

    Raises:
        ValueError: an unknown wording, or a clip that would start before the record.
    """
    if wording not in WORDINGS:
        raise ValueError(f"wording {wording!r} is unknown; allowed are {', '.join(WORDINGS)}")
    if not CLIP_FRAMES - 1 <= t < len(record.states):
        raise ValueError(
            f"no clip ends at frame {t}: allowed are {CLIP_FRAMES - 1} to {len(record.states) - 1}"
        )
    asker = _Asker(record, t, rng, wording)
    asker.states()
    asker.happening()
    asker.colour()
    asker.count()
    asker.exists()
    asker.side()
    asker.held()
    if wording == "wide":
        asker.statements()
    asker.caption()
    return asker.out


def ask_held_out_pair(
    record: Record, t: int, rng: random.Random, wording: str = "canonical"
) -> list[Question]:
    """Whether a never-trained pair is there: one question of task `exists`, or none."""
    asker = _Asker(record, t, rng, wording)
    asker.held_out_pair()
    return asker.out
