"""Long lists of candidates: every event and every object of a world, in one wording.

Importable without mujoco.
"""

from __future__ import annotations

from functools import lru_cache

from vljepa_lab.world.captions import (
    event_key,
    event_text,
    event_texts,
    noun,
    object_names,
)
from vljepa_lab.world.state import ACTIONS, OBJECT_ACTIONS

Options = tuple[tuple[str, ...], tuple[str, ...]]
"""Texts and their keys."""


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
