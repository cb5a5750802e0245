"""Questions, answers and valid texts follow from the state; never-trained pairs stay out."""

from __future__ import annotations

import operator
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.world import captions
from vljepa_lab.world.candidates import NUMBERS
from vljepa_lab.world.dataset import make_scene
from vljepa_lab.world.polar import asked
from vljepa_lab.world.questions import TASKS, WORDINGS, Question, ask, ask_held_out_pair
from vljepa_lab.world.records import (
    CLIP_FRAMES,
    NEVER_TRAINED,
    OBJECT_ACTIONS,
    Record,
    State,
    clip_event,
    named,
)
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.wordings import wordings

FOREIGN = [named(c, s) for c, s in NEVER_TRAINED]


def _records(split: str, scenes: int) -> list[Record]:
    renderer = Renderer(48, 48, textures=9)
    out = [Record.from_dict(make_scene(renderer, 500 + i, split)[1]) for i in range(scenes)]
    renderer.close()
    return out


@pytest.fixture(scope="module")
def trained() -> list[Record]:
    return _records("train", 8)


@pytest.fixture(scope="module")
def foreign() -> list[Record]:
    return _records("test_b", 6)


def _every_question(records: list[Record], wording: str = "train", seed: int = 0) -> list[Question]:
    rng = random.Random(seed)
    return [q for r in records for t in range(3, 24) for q in ask(r, t, rng, wording)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 7), st.integers(3, 23), st.integers(0, 2**32), st.sampled_from(WORDINGS))
def test_no_never_trained_pair_is_ever_spoken_of_in_training(
    trained: list[Record], scene: int, t: int, seed: int, wording: str
) -> None:
    for q in ask(trained[scene], t, random.Random(seed), wording):
        for text in (q.text, q.answer, q.key, *q.candidates, *q.keys):
            assert not any(pair in text for pair in FOREIGN), (q.task, text)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(3, 23), st.integers(0, 2**32), st.sampled_from(WORDINGS))
def test_the_answer_is_the_candidate_of_its_key(
    foreign: list[Record], scene: int, t: int, seed: int, wording: str
) -> None:
    record = foreign[scene]
    for q in ask(record, t, random.Random(seed), wording):
        assert q.task in TASKS
        assert len(q.candidates) == len(q.keys) == len(set(q.keys))
        assert q.candidates[q.keys.index(q.key)] == q.answer
        assert "{" not in q.text + "".join(q.candidates)


def _true_of(q: Question, record: Record, t: int, s: State) -> bool:
    """The truth of an answer, worked out from the state in another way than the asker does."""
    on_table = [o for o in s.objects if o.place == "table"]
    if q.task == "door":
        return (s.door > 0.5) == (q.key in ("yes", "door:open"))
    if q.task == "lights":
        return s.lights == (q.key in ("yes", "lights:on"))
    if q.task == "person":
        return (s.person_visible > 0) == (q.key in ("yes", "person:yes"))
    if q.task == "count":
        return q.key == f"count:{len(on_table)}"
    if q.task == "held":
        return q.answer == (f"the {s.held}" if s.held else "nothing")
    if q.task == "holding_anything":
        return bool(s.held) == (q.key == "yes")
    if q.task == "exists":
        return any(f" {o.name}" in q.text for o in s.objects) == (q.key == "yes")
    if q.task == "colour":
        return any(f"the {o.shape}" in q.text and o.color == q.answer for o in s.objects)
    if q.task in ("event", "action") and q.key != "event:nothing":
        kind, obj = q.key.split(":")[1], ":".join(q.key.split(":")[2:])
        start, end = record.states[t - 3].stamp, s.stamp
        return any(
            e.kind == kind and (not obj or e.object == obj) and e.start < end and e.end > start
            for e in record.events
        )
    return True


def test_answers_are_true(trained: list[Record], foreign: list[Record]) -> None:
    checked: Counter[str] = Counter()
    for record in (*trained, *foreign):
        rng = random.Random(3)
        for t in range(3, 24):
            for q in ask(record, t, rng):
                assert _true_of(q, record, t, record.states[t]), (q, record.states[t])
                checked[q.task] += 1
    assert all(checked[task] >= 10 for task in TASKS), checked


