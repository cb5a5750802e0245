"""Converts messages to JSON values and back, for clients without ROS.

A Time or a Duration is a number of seconds, a sequence of bytes is base64, NaN and infinite are
null. Input is checked here: Jazzy's message classes check nothing, and a value of another type ends
the process when it is serialised.
"""

from __future__ import annotations

import array
import base64
import math
import re
from functools import cache
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.topics import to_duration, to_seconds, to_stamp

_BASE = re.compile(r"(?:sequence<)?([\w/]+)")
_INTEGER = re.compile(r"(u?)int(\d+)")
_UNSAFE = re.compile("[\0\ud800-\udfff]")  # NUL ends a C string, surrogates are not valid UTF-8
_CLOCKS = ("builtin_interfaces/Time", "builtin_interfaces/Duration")
_MOST_SECONDS = 2**31 - 1
_DIGITS = 6  # of a number that is no time


@cache
def _names(kind: object) -> tuple[str, ...]:
    """Fields of a message class; none for any other class."""
    return tuple(getattr(kind, "get_fields_and_field_types", dict)())


def to_json(value: Any) -> Any:
    """Convert a message, or the value of a field, to what `json.dumps` takes."""
    if isinstance(value, (str, int)):  # the most frequent case first
        return value
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    kind: Any = type(value)
    names = _names(kind)
    if "nanosec" in names:
        return to_seconds(value)
    if names:
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, bytes) and len(value) == 1:  # the type `byte`
        return value[0]
    if isinstance(value, bytes) or getattr(value, "typecode", "") == "B":
        return base64.b64encode(value).decode()
    if isinstance(value, (list, tuple, array.array)) or hasattr(value, "tolist"):
        return [to_json(one) for one in (value.tolist() if hasattr(value, "tolist") else value)]
    return value


def from_json(kind: type[ros.Message], fields: Any, name: str = "") -> ros.Message:
    """Make a message from some of its fields; the others have their defaults.

    Args:
        kind: Class of the message.
        fields: As `json.loads` gives them.
        name: Name of the field, for errors; empty: the whole request.

    Raises:
        ValueError: A field that does not exist, or a value that it cannot hold.
    """
    types = kind.get_fields_and_field_types()
    if not isinstance(fields, dict) or fields.keys() - types.keys():
        given = sorted(fields) if isinstance(fields, dict) else fields
        raise _wrong(name or "the request", given, f"an object with {', '.join(types)}")
    message = kind()
    for field, value in fields.items():
        full, type_name = f"{name}.{field}".lstrip("."), types[field]
        match = _BASE.match(type_name)
        base = match[1] if match else type_name
        if "[" not in type_name and "sequence<" not in type_name:
            read = _read(base, value, full)
        elif isinstance(value, list):
            read = [_read(base, one, f"{full}[{at}]") for at, one in enumerate(value)]
        else:
            raise _wrong(full, value, "a list")
        try:
            setattr(message, field, read)
        except ros.FieldError as error:  # too long for its bound
            raise ValueError(str(error)) from error
    return message


def _read(base: str, value: Any, name: str) -> Any:
    """One value of a type without repetition."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if base in _CLOCKS:
        if not number or not -_MOST_SECONDS <= value <= _MOST_SECONDS:
            raise _wrong(name, value, f"seconds, up to {_MOST_SECONDS}")
        if base.endswith("Duration"):
            return to_duration(value)
        if value < 0:
            raise _wrong(name, value, "seconds since 1970")
        return to_stamp(round(value * 1e9))
    if "/" in base:
        package, _, message = base.partition("/")
        return from_json(ros.interface(f"{package}/msg/{message}"), value, name)
    if base.startswith("bool"):
        return _checked(value, isinstance(value, bool), name, "true or false")
    if base == "string":
        plain = isinstance(value, str) and not _UNSAFE.search(value)
        return _checked(value, plain, name, "a text without NUL and lone surrogates")
    if base in ("float", "double", "float32", "float64"):
        most = 3e38 if base in ("float", "float32") else 1e308
        return float(_checked(value, number and abs(value) <= most, name, "a finite number"))
    integer = _INTEGER.fullmatch(base)
    if integer is None:
        raise _wrong(name, value, f"nothing: {base} is not accepted here")
    bits = int(integer[2]) - (not integer[1])
    low, high = 0 if integer[1] else -(2**bits), 2**bits - 1
    fits = number and isinstance(value, int) and low <= value <= high
    return _checked(value, fits, name, f"a whole number, {low} to {high}")


def _checked(value: object, fits: bool, name: str, allowed: str) -> Any:
    if not fits:
        raise _wrong(name, value, allowed)
    return value


def _wrong(name: str, value: object, allowed: str) -> ValueError:
    shown = repr(value)
    return ValueError(f"{name} is {shown[:80]}, allowed: {allowed}")
