"""A type as DDS and other ROS nodes know it: its name, its structure, and its hash.

The IDL classes made here override `serialize` and `deserialize`, which saves Cyclone's own Python
(de)serialisers (115 ms for one 640x480 image). Cyclone still needs the true structure of every
type, because it checks incoming CDR against it.

Hashes are RIHS01 (REP-2016): the SHA-256 of a type's description as canonical JSON. rosbags has an
implementation, but hashes `char` by its own type id where rosidl takes it for uint8, which makes
every service type wrong (their event carries a `char[16]` client id).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from cyclonedds import idl
from cyclonedds.idl import types as _cyclone_types

from vljepa_ros.ros.builtin.definitions import (
    PRIMITIVES,
    Definition,
    Field,
    FieldType,
    definition,
)

idl_types: Any = _cyclone_types  # subscripted at run time, in ways that no checker knows


class RawSample(idl.IdlStruct):  # type: ignore[misc]
    """A sample that is its own CDR bytes; without annotations, which Cyclone takes for fields."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self, *args: object, **kwargs: object) -> bytes:
        """The bytes."""
        return self.data

    @classmethod
    def deserialize(cls, data: bytes, *args: object, **kwargs: object) -> RawSample:
        """The sample that has these bytes."""
        return cls(data)

    deserialize_key = deserialize


_IDL_PRIMITIVES: dict[str, Any] = {
    "bool": bool,
    "string": str,
    "byte": idl_types.uint8,
    "char": idl_types.uint8,
}
_IDL_PRIMITIVES |= {n: getattr(idl_types, n) for n in PRIMITIVES - _IDL_PRIMITIVES.keys()}
_REQUEST_IDENTITY = {"client_id": idl_types.uint64, "sequence_number": idl_types.int64}


def dds_type_name(name: str) -> str:
    """`pkg/msg/Name` as ROS 2 names it in DDS: `pkg::msg::dds_::Name_`."""
    package, kind, base = name.split("/")
    return f"{package}::{kind}::dds_::{base}_"


def ros_type_name(dds_name: str) -> str:
    """Inverse of `dds_type_name`; names of other systems stay as they are."""
    parts = dds_name.split("::")
    if len(parts) == 4 and parts[2] == "dds_":
        return f"{parts[0]}/{parts[1]}/{parts[3].rstrip('_')}"
    return dds_name


def _idl_field(kind: FieldType) -> Any:
    if kind.nested:
        element = idl_type(kind.base, False)
    elif kind.string_bound:
        element = idl_types.bounded_str[kind.string_bound]
    else:
        element = _IDL_PRIMITIVES[kind.base]
    if kind.kind == "array":
        return idl_types.array[element, kind.size]
    if kind.kind == "sequence":
        bounded = 0 < kind.size < 65536
        return idl_types.sequence[(element, kind.size) if bounded else element]
    return element


@cache
def idl_type(name: str, service: bool) -> type[RawSample]:
    """Cyclone's class of a message type; `service`: a request identity precedes the fields."""
    fields = dict(_REQUEST_IDENTITY) if service else {}
    fields.update({f.name: _idl_field(f.type) for f in definition(name).wire_fields})
    made: Any = idl.make_idl_struct(
        name.replace("/", "_"),
        dds_type_name(name).replace("::", "."),
        fields,
        dataclassify=False,
        bases=(RawSample,),
    )
    return made


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
def _nested_types(name: str) -> frozenset[str]:
    """Names of the types nested in one, at any depth."""
    inner = {field.type.base for field in definition(name).fields if field.type.nested}
    return frozenset(inner.union(*map(_nested_types, inner)))


@cache
def type_hash(name: str) -> str:
    """`RIHS01_<64 hex digits>` of a message or service type."""
    description = {
        "type_description": _describe(definition(name)),
        "referenced_type_descriptions": [
            _describe(definition(other)) for other in sorted(_nested_types(name) - {name})
        ],
    }
    return "RIHS01_" + hashlib.sha256(json.dumps(description).encode()).hexdigest()
