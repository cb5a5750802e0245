"""Definitions of message and service types: their sources and their contents.

Three sources, all of them packaged, none of them taken from the network (rosbags would execute code
generated from definitions found in a bag): the message types of ROS 2 Jazzy that rosbags ships, the
standard services in `standard_services.yaml`, and this package's own `msg/` and `srv/` text files.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from vljepa_ros.resources import share_dir

PACKAGE = "vljepa_ros"
EMPTY_FIELD = "structure_needs_at_least_one_member"  # rosidl's name for the byte in an empty type

INTEGER_LIMITS = {
    f"{prefix}int{bits}": (0, 2**bits - 1) if prefix else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for prefix in ("", "u")
    for bits in (8, 16, 32, 64)
} | {"char": (0, 255)}
PRIMITIVES = {*INTEGER_LIMITS, "bool", "byte", "float32", "float64", "string"}
# rosbags' parser drops default values; this is the one in the packages that nodes meet.
_PACKAGED_DEFAULTS = {("geometry_msgs/msg/Quaternion", "w"): 1.0}


SERVICE_TEXTS: dict[str, str] = yaml.safe_load(
    (Path(__file__).parent / "standard_services.yaml").read_text(encoding="utf-8")
)
"""The standard services as `.srv` text; rosbags ships message types only."""


class UnknownInterfaceError(LookupError):
    """The interface is in no package that this runtime knows."""


@dataclass(frozen=True)
class FieldType:
    """Type of a field: a primitive or `pkg/msg/Name`, alone, in an array or in a sequence."""

    base: str
    string_bound: int = 0  # characters, 0: unbounded
    kind: str = "scalar"  # scalar, array or sequence
    size: int = 0  # length of an array, bound of a sequence (0: unbounded)

    @property
    def nested(self) -> bool:
        """Whether `base` names another message type."""
        return "/" in self.base

    def __str__(self) -> str:
        bound = f"<={self.string_bound}" if self.string_bound else ""
        suffix = {"scalar": "", "array": f"[{self.size}]"}.get(
            self.kind, f"[<={self.size}]" if self.size else "[]"
        )
        return f"{self.base}{bound}{suffix}"


@dataclass(frozen=True)
class Field:
    """One field; `default` is None if the type's own zero value applies."""

    name: str
    type: FieldType
    default: Any = None


@dataclass(frozen=True)
class Definition:
    """A message type `pkg/msg/Name`, or half of a service, as `pkg/srv/Name_Request`."""

    name: str
    constants: tuple[tuple[str, str, Any], ...]  # name, primitive, value
    fields: tuple[Field, ...]

    @property
    def wire_fields(self) -> tuple[Field, ...]:
        """The fields as they stand on the wire, on which no type is empty."""
        return self.fields or (Field(EMPTY_FIELD, FieldType("uint8")),)


_TYPE = re.compile(r"^([A-Za-z][\w/]*)(?:<=(\d+))?(?:\[(<=)?(\d*)\])?$")


def _parse_type(text: str, package: str) -> FieldType:
    match = _TYPE.match(text)
    if match is None:
        raise ValueError(f"unknown type {text!r}")
    base, string_bound, bounded, size = match.groups()
    if base not in PRIMITIVES:
        parts = base.split("/")
        if base == "Header":
            parts = ["std_msgs", "Header"]
        elif len(parts) == 1:
            parts = [package, base]
        base = f"{parts[0]}/msg/{parts[-1]}"
    kind = "scalar" if size is None else "array" if size and not bounded else "sequence"
    return FieldType(base, int(string_bound or 0), kind, int(size or 0))


def _parse_value(text: str, base: str) -> Any:
    text = text.strip()
    if base == "bool":
        return text.lower() in ("true", "1")
    if base == "string":
        return text[1:-1] if text[:1] in "\"'" and text[-1:] == text[:1] else text
    value = ast.literal_eval(text)
    if isinstance(value, list):
        return tuple(value)
    return float(value) if base.startswith("float") else int(value)


