"""What is asked in training, and which answers stand beside the true one.

Questions about windows: fresh ones at each draw, where the named objects are, hard candidates. Sets
of candidates, as callers give them: the calibrator is fitted and judged on such sets.
"""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from vljepa_lab.training.store import Scene, cell_of
from vljepa_lab.world.candidates import NUMBERS, STATE_WORDS
from vljepa_lab.world.captions import (
    event_key,
    event_text,
    event_texts,
    noun,
    object_names,
    state_text,
    state_texts,
)
from vljepa_lab.world.polar import POLAR, draw_polar, polar_questions, written
from vljepa_lab.world.questions import Question, ask
from vljepa_lab.world.records import ACTIONS, COLORS, OBJECT_ACTIONS, SHAPES, State
from vljepa_lab.world.wordings import wordings

ABSENT = 64
_WIDE = 0.6  # share of the windows that are asked about in the wide wordings
_NOT_ASKED = -1
_YES_NO = frozenset({"yes", "no"})
_NAMED = re.compile(
    rf"(?:\b({'|'.join(COLORS)}) )?\b({'|'.join(sorted(SHAPES, key=len, reverse=True))})\b"
)
_WEIGHTS = {
    "event": 2.0,
    "action": 2.5,
    "moved": 1.0,
    "door": 1.6,
    "lights": 1.2,
    "person": 2.0,
    "colour": 1.2,
    "count": 2.0,
    "exists": 1.6,
    "side": 3.0,
    "held": 0.8,
    "holding_anything": 0.6,
    "caption": 0.0,
}
"""How much each task is worth in training: what is hard, or matters most, is asked more often."""


@dataclass(frozen=True)
class Row:
    """One question about one window; cells: where each of two slots should point (-1: anywhere)."""

    task: str
    question: str
    answer: str
    key: str
    cells: tuple[int, int]


def parent(key: str) -> str:
    """Key of the less detailed statement, or "": `event:roll:red ball` -> `event:roll`."""
    parts = key.split(":")
    return ":".join(parts[:2]) if parts[0] == "event" and len(parts) > 2 else ""


def _cell(state: State, colour: str, shape: str) -> int:
    matching = [o for o in state.objects if o.shape == shape and colour in ("", o.color)]
    if not matching:
        return ABSENT
    if len(matching) > 1 or matching[0].visible < 0.4:
        return _NOT_ASKED
    cell = cell_of(matching[0].uv)
    return cell if cell >= 0 else _NOT_ASKED


def named_cells(question: Question, state: State) -> tuple[int, int]:
    """Cells of the objects that the question names, in order.

    Where it names none, the cell of the one it asks for.
    """
    cells = [_cell(state, *match) for match in _NAMED.findall(question.text)]
    if not cells and question.task in ("held", "moved") and question.key.startswith("object:"):
        colour, _, shape = question.key.removeprefix("object:").partition(" ")
        cells = [_cell(state, colour, shape)]
    cells = [*cells, _NOT_ASKED, _NOT_ASKED][:2]
    return cells[0], cells[1]


def named_shape(text: str) -> str:
    """The shape that a question about one object names; "" where it names none."""
    match = _NAMED.search(text)
    return match.group(2) if match else ""


def sample_questions(
    scene: Scene,
    last: int,
    count: int,
    rng: random.Random,
    known: Container[str] | None = None,
    fresh: float = 0.1,
) -> list[Row]:
    """`count` rows about the clip that ends at frame `last`, by weight, few of them twice.

    known: texts whose embeddings are at hand. A text beyond them costs a pass of the trunk, so only
    a share `fresh` of the questions that would need one is kept (more of those that are
    answered yes or no or name objects, which are too many to know), and an answer that is not known
    is given in its canonical wording.
    """
    questions: list[Question] = []
    beyond: list[Question] = []
    for _ in range(3):
        for question in ask(scene.record, last, rng, "wide" if rng.random() < _WIDE else "train"):
            if _WEIGHTS[question.task] <= 0 or any(_form(q) == _form(question) for q in questions):
                continue
            many = question.key in _YES_NO or _NAMED.search(question.text)
            limit = 0.35 if many else fresh
            if known is None or question.text in known or rng.random() < limit:
                questions.append(question)
            else:
                beyond.append(question)
        if known is None or len(questions) > count + 2:
            break
    if not questions:  # few texts are known: a pass of the trunk is better than no question
        questions = beyond
    state = scene.record.states[last]
    chosen: list[Question] = []
    pool: list[Question] = []
    while len(chosen) < count:
        pool = pool or list(questions)
        pick = rng.choices(range(len(pool)), [_WEIGHTS[q.task] for q in pool])[0]
        chosen.append(pool.pop(pick))
    rows = []
    for q in chosen:
        answer = q.answer
        if known is not None and answer not in known and rng.random() >= fresh:
            answer = canonical_text(q.key)
        rows.append(Row(q.task, q.text, answer, q.key, named_cells(q, state)))
    return rows


