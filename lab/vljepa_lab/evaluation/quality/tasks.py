"""Which questions of a scene count for which task.

| task | scenes | what counts |
|---|---|---|
| door, lights, person, action, event, colour | test_a | all |
| count, exists, side, holding_anything | test_a | all |
| held, moved | test_a | only where the truth is an object: "nothing" is right most of the time |
| unseen_action, unseen_states | test_a | question and candidates in wordings never trained |
| unseen_questions | test_a | questions in a user's own words: `own_words.py` |
| held_out_pairs | test_b | is a colour+shape there that was never trained? half yes, half no |
| colour_held_out_pairs | test_b | colour of an object whose colour+shape was never trained |
| decoded_event | test_a | does the Y-Decoder's text say what happens? |
| retrieval_r1, retrieval_r5 | test_a | moment of an event and three states, unseen wording |
| retrieval_events_r1, retrieval_events_r5 | test_a | by the event alone |

`calibration_rows` asks for more of what is rare, for the calibration error alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from vljepa_lab.world.questions import Question, ask, ask_held_out_pair
from vljepa_lab.world.records import CLIP_FRAMES, NEVER_TRAINED, SHAPES, Record

_WHOLE_TASKS = ("door", "lights", "person", "action", "event", "colour", "count", "exists", "side")
VQA_TASKS = (*_WHOLE_TASKS, "holding_anything", "held", "moved")
"""The mean over these is macro_vqa; the other tasks are variants of them or no questions."""
_STATES = ("door", "lights", "person")
_TEST_B = ("held_out_pairs", "colour_held_out_pairs")
CLIP_TASKS = (*VQA_TASKS, "unseen_action", "unseen_states", *_TEST_B)
UNSEEN_QUESTIONS = "unseen_questions"
RETRIEVAL = ("retrieval_r1", "retrieval_r5", "retrieval_events_r1", "retrieval_events_r5")
TASKS = (*CLIP_TASKS, UNSEEN_QUESTIONS, "decoded_event", *RETRIEVAL)
SECTIONS = {
    "labels": ("door", "lights", "person", "action", "unseen_action", "unseen_states"),
    "vqa": (*CLIP_TASKS, UNSEEN_QUESTIONS),
    "retrieval": RETRIEVAL,
    "captions": ("decoded_event",),
}
"""Names for several tasks; `events` is evaluated by itself (`vljepa eval events`)."""
_RARE = {"action": 0.12, "event": 0.12, "holding_anything": 0.35, "held": 1.0, "moved": 1.0}
"""Share of the clips between two that `draw` asks about which are asked about for calibration."""
_TWICE = ("moved",)
_EVERY = 3  # frames between two clips that are asked about: neighbours show nearly the same


def splits_of(tasks: frozenset[str]) -> tuple[str, ...]:
    """The test splits that tasks need."""
    needed = {"test_a": tasks - set(_TEST_B), "test_b": tasks & set(_TEST_B)}
    return tuple(split for split in needed if needed[split])


def draw(
    record: Record, scene: str, seed: int, tasks: frozenset[str]
) -> Iterator[tuple[int, Question]]:
    """The questions of one test scene: (frame at which the clip ends, question).

    `task` is the name in the report. The same scene and seed give the same questions, whatever
    else is evaluated.
    """
    rng = random.Random(f"{seed}/{scene}")
    first = CLIP_FRAMES - 1 + rng.randrange(_EVERY)
    for t in range(first, len(record.states), _EVERY):
        questions = _of_test_b if record.split == "test_b" else _of_test_a
        for task, question in questions(record, t, rng):
            if task in tasks:
                yield t, replace(question, task=task)


def calibration_rows(
    record: Record, scene: str, seed: int, tasks: frozenset[str]
) -> Iterator[tuple[int, Question]]:
    """Further questions of test_a of tasks that are rare: (frame at which the clip ends, question).

    About the clips that `draw` leaves out, so that there are at least 2,000 answers of each task
    in 450 scenes.
    """
    rng = random.Random(f"more {seed}/{scene}")
    first = CLIP_FRAMES - 1 + random.Random(f"{seed}/{scene}").randrange(_EVERY)
    for t in range(CLIP_FRAMES - 1, len(record.states)):
        if t >= first and (t - first) % _EVERY == 0:
            continue
        for task in _RARE:
            if task not in tasks or rng.random() >= _RARE[task]:
                continue
            for _ in range(2 if task in _TWICE else 1):
                for question in ask(record, t, rng, "train"):
                    if question.task == task and not _is_easy_nothing(question):
                        yield t, replace(question, task=task)


def wanted_tasks(names: Iterable[str]) -> frozenset[str]:
    """Tasks for names of tasks and sections; all where there are none.

    Raises:
        ValueError: an unknown name.
    """
    given = set(names)
    unknown = sorted(given - set(TASKS) - set(SECTIONS))
    if unknown:
        raise ValueError(
            f"unknown task {', '.join(unknown)}; tasks: {', '.join((*SECTIONS, *TASKS))}"
        )
    return frozenset(task for name in given for task in SECTIONS.get(name, (name,))) or frozenset(
        TASKS
    )


def training_rows(record: Record, scene: str, seed: int) -> Iterator[tuple[str, str, str]]:
    """(task, question, key of the answer) as `draw` would ask in a scene that is not tested."""
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
        if question.task in VQA_TASKS and not _is_easy_nothing(question):
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
