"""Definitions of message, service and action types: their sources and their contents.

Three sources, all of them packaged, none of them taken from the network (rosbags would execute code
generated from definitions found in a bag): the message types of ROS 2 Jazzy that rosbags ships, the
standard services in `standard_services.yaml`, and this package's own `msg/`, `srv/` and `action/`
text files.
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
"""Further interfaces as text, which wins; rosbags ships message types only."""


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
        """The fields on the wire, where no type is empty."""
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
                raise ValueError(f"{field_name!r} is not a field name")
            field_type = _parse_type(type_text, package)
            value = _parse_value(default, field_type.base) if default.strip() else None
            fields.append(Field(field_name, field_type, value))
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{name}, line {number}: {line.strip()!r}: {error}") from error
    return Definition(name, tuple(constants), tuple(fields))


_SEPARATOR = re.compile(r"(?m)^---+[ \t]*$")


def _sections(name: str, text: str, *parts: str) -> list[Definition]:
    """The sections of an interface's text, as `name_part` each. Raises ValueError."""
    texts = _SEPARATOR.split(text)
    if len(texts) != len(parts):
        raise ValueError(f"{name}: {len(texts)} sections between '---' lines, not {len(parts)}")
    return [parse_definition(f"{name}_{p}", t) for p, t in zip(parts, texts, strict=True)]


def _service_definitions(name: str, request: Definition, response: Definition) -> list[Definition]:
    """A service, as rosidl describes it, and what it consists of."""
    event = Definition(
        f"{name}_Event",
        (),
        (
            Field("info", FieldType("service_msgs/msg/ServiceEventInfo")),
            Field("request", FieldType(request.name, kind="sequence", size=1)),
            Field("response", FieldType(response.name, kind="sequence", size=1)),
        ),
    )
    halves = {"request_message": request, "response_message": response, "event_message": event}
    fields = tuple(Field(field, FieldType(half.name)) for field, half in halves.items())
    return [request, response, event, Definition(name, (), fields)]


def _action_definitions(name: str, text: str) -> list[Definition]:
    """An action, as rosidl describes it, with the services and the message that carry its parts."""
    goal_id = Field("goal_id", FieldType("unique_identifier_msgs/msg/UUID"))
    parts = _sections(name, text, "Goal", "Result", "Feedback")
    goal, result, feedback = (
        Field(p.name.rpartition("_")[2].lower(), FieldType(p.name)) for p in parts
    )

    def service(
        base: str, request: tuple[Field, ...], response: tuple[Field, ...]
    ) -> list[Definition]:
        return _service_definitions(
            f"{name}_{base}",
            Definition(f"{name}_{base}_Request", (), (goal_id, *request)),
            Definition(f"{name}_{base}_Response", (), response),
        )

    stamp = Field("stamp", FieldType("builtin_interfaces/msg/Time"))
    made = [
        *service("SendGoal", (goal,), (Field("accepted", FieldType("bool")), stamp)),
        *service("GetResult", (), (Field("status", FieldType("int8")), result)),
        Definition(f"{name}_FeedbackMessage", (), (goal_id, feedback)),
    ]
    whole = (
        *(goal, result, feedback),
        Field("send_goal_service", FieldType(f"{name}_SendGoal")),
        Field("get_result_service", FieldType(f"{name}_GetResult")),
        Field("feedback_message", FieldType(f"{name}_FeedbackMessage")),
    )
    return [*parts, *made, Definition(name, (), whole)]


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
        for kind in ("msg", "srv", "action")
        for path in sorted((share_dir() / kind).glob(f"*.{kind}"))
    }


_resolved: dict[str, Definition] = {}


def _find(name: str) -> list[Definition]:
    """The definition of `name` and those of its parts; empty if no source has it."""
    folder, _, base = name.rpartition("/")
    whole = f"{folder}/{base.partition('_')[0]}"
    text = SERVICE_TEXTS.get(whole) or _own_texts().get(whole)
    if text is not None and folder.endswith("/srv"):
        return _service_definitions(whole, *_sections(whole, text, "Request", "Response"))
    if text is not None and folder.endswith("/action"):
        return _action_definitions(whole, text)
    if text is not None:
        return [parse_definition(whole, text)]
    return [_from_rosbags(name, _packaged()[name])] if name in _packaged() else []


def definition(name: str) -> Definition:
    """Definition of `pkg/msg/Name`, `pkg/srv/Name`, `pkg/action/Name`, or of a part of one.

    Parts are named as in rosidl: `pkg/srv/Name_Request`, `pkg/action/Name_SendGoal_Request`.
    Raises UnknownInterfaceError if no packaged source has it.
    """
    if name not in _resolved:
        _resolved.update((found.name, found) for found in _find(name))
    if name not in _resolved:
        raise UnknownInterfaceError(
            f"unknown interface {name!r}: the built-in ROS runtime knows {PACKAGE}, the standard"
            " message packages of ROS 2 Jazzy and their services, as 'pkg/msg/Name',"
            " 'pkg/srv/Name' or 'pkg/action/Name'"
        )
    return _resolved[name]