def _form(question: Question) -> tuple[str, bool]:
    """Its task, and whether it is answered yes or no: a window is asked one question of a form."""
    return question.task, question.key in _YES_NO


def canonical_text(key: str) -> str:
    """One text for a semantic key: what the Y-Decoder should say."""
    kind, _, rest = key.partition(":")
    if kind == "event":
        action, _, name = rest.partition(":")
        return event_text(action, name)
    if kind in ("door", "lights", "person", "held"):
        return state_text(key)
    if kind == "object":
        return noun(rest)
    if kind == "count":
        return NUMBERS[int(rest)]
    if kind in ("color", "side"):
        return rest
    return "nothing" if kind == "none" else kind


def states_of() -> tuple[str, ...]:
    """Keys of the states that name no object."""
    return tuple(key for key in wordings("states") if key != "held")


def frequent_answers(rng: random.Random) -> list[str]:
    """Answers worth knowing from the start; ten wordings of each event with each object."""
    names = object_names("train")
    texts = [text for text, _ in fixed_candidates()]
    for kind in ACTIONS:
        texts += event_texts(kind, which="wide")
        if kind in OBJECT_ACTIONS:
            for name in names:
                texts += [event_text(kind, name, i) for i in range(2)]
                texts += rng.sample(event_texts(kind, name, "wide"), 8)
    for key in states_of():
        texts += state_texts(key, "wide")
    texts += [noun(name) for name in names]
    for task, values in (("colour", tuple(COLORS)), ("count", NUMBERS)):
        forms = wordings("statements", "polar")[f"answer:{task}"]
        texts += [form.format(s=value) for form in forms for value in values]
    texts += [str(number) for number in range(len(NUMBERS))]
    texts += [t for some in STATE_WORDS.values() for pair in some for t in pair if "{" not in t]
    return list(dict.fromkeys(texts))


def frequent_questions(rng: random.Random) -> list[str]:
    """Questions worth knowing from the start; 3000 of those that name two objects."""
    names = object_names("train")
    texts = []
    forms = wordings("questions", "wide")
    for form, known in forms.items():
        for text in known:
            if "{y}" in text:
                continue
            if "{x}" not in text:
                texts.append(text)
            elif form.startswith("exists"):
                texts += [text.format(x=noun(name, "a")) for name in names]
            else:
                texts += [text.format(x=noun(shape)) for shape in SHAPES]
    named = [*names, *SHAPES, *SHAPES]
    pairs = [*forms["side"], *forms["side_yes"]]
    for _ in range(3000):
        x, y = rng.sample(named, 2)
        texts.append(rng.choice(pairs).format(x=noun(x), y=noun(y)))
        texts.append(draw_polar("side:left", rng, x, y)[0])
        texts.append(draw_polar("exists:yes", rng, rng.choice(names))[0])
    for key in POLAR:
        asked = [*(q.text for q in polar_questions(key)), *written(key)]
        texts += [text for text in asked if "{" not in text]
    texts += [*written("something"), *written("something:not")]
    return list(dict.fromkeys(texts))


def fixed_candidates() -> list[tuple[str, str]]:
    """Short answers that stand in every batch, with their keys: right or wrong, never missing."""
    pairs = [("yes", "yes"), ("no", "no"), ("nothing", "none")]
    pairs += [(word, f"door:{word}") for word in ("open", "closed")]
    pairs += [(word, f"lights:{word}") for word in ("on", "off")]
    pairs += [(word, f"side:{word}") for word in ("left", "right")]
    pairs += [(colour, f"color:{colour}") for colour in COLORS]
    pairs += [(word, f"count:{index}") for index, word in enumerate(NUMBERS)]
    return pairs


