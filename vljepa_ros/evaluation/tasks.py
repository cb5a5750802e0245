"""Which questions of a scene count for which task.

| task | scenes | what counts |
|---|---|---|
| door, lights, person, action, event, colour, count, exists, side, holding_anything | test_a | all
| | held, moved | test_a | only where the truth is an object: "nothing" is right most of the time |
| unseen_action, unseen_states | test_a | question and candidates in wordings that are never
trained | | held_out_pairs | test_b | is a colour+shape there that was never trained? half yes,
half no | | colour_held_out_pairs | test_b | the colour of an object whose colour+shape was never
trained | | decoded_event | test_a | does the Y-Decoder's text say what happens? |
| retrieval_r1, retrieval_r5 | test_a | event texts in unseen wording to one moment each |
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from vljepa_ros.evaluation.samples import Sample
from vljepa_ros.world.questions import CLIP_FRAMES, Question, Record, ask, ask_held_out_pair
from vljepa_ros.world.state import NEVER_TRAINED, SHAPES

__all__ = ["CLIP_TASKS", "TASKS", "draw", "splits_of", "training_rows"]

_PLAIN = (
    "door",
    "lights",
    "person",
    "action",
    "event",
    "colour",
    "count",
    "exists",
    "side",
    "holding_anything",
    "held",
    "moved",
)
_STATES = ("door", "lights", "person")
_TEST_B = ("held_out_pairs", "colour_held_out_pairs")
CLIP_TASKS = (*_PLAIN, "unseen_action", "unseen_states", *_TEST_B)
TASKS = (*CLIP_TASKS, "decoded_event", "retrieval_r1", "retrieval_r5")
_EVERY = 3  # frames between two clips that are asked about: neighbours show nearly the same


def splits_of(tasks: frozenset[str]) -> tuple[str, ...]:
    """The test splits that tasks need."""
    return tuple(
        split
        for split, needed in (("test_a", tasks - set(_TEST_B)), ("test_b", tasks & set(_TEST_B)))
        if needed
    )


def draw(
    record: Record, scene: str, seed: int, tasks: frozenset[str]
) -> Iterator[tuple[int, Sample]]:
    """The questions of one test scene: (frame at which the clip ends, sample).

    The same scene and seed give the same questions, whatever else is evaluated.
    """
    rng = random.Random(f"{seed}/{scene}")
    first = CLIP_FRAMES - 1 + rng.randrange(_EVERY)
    for t in range(first, len(record.states), _EVERY):
        drawn = (
            _of_test_b(record, t, rng) if record.split == "test_b" else _of_test_a(record, t, rng)
        )
        for task, question in drawn:
            if task in tasks:
                truth = frozenset((question.key,))
                yield t, Sample(task, question.text, question.candidates, question.keys, truth)


def training_rows(record: Record, scene: str, seed: int) -> Iterator[tuple[str, str, str]]:
    """(task, question, key of the answer) of a scene that is not tested, as `draw` would ask
    there."""
    rng = random.Random(f"{seed}/{scene}")
    for t in range(CLIP_FRAMES - 1, len(record.states), _EVERY):
        for task, question in _of_test_a(record, t, rng):
            yield task, question.text, question.key
            if task == "exists":
                yield "held_out_pairs", question.text, question.key
            if task == "colour":
                yield "colour_held_out_pairs", question.text, question.key


def _of_test_a(record: Record, t: int, rng: random.Random) -> Iterator[tuple[str, Question]]:
    for question in ask(record, t, rng, "train"):
        if question.task in _PLAIN and not _is_easy_nothing(question):
            yield question.task, question
    for question in ask(record, t, rng, "unseen"):
        if question.task == "action":
            yield "unseen_action", question
        elif question.task in _STATES:
            yield "unseen_states", question


def _of_test_b(record: Record, t: int, rng: random.Random) -> Iterator[tuple[str, Question]]:
    for question in ask_held_out_pair(record, t, rng, "train"):
        yield "held_out_pairs", question
    for question in ask(record, t, rng, "train"):
        if question.task == "colour" and _names_held_out_pair(question):
            yield "colour_held_out_pairs", question


def _is_easy_nothing(question: Question) -> bool:
    return question.task in ("held", "moved") and question.key == "none"


def _names_held_out_pair(question: Question) -> bool:
    """The question names a shape that is there once, the answer is its colour."""
    shapes = [shape for shape in SHAPES if shape in question.text]
    color = question.key.removeprefix("color:")
    # `toy car` holds no other shape's name, but a wording might: the longest name is meant
    return bool(shapes) and (color, max(shapes, key=len)) in NEVER_TRAINED