LIMITS = {
    "exactly": operator.eq,
    "more": operator.gt,
    "fewer": operator.lt,
    "atleast": operator.ge,
    "atmost": operator.le,
}
PHRASES = {
    "exactly": "exactly",
    "no more than": "atmost",
    "at most": "atmost",
    "more than": "more",
    "no fewer than": "atleast",
    "no less than": "atleast",
    "at least": "atleast",
    "fewer than": "fewer",
    "less than": "fewer",
}
DENIAL = re.compile(r"\b(false|wrong|untrue|violated|broken|break)\b")


def _questions_about_limits() -> dict[str, set[tuple[str, int, bool]]]:
    """Question -> relation, limit, and whether "yes" says that it holds; several are ambiguous."""
    found: dict[str, set[tuple[str, int, bool]]] = defaultdict(set)
    frames, rng = wordings("statements", "polar"), random.Random(0)
    for relation in LIMITS:
        for limit, number in enumerate(NUMBERS):
            for text in wordings("asked", "polar")[f"count:{relation}"]:
                found[text.format(n=number)].add((relation, limit, True))
            for sentence in frames.get(f"count:{relation}", ()):
                said = sentence.format(n=number)
                made = {asked(said, rng) for _ in range(9)}
                made |= {(f.replace("{s}", said), True) for f in frames["asserts"]}
                made |= {(f.replace("{s}", said), False) for f in frames["denies"]}
                for text, asserts in made:
                    found[text].add((relation, limit, asserts))
    return found


def test_answers_about_limits_are_true(trained: list[Record]) -> None:
    known, rng = _questions_about_limits(), random.Random(5)
    checked: Counter[tuple[str, bool]] = Counter()
    for record in 6 * trained:
        for t in range(CLIP_FRAMES - 1, 24):
            count = sum(o.place == "table" for o in record.states[t].objects)
            for q in ask(record, t, rng, "wide"):
                if q.task == "count" and q.keys == ("yes", "no"):
                    ((relation, limit, asserts),) = known[q.text]
                    right = LIMITS[relation](count, limit) == asserts
                    assert q.answer == q.key == ("yes" if right else "no"), (q, count)
                    checked[relation, right] += 1
    assert all(checked[relation, right] >= 5 for relation in LIMITS for right in (True, False))


def test_a_limit_in_plain_words_stands_under_its_relation() -> None:
    opposite = {"more": "atmost", "atmost": "more", "fewer": "atleast", "atleast": "fewer"}
    plain = re.compile(rf"(?<!or )\b({'|'.join(PHRASES)}) (?:just )?{{n}}")
    checked: Counter[str] = Counter()
    for relation in LIMITS:
        for text in map(str.lower, wordings("asked", "polar")[f"count:{relation}"]):
            said = plain.search(text)
            if said and not re.search(r"\. | nor ", text):  # rules, and "neither more nor fewer"
                meant, denials = PHRASES[said[1]], len(DENIAL.findall(text))
                assert (opposite[meant] if denials % 2 else meant) == relation, text
                checked[relation] += 1
    assert all(checked[relation] for relation in LIMITS), checked


def test_sides_are_those_of_the_image(trained: list[Record]) -> None:
    for record in trained:
        rng = random.Random(1)
        for t in range(3, 24):
            objects = {o.name: o.uv[0] for o in record.states[t].objects}
            for q in ask(record, t, rng, "canonical"):
                if q.task != "side":
                    continue
                a, b = sorted((n for n in objects if n in q.text), key=q.text.find)
                assert (objects[a] < objects[b]) == (q.key in ("yes", "side:left")), q.text


def test_yes_and_no_are_balanced(trained: list[Record], foreign: list[Record]) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(4):
        for q in _every_question([*trained, *foreign], seed=seed):
            counts[q.task][q.key] += 1
    for task in ("exists", "side"):
        share = counts[task]["yes"] / (counts[task]["yes"] + counts[task]["no"])
        assert 0.42 < share < 0.58, task


