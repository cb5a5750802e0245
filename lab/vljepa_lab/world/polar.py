"""Yes/no questions made of statements, with both polarities: for training alone.

A model that is only ever asked "is the door open?" learns the answer to a string. Here any wording
of a state, or of its opposite, is put into one of many frames ("tell me whether ...", "is it false
that ..."), so what is asserted decides, and no word alone does. Beside these stand questions as
people write them (`texts/polar_asked.yaml`), each under the statement of which "yes" says that it
holds.

Importable without mujoco.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache

from vljepa_lab.world.wordings import UNNAMED, wordings

OPPOSITE = {
    "door:open": "door:closed",
    "lights:on": "lights:off",
    "person:yes": "person:no",
    "held": "held:nothing",
    "exists:yes": "exists:no",
}
"""Statement -> the statement that holds where it does not; `side:left` is opposed by swapping."""
OPPOSITE |= {second: first for first, second in OPPOSITE.items()}
POLAR = (*OPPOSITE, "side:left")
_DRAWN = 500  # questions made of each statement
AS_WRITTEN = 0.45  # share of the questions that are taken as they were written
_BE = ("is", "are", "can", "has", "have", "was", "were")
_NOT = ("isn't", "cannot", "hasn't", "aren't")  # inverted, these would ask for the opposite
_DO = {
    "stands": "stand", "holds": "hold", "keeps": "keep", "carries": "carry", "lies": "lie",
    "shines": "shine", "burns": "burn", "glows": "glow", "shows": "show", "sees": "see",
    "appears": "appear", "contains": "contain", "remains": "remain", "stays": "stay",
    "blocks": "block", "grasps": "grasp", "bars": "bar", "lets": "let", "gives": "give",
}  # fmt: skip
_PARTICIPLES = (
    *("ed", "en", "ut", "ne", "me", "ft", "ung", "wn", "put", "not", "just", "again", "been"),
    *("never", "left", "got", "let", "swung"),
)  # after "has": "has been opened", not "has a door"
_NO_CLAUSE = re.compile(r"^(one sees|I see|I can tell|instead|besides|in the background)|[:;]")


@dataclass(frozen=True)
class PolarQuestion:
    """A form of a question.

    Attributes:
        text: with {x}, {y} or {z} where objects are named.
        asserts: whether "yes" says that the statement it was made of holds.
    """

    text: str
    asserts: bool


@cache
def polar_questions(key: str) -> tuple[PolarQuestion, ...]:
    """Questions whether the statement `key` (one of POLAR) holds; always the same ones."""
    rng = random.Random(f"polar {key}")
    frames = wordings("statements", "polar")
    statements = _statements(key)
    clauses = [s for s in statements if _is_clause(s)]
    drawn = [PolarQuestion(inverted, True) for s in clauses if (inverted := _inverted(s))]
    named = [s for s in statements if s.startswith(("a ", "an ")) and not _is_clause(s)]
    drawn += [PolarQuestion(f.format(s=s), True) for s in named
              for f in ("is this {s}?", "do you see {s}?", "{s}?")]  # fmt: skip
    for _ in range(_DRAWN):
        asserts = rng.random() < 0.75
        frame = rng.choice(frames["asserts" if asserts else "denies"])
        drawn.append(PolarQuestion(frame.replace("{s}", rng.choice(clauses)), asserts))
    return tuple(dict.fromkeys(drawn))


def written(key: str) -> tuple[str, ...]:
    """Questions to which "yes" says that the statement `key` holds, as people wrote them."""
    return wordings("asked", "polar")[key]


def draw_written(key: str, true: bool, rng: random.Random) -> tuple[str, bool]:
    """A question of one of them, or of those that ask whether it does not hold (`key:not`).

    Returns:
        The text, and whether "yes" is right where `true` says whether it holds.
    """
    if f"{key}:not" in wordings("asked", "polar") and rng.random() < 0.5:
        key, true = f"{key}:not", not true
    return rng.choice(written(key)), true


def draw_polar(holds: str, rng: random.Random, x: str = "", y: str = "") -> tuple[str, bool]:
    """A question about the state that statement `holds` is true of, and whether "yes" is right.

    Args:
        holds: statement of POLAR that is true now.
        rng: draws polarity and wording.
        x: name of the first object without an article, where the statement has one.
        y: of the second.
    """
    if holds == "side:left":
        asked, true = holds, rng.random() < 0.5
        if not true:  # asked with the objects swapped
            x, y = y, x
    else:
        true = rng.random() < 0.5
        asked = holds if true else OPPOSITE[holds]
    if rng.random() < AS_WRITTEN:
        text, right = draw_written(asked, true, rng)
    else:
        question = rng.choice(polar_questions(asked))
        text, right = question.text, question.asserts == true
    return _filled(text, x, y, "a" if asked.startswith("exists") else "the"), right


def asked(statement: str, rng: random.Random) -> tuple[str, bool]:
    """A yes/no question made of a statement, and whether "yes" says that it holds."""
    inverted = _inverted(statement) if rng.random() < 0.4 else ""
    if inverted:
        return inverted, True
    asserts = rng.random() < 0.75
    frame = rng.choice(wordings("statements", "polar")["asserts" if asserts else "denies"])
    return frame.replace("{s}", statement), asserts


def _filled(text: str, x: str, y: str, article: str) -> str:
    def with_article(name: str) -> str:
        vowel = "n" if article == "a" and name[:1] in "aeiou" else ""
        return f"{article}{vowel} {name}"

    if x[:1] in "aeiou":
        text = text.replace("a {z}", "an {z}")
    return text.format(x=with_article(x), y=with_article(y), z=x)


@cache
def _statements(key: str) -> tuple[str, ...]:
    table = wordings("states", "wide")
    if key == "held":
        return tuple(s.format(x=name) for name in UNNAMED for s in table["held"])
    return table.get(key) or wordings("statements", "polar")[key]


def _words(statement: str) -> list[str]:
    return statement.split()


def _is_clause(statement: str) -> bool:
    if _NO_CLAUSE.search(statement):
        return False
    return any(word in (*_BE, *_NOT) or word in _DO for word in _words(statement)[1:6])


def _inverted(statement: str) -> str:
    """`the door is open` -> `is the door open?`; empty: the verb is not known or too late."""
    words = _words(statement)
    for place, word in enumerate(words[1:5], 1):
        subject, rest = words[:place], words[place + 1 :]
        if "," in " ".join(subject) or not rest or word in _NOT:
            return ""
        if word in _BE:
            if word in ("has", "have") and not rest[0].endswith(_PARTICIPLES):
                return " ".join(["does", *subject, "have", *rest]) + "?"
            return " ".join([word, *subject, *rest]) + "?"
        if word in _DO:
            return " ".join(["does", *subject, _DO[word], *rest]) + "?"
    return ""
