"""CDR (XCDR1, plain): messages to bytes and back, in either byte order.

Layout: 4 bytes of encapsulation header (second byte: 1 little endian, 0 big endian), then the
fields, each number aligned to its own size counted from the end of that header. A service message
has 16 bytes of request identity before its fields.
"""

from __future__ import annotations

import array
import struct
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from vljepa_ros.ros.builtin.definitions import FieldType
from vljepa_ros.ros.builtin.message import (
    ARRAY_CODES,
    FieldError,
    Message,
    is_numeric_sequence,
    message_class,
)

HEADER = b"\x00\x01\x00\x00" if sys.byteorder == "little" else b"\x00\x00\x00\x00"
_NATIVE = "<" if sys.byteorder == "little" else ">"
_pack_length = struct.Struct(_NATIVE + "I").pack
_SHORT = 128  # characters of strings whose bytes are kept
_MANY = 100  # strings of a list that is kept: the same candidates come with each question
_MOST_KEPT = 1 << 20  # bytes of it
_PADDING = [b"\0" * n for n in range(8)]

Reader = Callable[[memoryview, int], "tuple[Any, int]"]
Writer = Callable[["list[Any]", int, Any], int]


class CdrError(ValueError):
    """Bytes that are not a message of the type."""


def _struct_code(base: str) -> str:
    return "?" if base == "bool" else "c" if base == "byte" else ARRAY_CODES[base]


# ---- writing: each writer appends to a list of buffers and returns the new position


def _primitive_writer(base: str) -> Writer:
    packer = struct.Struct(_NATIVE + _struct_code(base))
    size, pack = packer.size, packer.pack

    def write(parts: list[Any], position: int, value: object) -> int:
        gap = -position % size
        if gap:
            parts.append(_PADDING[gap])
        parts.append(pack(value))
        return position + gap + size

    return write