def parse_definition(name: str, text: str) -> Definition:
    """Read the text of a `.msg` file (or one half of a `.srv`); `name` is its full name.

    Raises ValueError, naming the line, if the text is not a definition.
    """
    package = name.split("/")[0]
    constants: list[tuple[str, str, Any]] = []
    fields: list[Field] = []
    for number, line in enumerate(text.splitlines(), 1):
        code = re.sub(r"#.*", "", line).strip()
        if not code:
            continue
        try:
            type_text, rest = code.split(None, 1)
            constant = re.match(r"^([A-Z][A-Z0-9_]*)\s*=\s*(.+)$", rest)
            if constant:
                constants.append(
                    (constant[1], type_text, _parse_value(constant[2], type_text.split("<")[0]))
                )
                continue
            field_name, _, default = rest.partition(" ")
            if not re.fullmatch(r"[a-z]\w*", field_name):
                raise ValueError(f"{field_name!r} is no field name")
            field_type = _parse_type(type_text, package)
            value = _parse_value(default, field_type.base) if default.strip() else None
            fields.append(Field(field_name, field_type, value))
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{name}, line {number}: {line.strip()!r}: {error}") from error
    return Definition(name, tuple(constants), tuple(fields))


def _service_definitions(name: str, text: str) -> dict[str, Definition]:
    request, _, response = re.sub(r"(?m)^---+\s*$", "\0", text, count=1).partition("\0")
    halves = [
        parse_definition(f"{name}_Request", request),
        parse_definition(f"{name}_Response", response),
    ]
    event = Definition(
        f"{name}_Event",
        (),
        (
            Field("info", FieldType("service_msgs/msg/ServiceEventInfo")),
            Field("request", FieldType(f"{name}_Request", kind="sequence", size=1)),
            Field("response", FieldType(f"{name}_Response", kind="sequence", size=1)),
        ),
    )
    whole = Definition(
        name,
        (),
        tuple(
            Field(f"{half}_message", FieldType(f"{name}_{half.title()}"))
            for half in ("request", "response", "event")
        ),
    )
    return {d.name: d for d in (*halves, event, whole)}


def _from_rosbags(name: str, description: Any) -> Definition:
    constants, fields = description

    def field_type(node: Any) -> FieldType:
        kind, args = node
        if kind == Nodetype.BASE:
            return FieldType("byte" if args[0] == "octet" else args[0], args[1])
        if kind == Nodetype.NAME:
            return FieldType(args)
        inner, size = args
        element = field_type(inner)
        cardinality = "array" if kind == Nodetype.ARRAY else "sequence"
        return FieldType(element.base, element.string_bound, cardinality, size)

    return Definition(
        name,
        tuple((c[0], c[1], c[2]) for c in constants),
        tuple(
            Field(field, field_type(node), _PACKAGED_DEFAULTS.get((name, field)))
            for field, node in fields
            if field != EMPTY_FIELD
        ),
    )


@lru_cache(maxsize=1)
def _packaged() -> dict[str, Any]:
    return dict(get_typestore(Stores.ROS2_JAZZY).fielddefs)


@lru_cache(maxsize=1)
def _own_texts() -> dict[str, str]:
    return {
        f"{PACKAGE}/{kind}/{path.stem}": path.read_text(encoding="utf-8")
        for kind in ("msg", "srv")
        for path in sorted((share_dir() / kind).glob(f"*.{kind}"))
    }


_resolved: dict[str, Definition] = {}


def definition(name: str) -> Definition:
    """Definition of `pkg/msg/Name`, `pkg/srv/Name` or a half, `pkg/srv/Name_Request`.

    Raises UnknownInterfaceError if no packaged source has it.
    """
    if name in _resolved:
        return _resolved[name]
    if "/srv/" in name:
        service = re.sub(r"_(Request|Response|Event)$", "", name)
        text = SERVICE_TEXTS.get(service) or _own_texts().get(service)
        if text is not None:
            _resolved.update(_service_definitions(service, text))
    elif name in _own_texts():
        _resolved[name] = parse_definition(name, _own_texts()[name])
    elif name in _packaged():
        _resolved[name] = _from_rosbags(name, _packaged()[name])
    if name not in _resolved:
        raise UnknownInterfaceError(
            f"unknown interface {name!r}: the built-in ROS runtime knows {PACKAGE}, the standard"
            " message packages of ROS 2 Jazzy and their services, as 'pkg/msg/Name' or"
            " 'pkg/srv/Name'"
        )
    return _resolved[name]
