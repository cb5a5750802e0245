"""The retrieval tasks: 500 moments, each with its own text, in wordings that were never trained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.judgement import Evaluation, Moment
from vljepa_lab.evaluation.quality.report import Judged
from vljepa_lab.evaluation.quality.retrieval import (
    first_of_each,
    late_similarity,
    most_different,
    ranks,
    ranks_of,
)
from vljepa_lab.evaluation.quality.vqa import Answerer
from vljepa_lab.world.captions import event_key, event_text, state_text
from vljepa_ros.models.config import ModelConfig

MOMENTS = 500
STATES = 3  # door, lights and person must be known of a moment


def judge_retrieval(
    answerer: Answerer, config: ModelConfig, done: Evaluation, wanted: frozenset[str], seed: int
) -> None:
    """Rank moments for texts; see `retrieval.py`."""
    order = np.random.default_rng(seed).permutation(len(done.moments)).tolist()
    if wanted & {"retrieval_events_r1", "retrieval_events_r5"}:
        keys = [event_key(moment.kind, moment.name) for moment in done.moments]
        chosen = [done.moments[i] for i in first_of_each(keys, order)][:MOMENTS]
        texts = answerer.embedded(tuple(_event(moment, seed) for moment in chosen))
        placed = ranks(texts, np.stack([moment.embedding for moment in chosen]))
        _note(done, "retrieval_events", chosen, placed, wanted)
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
        _note(done, "retrieval", chosen, ranks_of(late_similarity(statements, seen)), wanted)


def _event(moment: Moment, seed: int) -> str:
    return event_text(moment.kind, moment.name, seed, "unseen")


def _statements(answerer: Answerer, moment: Moment, seed: int) -> NDArray[np.float32]:
    states = (state_text(key, seed, "unseen") for key in moment.states)
    return answerer.embedded((_event(moment, seed), *states))


def _note(
    done: Evaluation,
    name: str,
    chosen: list[Moment],
    placed: NDArray[np.int64],
    wanted: frozenset[str],
) -> None:
    for task, depth in ((f"{name}_r1", 1), (f"{name}_r5", 5)):
        if task in wanted:
            done.judged[task] = Judged(
                scenes=[moment.scene for moment in chosen],
                right=[bool(rank <= depth) for rank in placed],
                chance=min(1.0, depth / len(chosen)),
            )
