"""Message classes with the semantics of rclpy's.

A class is made for each definition: keyword-only constructor, fields with ROS default values,
constants as class attributes, checks on assignment. Field types are rclpy's: `uint8[]` and
other numeric sequences are `array.array`, numeric arrays of fixed length are numpy arrays,
everything else that repeats is a list; `byte` is `bytes` of length 1 and `char` an integer.
"""

from __future__ import annotations

import array
from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vljepa_ros.ros.builtin.definitions import (
    INTEGER_LIMITS,
    Definition,
    Field,
    FieldType,
    definition,
)

# array.array codes, sized alike on every platform that Cyclone DDS supports
ARRAY_CODES = {
    "int8": "b",
    "uint8": "B",
    "char": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_PYTHON_TYPES = {"bool": bool, "byte": bytes, "string": str, "float32": float, "float64": float}


class FieldError(AssertionError, TypeError):
    """A value does not fit its field; rclpy raises AssertionError here."""


class Message:
    """Base of all message classes."""

    __slots__ = ()
    _definition: ClassVar[Definition]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: object) -> None: ...

    def __init__(self, **values: object) -> None:
        for field in self._definition.fields:
            if field.name in values:
                setattr(self, field.name, values.pop(field.name))
            else:
                setattr(self, "_" + field.name, _default(field))
        if values:
            raise FieldError(
                f"{self._definition.name} has no field {', '.join(map(repr, values))}; it has"
                f" {', '.join(f.name for f in self._definition.fields) or 'none'}"
            )

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        """Name of each field and its type, as rclpy writes it."""
        return {f.name: str(f.type).replace("/msg/", "/") for f in cls._definition.fields}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        for field in self._definition.fields:
            mine, theirs = getattr(self, "_" + field.name), getattr(other, "_" + field.name)
            if not (
                np.array_equal(mine, theirs) if isinstance(mine, np.ndarray) else mine == theirs
            ):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = self._definition.fields
        inside = ", ".join(f"{f.name}={getattr(self, '_' + f.name)!r}" for f in fields)
        return f"{self._definition.name.replace('/', '.')}({inside})"


def is_numeric_sequence(kind: FieldType) -> bool:
    """Whether values of the type are `array.array` (sequence) or numpy arrays (array)."""
    return kind.kind != "scalar" and kind.base in ARRAY_CODES


def _default(field: Field) -> Any:
    kind, value = field.type, field.default
    if kind.kind == "scalar":
        if value is not None:
            return value
        if kind.nested:
            return message_class(kind.base)()
        return b"\0" if kind.base == "byte" else _PYTHON_TYPES.get(kind.base, int)()
    if kind.base in ARRAY_CODES:
        if kind.kind == "array":
            dtype = np.dtype(ARRAY_CODES[kind.base])
            return np.zeros(kind.size, dtype) if value is None else np.array(value, dtype)
        return array.array(ARRAY_CODES[kind.base], value or ())
    if value is not None:
        return list(value)
    element = Field(field.name, FieldType(kind.base, kind.string_bound))
    return [_default(element) for _ in range(kind.size if kind.kind == "array" else 0)]


def _scalar_check(kind: FieldType) -> Callable[[Any], str | None]:
    """A function that returns what a value should be instead, or None."""
    base = kind.base
    if kind.nested:
        expected = message_class(base)
        return lambda v: None if isinstance(v, expected) else f"an instance of {base}"
    if base in INTEGER_LIMITS:
        low, high = INTEGER_LIMITS[base]

        def check_integer(value: object) -> str | None:
            if isinstance(value, int) and low <= value <= high:
                return None
            return f"an int in [{low}, {high}]"

        return check_integer
    if base == "float32":

        def check_float(value: object) -> str | None:
            if not isinstance(value, float):
                return "a float"
            finite = value - value == 0
            return None if not finite or abs(value) <= _FLOAT32_MAX else "a float in float32 range"

        return check_float
    if base == "byte":
        return lambda v: None if isinstance(v, bytes) and len(v) == 1 else "bytes of length 1"
    if kind.string_bound:
        bound = kind.string_bound
        return lambda v: (
            None
            if isinstance(v, str) and len(v.encode("utf-8", "surrogatepass")) <= bound
            else f"a str of at most {bound} bytes"
        )
    expected_type = _PYTHON_TYPES[base]
    name = expected_type.__name__
    return lambda v: None if isinstance(v, expected_type) else f"a {name}"


