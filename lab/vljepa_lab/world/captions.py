"""Texts of events and states with their semantic keys, and which texts are right at a moment.

Keys: `event:<kind>`, `event:<kind>:<color shape>`, `door:open`, `door:closed`, `lights:on`,
`lights:off`, `person:yes`, `person:no`, `held:nothing`, `held:<color shape>`;
`object:<color shape>`, `color:<color>`, `count:<n>`, `side:left`, `side:right`, `yes`, `no`,
`none`. Texts of equal meaning have equal keys. A key that continues another after a colon says the
same in more detail: `compatible`.

Importable without mujoco.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from vljepa_lab.world.records import (
    ACTIONS,
    COLORS,
    OBJECT_ACTIONS,
    PERSON_SEEN,
    SHAPES,
    Event,
    State,
    named,
    trained_pairs,
)
from vljepa_lab.world.wordings import ARTICLES, UNNAMED, wordings

AFTERGLOW = 2.0  # seconds after its end for which an event's text still counts as right
QUIET = 0.5  # seconds after an event from which "nothing is happening" is right as well
_UNSAID = ("person:no", "held:nothing")  # in a caption


def noun(name: str, article: str = "the") -> str:
    """'orange can', 'a' -> 'an orange can'."""
    if article == "a" and name[:1] in "aeiou":
        article = "an"
    return f"{article} {name}"


@lru_cache(maxsize=8)
def object_names(split: str) -> tuple[str, ...]:
    """Names of the objects that may be spoken of: in test_b all 80, else those trained."""
    if split == "test_b":
        return tuple(named(c, s) for c in COLORS for s in SHAPES)
    return tuple(named(c, s) for c, s in trained_pairs())


def event_key(kind: str, obj: str = "") -> str:
    """Semantic key of an event.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in ACTIONS:
        raise ValueError(f"event kind {kind!r} is unknown; allowed are {', '.join(ACTIONS)}")
    return f"event:{kind}:{obj}" if obj else f"event:{kind}"


def event_text(kind: str, obj: str = "", index: int = 0, which: str = "train") -> str:
    """One wording of an event: `index` counts through the templates, 0 is the canonical one.

    An object action without an object is worded with `an object`.
    """
    templates = wordings("events", which)[kind]
    return templates[index % len(templates)].format(x=noun(obj) if obj else UNNAMED[0])


@lru_cache(maxsize=4096)
def event_texts(kind: str, obj: str = "", which: str = "train") -> tuple[str, ...]:
    """All wordings of an event from one set (see `wordings`), the canonical one first."""
    templates = wordings("events", which)[kind]
    if kind not in OBJECT_ACTIONS:
        return templates
    names = [noun(obj, a) for a in ARTICLES] if obj else UNNAMED
    return tuple(t.format(x=n) for n in names for t in templates)


def state_keys(state: State) -> tuple[str, ...]:
    """Keys of the states that can be seen: door, lights, person, gripper; no doubtful ones."""
    keys = [f"lights:{'on' if state.lights else 'off'}"]
    if state.door_visible and not 0.1 < state.door < 0.5:
        keys.append(f"door:{'open' if state.door >= 0.5 else 'closed'}")
    if state.person_visible >= PERSON_SEEN:
        keys.append("person:yes")
    elif state.person <= 0.001:
        keys.append("person:no")
    if state.held:
        keys.append(f"held:{state.held}")
    elif state.gripper_visible:
        keys.append("held:nothing")
    return tuple(keys)


@lru_cache(maxsize=4096)
def state_texts(key: str, which: str = "train") -> tuple[str, ...]:
    """All wordings of a state from one set (see `wordings`), the canonical one first.

    Raises:
        ValueError: an unknown key.
    """
    table = wordings("states", which)
    if key in table:
        return table[key]
    kind, _, obj = key.partition(":")
    if kind not in table or not obj:
        raise ValueError(f"state key {key!r} is unknown; allowed are {', '.join(table)}")
    return tuple(t.format(x=noun(obj, a)) for a in ARTICLES for t in table[kind])


def state_text(key: str, index: int = 0, which: str = "train") -> str:
    """One wording of a state; 0 is the canonical one."""
    texts = state_texts(key, which)
    return texts[index % len(texts)]


def _right_events(events: Sequence[Event], t: float) -> list[Event]:
    return [e for e in events if e.start <= t <= e.end + AFTERGLOW]


