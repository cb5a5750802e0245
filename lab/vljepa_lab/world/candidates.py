"""Answers that a question of a task is asked with: texts beside their semantic keys.

Importable without mujoco.
"""

from __future__ import annotations

from functools import lru_cache

from vljepa_lab.world.captions import event_key, event_text, event_texts, noun, object_names
from vljepa_lab.world.records import ACTIONS, COLORS, OBJECT_ACTIONS

NUMBERS = ("zero", "one", "two", "three", "four", "five")
NUMBER_KEYS = tuple(f"count:{n}" for n in range(len(NUMBERS)))
COLOR_KEYS = tuple(f"color:{c}" for c in COLORS)
STATE_WORDS = {
    "door": (
        *(("open", "closed"), ("open", "shut"), ("opened", "shut"), ("not closed", "closed")),
        *(("wide open", "fully closed"), ("it is open", "it is closed"), ("open", "not open")),
    ),
    "lights": (
        *(("on", "off"), ("bright", "dark"), ("lit", "unlit"), ("switched on", "switched off")),
        *(("it is on", "it is off"), ("it is bright", "it is dark"), ("on", "not on")),
    ),
    "person": (
        *(("somebody", "nobody"), ("someone", "no one"), ("a person", "nobody")),
        *(("occupied", "empty"), ("present", "absent"), ("somebody is there", "nobody is there")),
    ),
    "holding_anything": (
        *(("something", "nothing"), ("an object", "nothing"), ("full", "empty")),
        *(("occupied", "free"), ("not empty", "empty"), ("it holds something", "it holds nothing")),
    ),
    "side": (
        *(("left", "right"), ("on the left", "on the right"), ("to the left", "to the right")),
        *(("left of {y}", "right of {y}"), ("further left", "further right")),
        *(("on its left", "on its right"), ("the left side", "the right side")),
    ),
}
"""Answers to a question for one of two states, as words; all but the first in wide wordings."""
Options = tuple[tuple[str, ...], tuple[str, ...]]
"""Candidates: texts and their keys."""


@lru_cache(maxsize=1)
def most_wordings() -> int:
    """How many wordings the event with the most of them has in training."""
    kinds = [kind for kind in ACTIONS if kind not in OBJECT_ACTIONS]
    return max(len(event_texts(kind, which="wide")) for kind in kinds)


@lru_cache(maxsize=256)
def event_candidates(split: str, wording: str, index: int) -> Options:
    """Every event that can happen, worded by template `index`: texts and keys."""
    pairs = [(k, n) for k in OBJECT_ACTIONS for n in object_names(split)]
    pairs += [(k, "") for k in ACTIONS if k not in OBJECT_ACTIONS]
    if wording == "wide":
        every = (event_texts(k, n, "wide") for k, n in pairs)
        texts = tuple(options[index % len(options)] for options in every)
    else:
        which = "train" if wording == "canonical" else wording
        texts = tuple(event_text(k, n, index, which) for k, n in pairs)
    return texts, tuple(event_key(k, n) for k, n in pairs)


@lru_cache(maxsize=8)
def object_candidates(split: str) -> Options:
    """Every object that may be there, and nothing: texts and keys."""
    names = object_names(split)
    return (
        ("nothing", *(noun(n) for n in names)),
        ("none", *(f"object:{n}" for n in names)),
    )