def test_held_out_pairs_are_asked_both_ways(foreign: list[Record], trained: list[Record]) -> None:
    rng = random.Random(0)
    asked = [q for r in foreign for t in range(3, 24) for q in ask_held_out_pair(r, t, rng)]
    assert all(any(pair in q.text for pair in FOREIGN) for q in asked)
    assert {q.key for q in asked} == {"yes", "no"}


def test_unseen_wordings_are_never_trained(trained: list[Record]) -> None:
    seen = {q.text for s in range(3) for q in _every_question(trained, "train", s)}
    unseen = {q.text for q in _every_question(trained, "unseen")}
    assert unseen
    assert not seen & unseen
    for subject in ("events", "states"):
        for key, texts in wordings(subject).items():
            assert not set(texts) & set(wordings(subject, "unseen")[key])


def test_there_are_enough_wordings_and_none_twice() -> None:
    owner: dict[str, str] = {}
    for which, least in (("train", 12), ("unseen", 4)):
        for kind, texts in wordings("events", which).items():
            assert len(texts) >= least
            for text in texts:
                assert owner.setdefault(text, kind) == kind
                assert ("{x}" in text) == (kind in OBJECT_ACTIONS), text
    assert all(len(v) >= 4 for v in wordings("questions").values())


def test_a_window_is_nothing_only_where_no_event_touches_it(trained: list[Record]) -> None:
    kinds: Counter[str | None] = Counter()
    for record in trained:
        for t in range(CLIP_FRAMES - 1, 24):
            found = clip_event(record, t)
            kinds[found.kind] += 1
            start, end = record.states[t - 3].stamp, record.states[t].stamp
            touching = [e for e in record.events if e.start < end and e.end > start]
            if found.kind == "nothing":
                assert not touching
            elif found.kind is not None:
                assert (found.kind, found.object) in {(e.kind, e.object) for e in touching}
    assert 0.05 < kinds["nothing"] / kinds.total() < 0.3


def test_valid_texts_follow_the_events(trained: list[Record]) -> None:
    """Right from the onset until two seconds after the end, and not a moment before or later."""
    for record in trained:
        for s in record.states:
            texts = set(captions.valid_texts(record.events, s))
            for e in record.events:
                others = [o for o in record.events if o is not e and o.kind == e.kind]
                if any(o.start <= s.stamp <= o.end + 2 for o in others):
                    continue
                right = e.start <= s.stamp <= e.end + 2
                for which in ("train", "unseen"):
                    for text in captions.event_texts(e.kind, e.object, which):
                        assert (text in texts) == right, (text, s.stamp, e)
            assert ("the lights are on" in texts) == s.lights
            assert not {"the door is open", "the door is closed"} <= texts
            busy = any(e.start <= s.stamp <= e.end for e in record.events)
            assert not (busy and "nothing is happening" in texts)


def test_every_text_has_the_key_it_was_made_for(trained: list[Record]) -> None:
    for text, key in captions.vocabulary("test_b").items():
        assert captions.key_of(text) == key
    s = trained[0].states[8]
    valid = captions.valid_keys(trained[0].events, s)
    for text in captions.valid_texts(trained[0].events, s):
        found = captions.key_of(text)
        assert found is not None
        # What is right may say more than the text, or less.
        keys = [(f"{found}:", f"{v}:") for v in valid]
        assert any(a.startswith(b) or b.startswith(a) for a, b in keys), text
    assert captions.key_of("the moon is made of cheese") is None


def test_unknown_wordings_frames_and_keys_are_refused(trained: list[Record]) -> None:
    with pytest.raises(ValueError, match="allowed are canonical, train, wide, unseen"):
        ask(trained[0], 5, random.Random(0), "french")
    with pytest.raises(ValueError, match="allowed are 3 to 23"):
        ask(trained[0], 2, random.Random(0))
    with pytest.raises(ValueError, match="event kind 'explode' is unknown"):
        captions.event_key("explode")
    with pytest.raises(ValueError, match="state key 'window:open' is unknown"):
        captions.state_texts("window:open")


def test_texts_need_no_mujoco() -> None:
    code = "import sys, vljepa_lab.world.questions as q; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