def _as_numeric(kind: FieldType, value: Any) -> Any:
    """`value` as the array that the field holds; raises ValueError or TypeError."""
    code = ARRAY_CODES[kind.base]
    if isinstance(value, (str, dict)):
        raise TypeError(f"{type(value).__name__} is not a sequence of numbers")
    if kind.kind == "array":
        result = np.array(value, dtype=np.dtype(code))
        if result.shape != (kind.size,):
            raise ValueError(f"shape {result.shape} is not ({kind.size},)")
        return result
    if isinstance(value, array.array) and value.typecode == code:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)) and code in "bB":
        return array.array(code, bytes(value))
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise ValueError(f"an array of shape {value.shape} is not one-dimensional")
        exact = np.can_cast(value.dtype, np.dtype(code), casting="same_kind")
        if not exact:
            raise TypeError(f"numpy dtype {value.dtype} does not fit {kind.base}")
        return array.array(code, np.ascontiguousarray(value, np.dtype(code)).tobytes())
    return array.array(code, value)


def _setter(owner: str, field: Field) -> Callable[[Message, Any], None]:
    kind, slot = field.type, "_" + field.name
    check = _scalar_check(FieldType(kind.base, kind.string_bound))

    def fail(expected: str, value: object) -> FieldError:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return FieldError(f"{owner}.{field.name} ({kind}) must be {expected}, not {shown}")

    def set_scalar(message: Message, value: object) -> None:
        wrong = check(value)
        if wrong:
            raise fail(wrong, value)
        setattr(message, slot, value)

    def set_numeric(message: Message, value: object) -> None:
        try:
            result = _as_numeric(kind, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise fail(f"a sequence of {kind.base} ({error})", value) from error
        check_bound(result)
        setattr(message, slot, result)

    def set_list(message: Message, value: object) -> None:
        if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
            raise fail("a sequence", value)
        items = list(value)
        for item in items:
            wrong = check(item)
            if wrong:
                raise fail(f"a sequence, each item {wrong}", item)
        check_bound(items)
        setattr(message, slot, items)

    def check_bound(items: Any) -> None:
        if kind.kind == "array" and len(items) != kind.size:
            raise fail(f"of length {kind.size}", f"{len(items)} items")
        if kind.size and len(items) > kind.size:
            raise fail(f"of at most {kind.size} items", f"{len(items)} items")

    if kind.kind == "scalar":
        return set_scalar
    return set_numeric if is_numeric_sequence(kind) else set_list


@cache
def message_class(name: str) -> type[Message]:
    """The class of `pkg/msg/Name` or of one half of a service. Raises UnknownInterfaceError."""
    item = definition(name)
    namespace: dict[str, Any] = {
        "__slots__": tuple("_" + f.name for f in item.fields),
        "__module__": name.rsplit("/", 1)[0].replace("/", "."),
        "__doc__": f"{name}: " + ", ".join(f"{f.type} {f.name}" for f in item.fields),
        "_definition": item,
    }
    for field in item.fields:
        namespace[field.name] = property(attrgetter("_" + field.name), _setter(name, field))
    for constant, base, value in item.constants:
        namespace[constant] = bytes([value]) if base == "byte" else value
    return type(name.split("/")[-1], (Message,), namespace)


class ServiceType:
    """What a service class has: `Request` and `Response`."""

    Request: type[Message]
    Response: type[Message]
    _service_name: str


@cache
def service_class(name: str) -> type[ServiceType]:
    """The class of `pkg/srv/Name`. Raises UnknownInterfaceError."""
    halves = {half: message_class(f"{name}_{half}") for half in ("Request", "Response")}
    return type(name.split("/")[-1], (ServiceType,), {**halves, "_service_name": name})


class ActionType:
    """What an action class has: the parts of its definition, and `Impl`, what carries them."""

    Goal: type[Message]
    Result: type[Message]
    Feedback: type[Message]

    class Impl:
        """The services and messages of an action server."""

        SendGoalService: Any
        GetResultService: Any
        CancelGoalService: Any
        FeedbackMessage: Any
        GoalStatusMessage: Any


@cache
def action_class(name: str) -> type[ActionType]:
    """The class of `pkg/action/Name`. Raises UnknownInterfaceError."""
    carriers = {
        "SendGoalService": service_class(f"{name}_SendGoal"),
        "GetResultService": service_class(f"{name}_GetResult"),
        "CancelGoalService": service_class("action_msgs/srv/CancelGoal"),
        "FeedbackMessage": message_class(f"{name}_FeedbackMessage"),
        "GoalStatusMessage": message_class("action_msgs/msg/GoalStatusArray"),
    }
    parts = {part: message_class(f"{name}_{part}") for part in ("Goal", "Result", "Feedback")}
    impl = type("Impl", (ActionType.Impl,), carriers)
    return type(name.split("/")[-1], (ActionType,), {**parts, "Impl": impl})


def interface(name: str) -> type[Any]:
    """Class of a message, service or action, as `interface('sensor_msgs/msg/Image')`.

    Raises UnknownInterfaceError if no packaged source has it.
    """
    kind, _, base = name.partition("/")[2].partition("/")
    whole = {"srv": service_class, "action": action_class}
    return whole[kind](name) if kind in whole and "_" not in base else message_class(name)
