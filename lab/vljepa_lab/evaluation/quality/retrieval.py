"""Text to moment: is the moment that a text describes among the nearest ones?

There are 501 events in the world, and 450 scenes show some 300 of them, so moments are separated
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

from vljepa_lab.evaluation.quality.figures import Evaluation, Moment, TaskAnswers
from vljepa_lab.evaluation.quality.vqa import Answerer
from vljepa_lab.world.captions import event_key, event_text, state_text
from vljepa_ros.models.config import ModelConfig

Floats = NDArray[np.float32]

MOMENTS = 500  # each with its own text, in wordings that were never trained
STATES = 3  # door, lights and person must be known of a moment


def ranks(similarity: Floats) -> NDArray[np.int64]:
    """[n] rank of the one relevant moment of each text, 1 for the best.

    Equal similarities count against it, so that a collapsed model does not look perfect.

    Args:
        similarity: [n texts, n moments]; text i describes moment i.
    """
    own = np.diagonal(similarity)[:, None]
    return np.asarray((similarity >= own).sum(axis=1), dtype=np.int64)


def late_similarity(statements: Floats, moments: Floats) -> Floats:
    """Similarities [n, m] of texts of S statements with moments of P answers.

    It is the mean of that of the first statement and that of the others.

    Args:
        statements: [n, S, D], L2 norm 1 along D.
        moments: [m, P, D], L2 norm 1 along D.
    """
    total = np.zeros((len(statements), len(moments)), np.float32)
    count = statements.shape[1]
    for statement in range(count):
        each = np.stack(
            [statements[:, statement] @ answers.T for answers in moments.swapaxes(0, 1)]
        )
        total += each.max(axis=0) / (1 if statement == 0 else count - 1)
    return total


def first_of_each(keys: Sequence[str], order: Sequence[int]) -> list[int]:
    """Indices of one entry for each different key, the first in `order`."""
    return sorted({keys[index]: index for index in reversed(order)}.values())


def most_different(
    events: Sequence[str], keys: Sequence[str], order: Sequence[int], wanted: int
) -> list[int]:
    """At most `wanted` indices with different `keys`: first one of each event, then further ones.

    Args:
        events: [n] keys of events.
        keys: [n] keys that say more than the event.
        order: indices, the preferred ones first.
        wanted: how many.
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


def judge_retrieval(
    answerer: Answerer, config: ModelConfig, done: Evaluation, wanted: frozenset[str], seed: int
) -> None:
    """Rank moments for texts; see the module."""
    order = np.random.default_rng(seed).permutation(len(done.moments)).tolist()
    if wanted & {"retrieval_events_r1", "retrieval_events_r5"}:
        keys = [event_key(moment.kind, moment.name) for moment in done.moments]
        chosen = [done.moments[i] for i in first_of_each(keys, order)][:MOMENTS]
        texts = answerer.embedded(tuple(_event(moment, seed) for moment in chosen))
        moments = np.stack([moment.embedding for moment in chosen])
        _add_task(done, "retrieval_events", chosen, ranks(texts @ moments.T), wanted)
    full = [moment for moment in done.moments if len(moment.states) == STATES]
    if wanted & {"retrieval_r1", "retrieval_r5"} and full:
        order = np.random.default_rng(seed).permutation(len(full)).tolist()
        events = [event_key(moment.kind, moment.name) for moment in full]
        keys = [" ".join((event, *m.states)) for event, m in zip(events, full, strict=True)]
        chosen = [full[i] for i in most_different(events, keys, order, MOMENTS)]
        statements = np.stack([_statements(answerer, moment, seed) for moment in chosen])
        tokens = [moment.tokens.astype(np.float32) for moment in chosen]
        prompts = list(dict.fromkeys([config.default_query, *config.vocabulary]))
        seen = np.stack([answerer.predicted(tokens, prompt) for prompt in prompts], axis=1)
        _add_task(done, "retrieval", chosen, ranks(late_similarity(statements, seen)), wanted)


def _event(moment: Moment, seed: int) -> str:
    return event_text(moment.kind, moment.name, seed, "unseen")


def _statements(answerer: Answerer, moment: Moment, seed: int) -> NDArray[np.float32]:
    states = (state_text(key, seed, "unseen") for key in moment.states)
    return answerer.embedded((_event(moment, seed), *states))


def _add_task(
    done: Evaluation,
    name: str,
    chosen: list[Moment],
    placed: NDArray[np.int64],
    wanted: frozenset[str],
) -> None:
    for task, depth in ((f"{name}_r1", 1), (f"{name}_r5", 5)):
        if task in wanted:
            done.judged[task] = TaskAnswers(
                scenes=[moment.scene for moment in chosen],
                right=[bool(rank <= depth) for rank in placed],
                chance=min(1.0, depth / len(chosen)),
            )