def hard_candidates(rows: Sequence[Row], rng: random.Random) -> list[tuple[str, str]]:
    """Wrong answers that differ in one thing, with their keys.

    The same event with another object, another event with it; every action once.
    """
    names = object_names("train")
    # Few wordings: each new text costs a pass of the trunk.
    pairs = [(rng.choice(event_texts(kind, which="wide")), event_key(kind)) for kind in ACTIONS]
    for row in rows:
        if row.task == "event" and parent(row.key):
            _, kind, name = row.key.split(":", 2)
            other = rng.choice(names)
            pairs.append((event_text(kind, other, rng.randrange(2)), event_key(kind, other)))
            kind = rng.choice(OBJECT_ACTIONS)
            pairs.append((event_text(kind, name, rng.randrange(2)), event_key(kind, name)))
        elif row.key.startswith("object:"):
            colour, _, shape = row.key.removeprefix("object:").partition(" ")
            other = rng.choice([n for n in names if n.startswith(colour) or n.endswith(shape)])
            pairs.append((noun(other), f"object:{other}"))
    return pairs


MOST = 100  # candidates
LACKING = 1 / 3  # share of the sets without the right answer
# Task -> kind of its candidates, where that is not the task itself.
_CANDIDATE_KINDS = {
    "action": "event",
    "moved": "event",
    "holding_anything": "held",
    "person_held": "held",
    "person_holding": "held",
}
_STATEMENTS = frozenset({"door", "lights", "person", "held", "event", "drawer", "obstacle"})
"""Kinds whose sentences may be true of one moment side by side ("the door is open", "the door
opens"): none of them serves as a wrong answer to a question of another."""
_SHORT_ANSWERS = frozenset({"yes", "no", "none"})


@dataclass(frozen=True)
class CandidateSet:
    """texts: different, at least two; right: index of the true one, -1 where it is missing."""

    texts: tuple[str, ...]
    right: int


class CandidateSets:
    """Draws sets of candidates for questions; wrong ones of other kinds come from `questions`."""

    def __init__(self, questions: Iterable[Question]) -> None:
        texts_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for question in questions:
            kind = _CANDIDATE_KINDS.get(question.task, question.task)
            for text, key in zip(question.candidates, question.keys, strict=True):
                if key not in _SHORT_ANSWERS:
                    texts_of[kind][text] = None
        self._texts = {kind: list(texts) for kind, texts in texts_of.items()}

    def draw(self, question: Question, rng: random.Random) -> CandidateSet | None:
        """One set for a question, its size log-uniform; None where there is nothing to draw from.

        Wrong candidates are the question's own; where these are too few for the size, half of the
        sets stay smaller and half are filled up with answers to questions of other kinds.
        """
        size = min(MOST, round(math.exp(rng.uniform(math.log(2), math.log(MOST)))))
        present = rng.random() >= LACKING
        wanted = size - 1 if present else size
        own = [t for t, k in zip(question.candidates, question.keys, strict=True)
               if k != question.key]  # fmt: skip
        wrong = rng.sample(own, min(wanted, len(own)))
        if len(wrong) < wanted and (len(wrong) + present < 2 or rng.random() < 0.5):
            wrong += self._others(question, wanted - len(wrong), rng)
        texts = ([question.answer] if present else []) + wrong
        texts = list(dict.fromkeys(texts))
        return CandidateSet(tuple(texts), 0 if present else -1) if len(texts) >= 2 else None

    def _others(self, question: Question, count: int, rng: random.Random) -> list[str]:
        own = _CANDIDATE_KINDS.get(question.task, question.task)
        kinds = [
            kind
            for kind in self._texts
            if kind != own and not (own in _STATEMENTS and kind in _STATEMENTS)
        ]
        # few beside the own ones as often as many
        count = rng.randint(1, min(count, 8)) if rng.random() < 0.5 else count
        return [rng.choice(self._texts[rng.choice(kinds)]) for _ in range(count)] if kinds else []
