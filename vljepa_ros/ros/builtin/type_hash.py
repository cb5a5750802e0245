"""RIHS01 type hashes (REP-2016): the SHA-256 of a type's description as canonical JSON.

rosbags has an implementation, but hashes `char` by its own type id where rosidl takes it for uint8,
which makes every service type wrong (their event carries a `char[16]` client id).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from .definitions import Definition, Field, definition, walk

# type_description_interfaces/msg/FieldType
_TYPE_IDS = {
    "nested": 1,
    "int8": 2,
    "uint8": 3,
    "int16": 4,
    "uint16": 5,
    "int32": 6,
    "uint32": 7,
    "int64": 8,
    "uint64": 9,
    "float32": 10,
    "float64": 11,
    "char": 3,
    "bool": 15,
    "byte": 16,
    "string": 17,
    "bounded string": 21,
}
_ARRAY, _BOUNDED_SEQUENCE, _SEQUENCE = 48, 96, 144


def _describe_field(field: Field) -> dict[str, Any]:
    kind = field.type
    base = "nested" if kind.nested else "bounded string" if kind.string_bound else kind.base
    offset = {"scalar": 0, "array": _ARRAY}.get(
        kind.kind, _BOUNDED_SEQUENCE if kind.size else _SEQUENCE
    )
    return {
        "name": field.name,
        "type": {
            "type_id": offset + _TYPE_IDS[base],
            "capacity": kind.size,
            "string_capacity": kind.string_bound,
            "nested_type_name": kind.base if kind.nested else "",
        },
    }


def _describe(item: Definition) -> dict[str, Any]:
    return {"type_name": item.name, "fields": [_describe_field(f) for f in item.wire_fields]}


@cache
def type_hash(name: str) -> str:
    """``RIHS01_<64 hex digits>`` of a message or service type."""
    types: dict[str, Definition] = {}
    walk(name, lambda item: types.__setitem__(item.name, item))
    description = {
        "type_description": _describe(definition(name)),
        "referenced_type_descriptions": [_describe(types[n]) for n in sorted(types) if n != name],
    }
    return "RIHS01_" + hashlib.sha256(json.dumps(description).encode()).hexdigest()