def _string(value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    return _pack_length(len(data) + 1) + data + b"\0"


# Names and labels come again with each message; counters of diagnostics fill it: 2 MB at most.
_short_string = lru_cache(2048)(_string)


def _write_string(parts: list[Any], position: int, value: str) -> int:
    data = _short_string(value) if len(value) <= _SHORT else _string(value)
    gap = -position % 4
    if gap:
        parts.append(_PADDING[gap])
    parts.append(data)
    return position + gap + len(data)


def _numeric_writer(kind: FieldType) -> Writer:
    size = array.array(ARRAY_CODES[kind.base]).itemsize
    fixed = kind.kind == "array"
    count = _primitive_writer("uint32")

    def write(parts: list[Any], position: int, value: Any) -> int:
        if not fixed:
            position = count(parts, position, len(value))
        if len(value):
            gap = -position % size
            if gap:
                parts.append(_PADDING[gap])
            parts.append(np.ascontiguousarray(value) if fixed else value)
            position += gap + size * len(value)
        return position

    return write


def _list_writer(kind: FieldType, element: Writer) -> Writer:
    fixed = kind.kind == "array"
    count = _primitive_writer("uint32")

    def write(parts: list[Any], position: int, value: Any) -> int:
        if not fixed:
            position = count(parts, position, len(value))
        for item in value:
            position = element(parts, position, item)
        return position

    return write


def _field_writer(kind: FieldType) -> Writer:
    if is_numeric_sequence(kind):
        return _numeric_writer(kind)
    if kind.nested:
        element = _message_writer(kind.base)
    else:
        element = _write_string if kind.base == "string" else _primitive_writer(kind.base)
    return element if kind.kind == "scalar" else _list_writer(kind, element)


def _numbers(slot: str, kind: FieldType) -> list[tuple[str, str]]:
    """Attribute and struct code of each number in a field, those of a nested message included.

    Empty if the size of the field varies.
    """
    if kind.kind != "scalar" or kind.base == "string":
        return []
    if not kind.nested:
        return [(slot, _struct_code(kind.base))]
    fields = message_class(kind.base)._definition.fields
    inner = [_numbers(f"{slot}._{f.name}", f.type) for f in fields]
    return [number for each in inner for number in each] if all(inner) else []


def _run_writer(numbers: list[tuple[str, str]]) -> Writer:
    """Writes fields that follow one another, numbers only, in one go."""
    get = attrgetter(*(slot for slot, _ in numbers))

    @cache
    def packer(offset: int) -> struct.Struct:
        layout, place = _NATIVE, offset
        for _, code in numbers:
            size = struct.calcsize(code)
            layout += f"{-place % size}x{code}"
            place += -place % size + size
        return struct.Struct(layout)

    def write(parts: list[Any], position: int, message: Message) -> int:
        run = packer(position % 8)
        parts.append(run.pack(*get(message)))
        return position + run.size

    return write


@cache
def _message_writer(name: str) -> Writer:
    cls = message_class(name)
    steps: list[tuple[str, Callable[[Any], Any], Writer]] = []
    fields = cls._definition.fields
    for fixed, group in groupby(fields, lambda f: bool(_numbers("_" + f.name, f.type))):
        found = list(group)
        numbers = [n for f in found if fixed for n in _numbers("_" + f.name, f.type)]
        if len(numbers) > 1:
            label = ", ".join(f.name for f in found)
            steps.append((label, lambda message: message, _run_writer(numbers)))
        else:
            steps += [(f.name, attrgetter("_" + f.name), _field_writer(f.type)) for f in found]

    def write(parts: list[Any], position: int, message: Message) -> int:
        if type(message) is not cls:
            raise FieldError(f"expected a {name}, not {type(message).__name__}")
        if not steps:
            parts.append(b"\0")
            return position + 1
        for field, get, step in steps:
            try:
                position = step(parts, position, get(message))
            except (struct.error, AttributeError, TypeError, ValueError) as error:
                if isinstance(error, FieldError):
                    raise
                raise FieldError(f"{name}.{field}: {error}") from error
        return position

    return write


def encode(message: Message, prefix: bytes = b"") -> bytes:
    """Bytes of a message, encapsulation header first, padded to a multiple of 4.

    `prefix` stands between the header and the fields (request identity of a service message; its
    length is a multiple of 8). Raises FieldError if a field holds an invalid value.
    """
    parts: list[Any] = [HEADER, prefix]
    size = _message_writer(message._definition.name)(parts, len(prefix), message)
    parts.append(_PADDING[-size % 4])
    return b"".join(parts)


# ---- reading: each reader takes the payload and a position, returns value and new position


def _primitive_reader(base: str, order: str) -> Reader:
    unpacker = struct.Struct(order + _struct_code(base))
    size, unpack = unpacker.size, unpacker.unpack_from

    def read(data: memoryview, position: int) -> tuple[Any, int]:
        position = (position + size - 1) & -size
        return unpack(data, position)[0], position + size

    return read


def _string_reader(order: str) -> Reader:
    unpack = struct.Struct(order + "I").unpack_from  # here: a question may have 1,000 strings

    def read(data: memoryview, position: int) -> tuple[str, int]:
        position = (position + 7) & -4
        (count,) = unpack(data, position - 4)
        end = position + count
        if end > len(data):
            raise CdrError(f"a string of {count} bytes at byte {position} of {len(data)}")
        # as rclpy: bytes that are not UTF-8 are replaced, they do not lose the message
        return str(data[position : end - 1 if count else end], "utf-8", "replace"), end

    return read


def _numeric_reader(kind: FieldType, order: str) -> Reader:
    code = ARRAY_CODES[kind.base]
    size = array.array(code).itemsize
    fixed = kind.kind == "array"
    length = _primitive_reader("uint32", order)

    def read(data: memoryview, position: int) -> tuple[Any, int]:
        count = kind.size
        if not fixed:
            count, position = length(data, position)
        if count:
            position = (position + size - 1) & -size
        end = position + count * size
        if end > len(data):
            raise CdrError(f"{count} values of {kind.base} at byte {position} of {len(data)}")
        # a copy, on purpose: memory that belongs to DDS must not outlive the domain
        values = array.array(code)
        values.frombytes(data[position:end])
        if order != _NATIVE:
            values.byteswap()
        return (np.frombuffer(values, np.dtype(code)) if fixed else values), end

    return read


def _list_reader(kind: FieldType, element: Reader, order: str) -> Reader:
    fixed = kind.kind == "array"
    length = _primitive_reader("uint32", order)
    strings = kind.base == "string" and not fixed
    kept: tuple[bytes, list[str]] = b"", []  # the newest long list of strings

    def read(data: memoryview, position: int) -> tuple[Any, int]:
        nonlocal kept
        count = kind.size
        if not fixed:
            count, position = length(data, position)
            if count > len(data) - position:  # no element is smaller than one byte
                raise CdrError(f"{count} items at byte {position} of {len(data)}")
        long, begin, (seen, texts) = strings and count >= _MANY, position, kept
        if long and count == len(texts) and data[begin : begin + len(seen)].tobytes() == seen:
            return texts.copy(), begin + len(seen)
        items = []
        for _ in range(count):
            item, position = element(data, position)
            items.append(item)
        if long and position - begin <= _MOST_KEPT:
            kept = data[begin:position].tobytes(), items.copy()
        return items, position

    return read


def _field_reader(kind: FieldType, order: str) -> Reader:
    if is_numeric_sequence(kind):
        return _numeric_reader(kind, order)
    if kind.nested:
        element = _message_reader(kind.base, order)
    elif kind.base == "string":
        element = _string_reader(order)
    else:
        element = _primitive_reader(kind.base, order)
    return element if kind.kind == "scalar" else _list_reader(kind, element, order)


@cache
def _message_reader(name: str, order: str) -> Reader:
    cls = message_class(name)
    steps = [("_" + f.name, _field_reader(f.type, order)) for f in cls._definition.fields]

    def read(data: memoryview, position: int) -> tuple[Any, int]:
        message = cls.__new__(cls)
        for slot, step in steps:
            value, position = step(data, position)
            setattr(message, slot, value)
        return message, position if steps else position + 1

    return read


def byte_order(data: bytes | memoryview) -> str:
    """`<` or `>`, as the encapsulation header says. Raises CdrError if it is not plain CDR."""
    if len(data) < 4 or bytes(data[:2]) not in (b"\0\0", b"\0\1"):
        raise CdrError(f"not plain CDR: begins with {bytes(data[:4]).hex(' ') or 'nothing'}")
    return "<" if data[1] else ">"


def decode(name: str, data: bytes | memoryview, offset: int = 0) -> Any:
    """Message of type `name` from bytes with encapsulation header.

    `offset` skips a service's prefix. Raises CdrError, saying what was wrong and where.
    """
    payload = memoryview(data)[4:]
    try:
        return _message_reader(name, byte_order(data))(payload, offset)[0]
    except (struct.error, OverflowError) as error:
        raise CdrError(f"{name}: {error} ({len(payload)} bytes)") from error
    except CdrError as error:
        raise CdrError(f"{name}: {error}") from error
