"""Random messages there and back, in both byte orders."""

from __future__ import annotations

import contextlib
import string
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros import ros
from vljepa_ros.ros.builtin import cdr
from vljepa_ros.ros.builtin.definitions import INTEGER_LIMITS, FieldType, definition
from vljepa_ros.ros.builtin.message import ARRAY_CODES, message_class

from .conftest import builtin_only

pytestmark = builtin_only
TYPES = [
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CameraInfo",
    "diagnostic_msgs/msg/DiagnosticArray",
    "rcl_interfaces/msg/ParameterEvent",
    "rcl_interfaces/msg/ParameterDescriptor",
    "vljepa_ros/msg/SceneEvent",
    "vljepa_ros/msg/SceneLabels",
    "vljepa_ros/srv/AnswerQuestion_Request",
    "vljepa_ros/srv/FindMoments_Response",
    "std_msgs/msg/UInt8MultiArray",
    "std_srvs/srv/Trigger_Request",
]


def element(kind: FieldType) -> st.SearchStrategy[Any]:
    if kind.nested:
        return message(kind.base)
    if kind.base in INTEGER_LIMITS:
        return st.integers(*INTEGER_LIMITS[kind.base])
    if kind.base == "float32":
        return st.floats(width=32, allow_nan=False)
    if kind.base == "float64":
        return st.floats(allow_nan=False)
    if kind.base == "bool":
        return st.booleans()
    if kind.base == "byte":
        return st.binary(min_size=1, max_size=1)
    return st.text(st.sampled_from(string.printable + "äß漢🤖"), max_size=kind.string_bound or 9)


def field(kind: FieldType) -> st.SearchStrategy[Any]:
    inner = element(FieldType(kind.base, kind.string_bound))
    if kind.kind == "scalar":
        return inner
    if kind.kind == "array":
        return st.lists(inner, min_size=kind.size, max_size=kind.size)
    return st.lists(inner, max_size=min(kind.size or 3, 3))


@st.composite
def message(draw: st.DrawFn, name: str) -> Any:
    values = {f.name: draw(field(f.type)) for f in definition(name).fields}
    return message_class(name)(**values)


def big_endian(name: str, data: bytes) -> bytes:
    """The same message in the other byte order, by Python's own knowledge of the layout."""
    out = bytearray(b"\0\0\0\0")
    payload = memoryview(data)[4:]

    def number(code: str, position: int) -> int:
        size = struct.calcsize(code)
        position = (position + size - 1) & -size
        out.extend(b"\0" * (4 + position - len(out)))
        out.extend(struct.pack(">" + code, *struct.unpack_from("<" + code, payload, position)))
        return position + size

    def one(kind: FieldType, position: int) -> int:
        if kind.nested:
            return fields(kind.base, position)
        if kind.base == "string":
            position = number("I", position)
            (size,) = struct.unpack_from("<I", payload, position - 4)
            out.extend(payload[position : position + size])
            return position + size
        code = {"bool": "?", "byte": "c"}.get(kind.base) or ARRAY_CODES[kind.base]
        return number(code, position)

    def fields(type_name: str, position: int) -> int:
        for item in definition(type_name).wire_fields:
            count = item.type.size if item.type.kind == "array" else 1
            if item.type.kind == "sequence":
                position = number("I", position)
                (count,) = struct.unpack_from("<I", payload, position - 4)
            for _ in range(count):
                position = one(FieldType(item.type.base, item.type.string_bound), position)
        return position

    fields(name, 0)
    return bytes(out)


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_there_and_back(name: str, data: st.DataObject) -> None:
    original = data.draw(message(name))
    encoded = cdr.encode(original)
    assert len(encoded) % 4 == 0
    assert cdr.decode(name, encoded) == original
    assert cdr.decode(name, big_endian(name, encoded)) == original
    prefixed = cdr.encode(original, b"\1" * 16)
    assert cdr.decode(name, prefixed, 16) == original


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(TYPES), st.binary(max_size=200))
def test_rubbish_never_raises_anything_else(name: str, rubbish: bytes) -> None:
    for head in (b"", b"\0\1\0\0", b"\0\0\0\0"):
        with contextlib.suppress(cdr.CdrError):
            cdr.decode(name, head + rubbish)


def test_a_bad_element_is_named() -> None:
    group = ros.interface("vljepa_ros/msg/VocabularyGroup")(labels=["mug"])
    group.labels.append(3)
    with pytest.raises(ros.FieldError, match=r"VocabularyGroup\.labels"):
        cdr.encode(group)


def test_what_is_read_is_a_copy() -> None:
    image = ros.interface("sensor_msgs/msg/Image")(data=b"\1\2\3")
    encoded = bytearray(cdr.encode(image))
    decoded = cdr.decode("sensor_msgs/msg/Image", encoded)
    encoded[:] = b"\xff" * len(encoded)
    assert np.array_equal(np.frombuffer(decoded.data, np.uint8), [1, 2, 3])


def test_a_long_list_of_strings_that_comes_again_is_the_same_and_a_copy() -> None:
    name = "vljepa_ros/msg/Question"
    kind = ros.interface(name)

    def sent(texts: list[str]) -> list[str]:
        found = cdr.decode(name, cdr.encode(kind(text="what?", candidates=texts)))
        return list(found.candidates)

    texts = [f"candidate {i}" for i in range(300)]
    first = cdr.decode(name, cdr.encode(kind(candidates=texts)))
    first.candidates.append("mine")
    again = cdr.decode(name, cdr.encode(kind(candidates=texts)))
    again.candidates.clear()
    assert sent(texts) == texts
    for other in (texts[:-1], [*texts[:-1], "candidate 2990"], [*texts[:-1], "candidate 298"]):
        assert sent(other) == other
        assert sent(texts) == texts


def test_text_that_is_not_utf8_does_not_lose_the_message() -> None:
    encoded = cdr.encode(ros.interface("std_msgs/msg/String")(data="abc")).replace(b"b", b"\xff")
    assert cdr.decode("std_msgs/msg/String", encoded).data == "a�c"