def valid_keys(events: Sequence[Event], state: State) -> tuple[str, ...]:
    """Keys of everything that is right at the state's stamp, the newest event first.

    An event is right from its onset until AFTERGLOW seconds after its end, `event:nothing` from
    QUIET seconds after the last end on.
    """
    t = state.stamp
    keys = [event_key(e.kind, e.object) for e in reversed(_right_events(events, t))]
    if not any(e.start <= t <= e.end + QUIET for e in events):
        keys.append("event:nothing")
    return (*keys, *state_keys(state))


def valid_texts(events: Sequence[Event], state: State, unseen: bool = True) -> tuple[str, ...]:
    """Every text that is right at the state's stamp: all wordings, with and without the object.

    unseen: the never-trained wordings as well.
    """
    out: dict[str, None] = {}
    sets = ("train", "unseen") if unseen else ("train",)
    for key in valid_keys(events, state):
        kind, _, rest = key.partition(":")
        if kind == "event":
            action, _, obj = rest.partition(":")
            for name in dict.fromkeys((obj, "")):
                for which in sets:
                    out |= dict.fromkeys(event_texts(action, name, which))
        else:
            for which in sets:
                out |= dict.fromkeys(state_texts(key, which))
    return tuple(out)


def caption(state: State, rng: random.Random | None = None) -> str:
    """One true sentence about what can be seen: objects, what is held, person, door, lights."""
    names = [noun(o.name, "a") for o in state.objects if o.visible >= 0.5]
    if rng is not None:
        rng.shuffle(names)
    listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
    parts = [listed or "no objects"]
    parts += [state_text(k) for k in state_keys(state) if k not in _UNSAID]
    return "; ".join(parts)


def ground_truth(events: Sequence[Event], state: State, brief: bool = False) -> dict[str, Any]:
    """What is true at the stamp of a state: a line of `ground_truth.jsonl`.

    brief: valid_texts has the trained wordings only, each once, not with every article.
    """
    present = next((e for e in reversed(events) if e.start <= state.stamp <= e.end), None)
    texts = valid_texts(events, state, unseen=not brief)
    if brief:
        texts = tuple(t for t in texts if _is_plain(t))
    return {
        "stamp": state.stamp,
        "event": present.kind if present else "nothing",
        "object": present.object if present else "",
        "event_start": present.start if present else _quiet_since(events, state.stamp),
        "caption": caption(state),
        "valid_texts": list(texts),
        "state": state.as_dict(),
    }


def _quiet_since(events: Sequence[Event], t: float) -> float:
    return max((e.end for e in events if e.end <= t), default=0.0)


def _is_plain(text: str) -> bool:
    """Whether the text is a wording with `the` or `an object`, not one of the spare articles."""
    words = f" {text} "
    if any(f" {n} " in words for n in UNNAMED[1:]):
        return False
    key = key_of(text) or ""
    obj = key.rpartition(":")[2]
    return obj not in object_names("test_b") or f" {noun(obj, 'a')} " not in words


@lru_cache(maxsize=1)
def _keys() -> dict[str, str]:
    out: dict[str, str] = {}
    names = object_names("test_b")
    for which in ("train", "unseen"):
        for kind in ACTIONS:
            for obj in ("", *names) if kind in OBJECT_ACTIONS else ("",):
                out |= dict.fromkeys(event_texts(kind, obj, which), event_key(kind, obj))
        for kind in wordings("states"):
            for key in [f"held:{n}" for n in names] if kind == "held" else [kind]:
                out |= dict.fromkeys(state_texts(key, which), key)
    return out


def key_of(text: str) -> str | None:
    """The key of an event or state text, in any of its wordings; None where it is none of them."""
    return _keys().get(text)


def vocabulary(split: str = "train") -> dict[str, str]:
    """Canonical text -> key of every event and state that may be named in a split."""
    names = object_names(split)
    keys = [event_key(k, n) for k in OBJECT_ACTIONS for n in names]
    keys += [event_key(k) for k in ACTIONS if k not in OBJECT_ACTIONS]
    out = {event_text(k.split(":")[1], ":".join(k.split(":")[2:])): k for k in keys}
    out |= {state_text(k): k for k in wordings("states") if k != "held"}
    return out | {state_text(f"held:{n}"): f"held:{n}" for n in names}
