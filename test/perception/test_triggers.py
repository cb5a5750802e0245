"""Triggers of clients: fields are checked, owners never touch one another, leases run out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.triggers import (
    MAX_TRIGGERS,
    PARAMETER,
    Owners,
    Trigger,
    TriggerError,
    checked_owner,
    checked_trigger,
    parse_triggers,
)
from vljepa_ros.perception.vocabulary import VocabularyError

CAMERAS = ("front", "rear")
GOOD = Trigger("planner", "door", ("the door is open",))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="|"), min_size=1, max_size=20).map(
    str.strip
)


def some(owner: str, *ids: str) -> list[Trigger]:
    return [replace(GOOD, owner=owner, id=name) for name in ids]


@pytest.mark.parametrize(
    ("fields", "message", "code"),
    [
        ({"id": " "}, "id of a trigger has 0 characters, allowed: 1 to 128", "BAD_REQUEST"),
        ({"id": "i" * 129}, "has 129 characters, allowed: 1 to 128", "BAD_REQUEST"),
        ({"texts": ()}, "0 texts of the trigger 'door', allowed: 1 to 16", "BAD_REQUEST"),
        ({"texts": ("a",) * 17}, "17 texts of the trigger 'door', allowed", "BAD_REQUEST"),
        ({"texts": ("a", " ")}, "has 0 characters, allowed: 1 to 512", "BAD_REQUEST"),
        ({"texts": ("a" * 513,)}, "has 513 characters, allowed: 1 to 512", "BAD_REQUEST"),
        ({"cameras": ("side",)}, "unknown camera 'side' of the trigger 'door'", "UNKNOWN_CAMERA"),
        ({"threshold": 1.0}, "threshold of the trigger 'door' is 1, allowed", "BAD_REQUEST"),
        ({"threshold": -0.1}, "is -0.1, allowed: between 0 and 1", "BAD_REQUEST"),
        ({"threshold": math.nan}, "is nan, allowed: between 0 and 1", "BAD_REQUEST"),
        ({"release": 1.5}, "release of the trigger 'door' is 1.5, allowed: 0 to 1", "BAD_REQUEST"),
        ({"release": math.nan}, "is nan, allowed: 0 to 1", "BAD_REQUEST"),
        ({"hold": -(10**9)}, "hold of the trigger 'door' is -1 s, allowed: 0", "BAD_REQUEST"),
        ({"cooldown": -1}, "cooldown of the trigger 'door' is -1e-09 s", "BAD_REQUEST"),
    ],
)
def test_a_bad_field_is_named_with_what_is_allowed(
    fields: dict[str, object], message: str, code: str
) -> None:
    with pytest.raises(TriggerError) as caught:
        checked_trigger(replace(GOOD, **fields), CAMERAS)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert caught.value.code == code


def test_a_good_trigger_loses_its_blanks_alone() -> None:
    padded = replace(GOOD, id=" door ", texts=(" the door is open", "the door is open "))
    assert checked_trigger(padded, CAMERAS) == GOOD
    full = Trigger("planner", "x", ("a", "b"), ("rear",), 0.4, 1.0, 10**9, 1, True)
    assert checked_trigger(full, CAMERAS) == full
    assert full.with_defaults(0.5, 0.8, 3) == full
    assert GOOD.with_defaults(0.5, 0.8, 3) == replace(GOOD, threshold=0.5, release=0.8, hold=3)


@pytest.mark.parametrize("owner", ["", "o" * 129, PARAMETER, " wait_for/12 "])
def test_an_owner_that_is_the_nodes_own_is_refused(owner: str) -> None:
    with pytest.raises(TriggerError, match="allowed"):
        checked_owner(owner)
    assert checked_owner(" wait_forever ") == "wait_forever"


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS.filter(bool), unique=True, max_size=8), st.floats(1 / 1024, 1023 / 1024))
def test_the_parameter_form_is_read(texts: list[str], threshold: float) -> None:
    plain = parse_triggers(texts)
    assert [(t.owner, t.id, t.texts, t.threshold) for t in plain] == [
        (PARAMETER, text, (text,), 0.0) for text in texts
    ]
    limited = parse_triggers([f"{text}|{threshold!r}" for text in texts])
    assert limited == tuple(replace(t, threshold=threshold) for t in plain)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["a", " a "], "triggers appear twice: 'a'; allowed: each text once"),
        (["a", " "], "text 1 of the triggers has 0 characters, allowed: 1 to 512"),
        (["a | 1.0"], "threshold of the trigger 'a' is '1.0', allowed: a text, or 'text | thre"),
        (["a|"], "is '', allowed"),
        (["a|nan"], "is 'nan', allowed"),
        (["a door | high"], "threshold of the trigger 'a door' is 'high', allowed"),
        ([f"t{i}" for i in range(MAX_TRIGGERS + 1)], "1001 triggers, allowed: 1 to 1000"),
    ],
)
def test_a_bad_parameter_is_refused_with_what_is_allowed(entries: list[str], message: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        parse_triggers(entries)
    assert message in str(caught.value)


@pytest.mark.parametrize("none", [[], [""]])
def test_an_empty_parameter_means_none(none: list[str]) -> None:
    assert parse_triggers(none) == ()


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "expire"]),
        st.sampled_from(["a", "b"]),
        st.sets(st.sampled_from(["x", "y", "z"])),
        st.sampled_from([1.0, 3.0, math.inf]),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(OPERATIONS)
def test_owners_never_touch_one_another(operations: list) -> None:
    """Two owners share an object; each alone in its own is the same."""
    shared, alone = Owners(), {"a": Owners(), "b": Owners()}
    now = 0.0
    for name, owner, ids, lease in operations:
        now += 1.0
        outcome = []
        for owners in (shared, alone[owner]):
            try:
                if name == "add":
                    outcome.append(owners.add(owner, some(owner, *ids), now + lease))
                elif name == "remove":
                    outcome.append(owners.remove(owner, ids))
            except TriggerError as error:
                outcome.append((error.code, str(error)))
        assert len(set(outcome)) <= 1
        if name == "expire":
            ended = shared.expire(now)
            assert sorted(ended) == sorted(o for each in alone.values() for o in each.expire(now))
        for which, owners in alone.items():
            assert shared.of(which) == owners.of(which)
    assert sorted(t.key for t in shared.triggers) == sorted(
        t.key for owners in alone.values() for t in owners.triggers
    )


def test_a_lease_is_renewed_by_any_call_and_ends_all_at_once() -> None:
    owners = Owners()
    assert owners.add("a", some("a", "x", "y"), end=10.0)
    assert not owners.add("a", some("a", "x"), end=20.0), "nothing new"
    assert not owners.add("a", (), end=30.0)
    assert owners.expire(29.9) == []
    assert owners.expire(30.0) == ["a"]
    assert owners.triggers == []
    with pytest.raises(TriggerError, match="its lease may have run out") as caught:
        owners.add("a", (), end=40.0)
    assert caught.value.code == "UNKNOWN_ID"


def test_nothing_is_removed_if_one_id_is_unknown() -> None:
    owners = Owners()
    owners.add("a", some("a", "x", "y"))
    with pytest.raises(TriggerError, match="owner 'a' has no trigger 'z'"):
        owners.remove("a", ["x", "z"])
    assert owners.remove("a", ["x"]) == 1
    assert owners.remove("a") == 1
    with pytest.raises(TriggerError, match="owner 'a' has no trigger any"):
        owners.remove("a")


def test_all_owners_together_have_a_limit() -> None:
    owners = Owners()
    owners.add("a", some("a", *map(str, range(MAX_TRIGGERS - 1))))
    with pytest.raises(TriggerError, match="1001 triggers of all owners, allowed: up to") as caught:
        owners.add("b", some("b", "x", "y"))
    assert caught.value.code == "BUSY"
    assert owners.add("b", some("b", "x"))
    with pytest.raises(TriggerError) as caught:
        owners.check_number("b", MAX_TRIGGERS + 1)
    assert caught.value.code == "BAD_REQUEST"
