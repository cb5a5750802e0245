"""Text to moment: is the moment that a text tells of among the nearest ones?

There are 501 events in the world, and 450 scenes show some 300 of them, so moments are told apart
by the event *and* by what was true beside it: "the red mug rolls away; the door stands open; the
lights are on; no one is around". All four statements are known of each moment, so two moments with
different keys never fit the same text.

A text of several statements is compared statement by statement: each with the nearest of the
moment's answers to the model's own prompts (those of its labels and the default query), and the
similarities are added; the first statement, which says what happens, counts as much as all that
is true beside it (three times as much as each; on validation scenes two to four are equally good,
one is worse). Nothing says which statement belongs to which prompt. Khattab and Zaharia 2020,
"ColBERT", section 3.3, call this late interaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def ranks(texts: Floats, moments: Floats) -> NDArray[np.int64]:
    """Rank of the one relevant moment of each text, 1 for the best.

    :param texts: [n, D] float32, L2 norm 1; text i tells of moment i.
    :param moments: [n, D] float32, L2 norm 1.
    :return: [n] ranks, 1..n.
    :raises ValueError: shapes that differ, or nothing to rank.
    """
    if texts.shape != moments.shape or texts.ndim != 2 or len(texts) == 0:
        raise ValueError(f"texts {texts.shape} and moments {moments.shape}: equal [n, D], n > 0")
    return ranks_of(texts @ moments.T)


def ranks_of(similarity: Floats) -> NDArray[np.int64]:
    """As `ranks`, of similarities [n texts, n moments].

    Equal similarities count against it, so that a collapsed model does not look perfect.
    """
    own = np.diagonal(similarity)[:, None]
    return np.asarray((similarity >= own).sum(axis=1), dtype=np.int64)


def late_similarity(statements: Floats, moments: Floats) -> Floats:
    """Similarities [n, m] of texts of S statements with moments of P answers: that of the first
    statement and the mean of the others.

    :param statements: [n, S, D]. moments: [m, P, D]; both of norm 1 along D.
    """
    total = np.zeros((len(statements), len(moments)), np.float32)
    count = statements.shape[1]
    for statement in range(count):
        each = np.stack([statements[:, statement] @ moments[:, p].T
                         for p in range(moments.shape[1])])  # fmt: skip
        total += each.max(axis=0) / (1 if statement == 0 else count - 1)
    return total


def first_of_each(keys: Sequence[str], order: Sequence[int]) -> list[int]:
    """Indices of one entry for each different key, the first in `order`."""
    chosen: dict[str, int] = {}
    for index in order:
        chosen.setdefault(keys[index], index)
    return sorted(chosen.values())


def most_different(
    events: Sequence[str], keys: Sequence[str], order: Sequence[int], wanted: int
) -> list[int]:
    """At most `wanted` indices with different `keys`: first one of each event, then further ones.

    :param events, keys: [n]; a key says more than the event.
    """
    chosen: dict[str, int] = {}
    seen: set[str] = set()
    for index in order:
        if events[index] not in seen:
            seen.add(events[index])
            chosen[keys[index]] = index
    for index in order:
        if len(chosen) < wanted:
            chosen.setdefault(keys[index], index)
    return sorted(list(chosen.values())[:wanted])
