"""Long lists of candidates: every event and every object of a world, in one wording.

Importable without mujoco.
"""

from __future__ import annotations

from functools import lru_cache

from vljepa_lab.world.captions import (
    event_key,
    event_text,
    noun,
    object_names,
    wide_event_texts,
)
from vljepa_lab.world.state import ACTIONS, OBJECT_ACTIONS

Options = tuple[tuple[str, ...], tuple[str, ...]]
"""Texts and their keys."""


@lru_cache(maxsize=1)
def most_wordings() -> int:
    """How many wordings the event with the most of them has in training."""
    kinds = [kind for kind in ACTIONS if kind not in OBJECT_ACTIONS]
    return max(len(wide_event_texts(kind)) for kind in kinds)


@lru_cache(maxsize=256)
def event_candidates(split: str, wording: str, index: int) -> Options:
    """Every event that can happen, worded by template `index`: texts and keys."""
    pairs = [(k, n) for k in OBJECT_ACTIONS for n in object_names(split)]
    pairs += [(k, "") for k in ACTIONS if k not in OBJECT_ACTIONS]
    if wording == "wide":
        every = (wide_event_texts(k, n) for k, n in pairs)
        texts = tuple(options[index % len(options)] for options in every)
    else:
        texts = tuple(event_text(k, n, index, wording == "unseen") for k, n in pairs)
    return texts, tuple(event_key(k, n) for k, n in pairs)


@lru_cache(maxsize=8)
def object_candidates(split: str) -> Options:
    """Every object that may be there, and nothing: texts and keys."""
    names = object_names(split)
    return (
        ("nothing", *(noun(n) for n in names)),
        ("none", *(f"object:{n}" for n in names)),
    )
