"""Messages as JSON: there and back, and nothing that a field cannot hold."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vljepa_ros import ros
from vljepa_ros.nodes.message_json import from_json, to_json

TRIGGERS = ros.interface("vljepa_ros/srv/AddTriggers").Request
FIND = ros.interface("vljepa_ros/srv/FindMoments").Request
TEACH = ros.interface("vljepa_ros/srv/Teach").Request
ASK = ros.interface("vljepa_ros/srv/AnswerQuestion").Request
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def test_a_request_with_all_kinds_of_fields() -> None:
    trigger = {"id": "a", "texts": ["ä", "b"], "threshold": 1, "hold": 1.5}
    request = from_json(TRIGGERS, {"owner": "me", "lease": 2, "triggers": [trigger]})
    assert (request.lease.sec, request.triggers[0].hold.nanosec) == (2, 500_000_000)
    assert list(request.triggers[0].texts) == ["ä", "b"]
    assert request.triggers[0].threshold == 1.0
    found = from_json(FIND, {"text": "x", "thumbnails": True, "start": 1.25})
    assert (found.limit, found.start.sec, found.start.nanosec) == (10, 1, 250_000_000)


def test_there_and_back() -> None:
    fields = {"owner": "me", "lease": 2.5, "triggers": [{"id": "a", "texts": ["b"]}]}
    there = to_json(from_json(TRIGGERS, fields))
    assert json.loads(json.dumps(there, allow_nan=False)) == there
    assert to_json(from_json(TRIGGERS, there)) == there


def test_what_json_lacks() -> None:
    image = ros.interface("sensor_msgs/msg/CompressedImage")(data=b"\x00\xff")
    assert base64.b64decode(to_json(image)["data"]) == b"\x00\xff"
    assert to_json(ros.interface("vljepa_ros/msg/TriggerStatus")(score=math.nan))["score"] is None
    assert to_json(ros.interface("vljepa_ros/msg/Answer")(scores=[0.25]))["scores"] == [0.25]
    status = ros.interface("diagnostic_msgs/msg/DiagnosticStatus")
    assert to_json(status(level=status.ERROR))["level"] == 2


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        (TRIGGERS, [], "the request"),
        (TRIGGERS, {"nothing": 1}, "nothing"),
        (TRIGGERS, {"owner": 1}, "owner is 1"),
        (TRIGGERS, {"owner": "a\0b"}, "owner"),
        (TRIGGERS, {"owner": "\ud800"}, "owner"),
        (TRIGGERS, {"lease": "1"}, "lease"),
        (TRIGGERS, {"lease": math.inf}, "lease"),
        (TRIGGERS, {"triggers": {}}, "triggers"),
        (TRIGGERS, {"triggers": [{"texts": [1]}]}, r"triggers\[0\].texts\[0\]"),
        (TRIGGERS, {"triggers": [{"threshold": math.nan}]}, "threshold"),
        (TRIGGERS, {"triggers": [{"threshold": 1e39}]}, "threshold"),
        (FIND, {"limit": -1}, "limit is -1, allowed: a whole number, 0 to 4294967295"),
        (FIND, {"limit": True}, "limit"),
        (FIND, {"limit": 1.5}, "limit"),
        (FIND, {"start": -1}, "start"),
        (FIND, {"thumbnails": 1}, "thumbnails"),
        (TEACH, {"operation": 256}, "operation"),
    ],
)
def test_a_value_that_does_not_fit_is_named(kind: Any, fields: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        from_json(kind, fields)


@given(st.sampled_from([TRIGGERS, FIND, TEACH, ASK]), st.data())
def test_whatever_is_given_makes_a_message_or_an_error(kind: Any, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(kind.get_fields_and_field_types()))
    fields = data.draw(ANY | st.dictionaries(names, ANY, max_size=3))
    try:
        made = from_json(kind, fields)
    except ValueError:
        return
    assert json.dumps(to_json(made), allow_nan=False)
