"""The types that Cyclone DDS is told, with samples that stay raw CDR.

The IDL classes made here override `serialize` and `deserialize`, which saves Cyclone's own Python
(de)serialisers (115 ms for one 640x480 image). Cyclone still needs the true structure of every
type, because it checks incoming CDR against it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cyclonedds import idl
from cyclonedds.idl import types as _cyclone_types

from .definitions import FieldType, definition

idl_types: Any = _cyclone_types  # subscripted at run time, in ways that no checker knows


class RawSample(idl.IdlStruct):  # type: ignore[misc]
    """A sample that is its own CDR bytes. (No annotations here: Cyclone takes them for fields.)"""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self, *args: Any, **kwargs: Any) -> bytes:
        """The bytes."""
        return self.data

    @classmethod
    def deserialize(cls, data: bytes, *args: Any, **kwargs: Any) -> RawSample:
        """The sample that has these bytes."""
        return cls(data)

    deserialize_key = deserialize


_IDL_PRIMITIVES: dict[str, Any] = {
    "bool": bool,
    "string": str,
    "byte": idl_types.uint8,
    "char": idl_types.uint8,
    **{
        name: getattr(idl_types, name)
        for name in (
            *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
            "float32",
            "float64",
        )
    },
}
_REQUEST_IDENTITY = {"client_id": idl_types.uint64, "sequence_number": idl_types.int64}


def dds_type_name(name: str) -> str:
    """``pkg/msg/Name`` as ROS 2 names it in DDS: ``pkg::msg::dds_::Name_``."""
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
    raw_type: type[RawSample] = made
    return raw_type
