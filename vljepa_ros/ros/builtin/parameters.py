"""Parameters: values, types, ranges, and what is raised about them, as in rclpy."""

from __future__ import annotations

import array
import enum
from dataclasses import dataclass
from typing import Any

from vljepa_ros.ros.builtin.message import Message, message_class

ParameterValue = message_class("rcl_interfaces/msg/ParameterValue")
ParameterDescriptor = message_class("rcl_interfaces/msg/ParameterDescriptor")
FloatingPointRange = message_class("rcl_interfaces/msg/FloatingPointRange")
IntegerRange = message_class("rcl_interfaces/msg/IntegerRange")
SetParametersResult = message_class("rcl_interfaces/msg/SetParametersResult")
ParameterEvent = message_class("rcl_interfaces/msg/ParameterEvent")
_ParameterMessage = message_class("rcl_interfaces/msg/Parameter")


_SCALARS: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"),
    (int, "INTEGER"),
    (float, "DOUBLE"),
    (str, "STRING"),
)


class ParameterException(Exception):  # noqa: N818 - rclpy's name, as those that follow
    """Base of what parameters raise."""


class ParameterNotDeclaredException(ParameterException):
    """The parameter was not declared."""


class ParameterAlreadyDeclaredException(ParameterException):
    """The parameter was declared before."""


class ParameterUninitializedException(ParameterException):
    """The parameter has a type, but no value was given."""


class InvalidParameterTypeException(ParameterException):
    """The value's type is not the parameter's."""


class InvalidParameterValueException(ParameterException):
    """The value was refused, by a range or by a callback."""


@dataclass(frozen=True, init=False, repr=False)
class Parameter:
    """A name, a type and a value; arrays are lists."""

    name: str
    type_: Parameter.Type
    value: Any

    class Type(enum.Enum):
        """Type of a value, with the numbers of `rcl_interfaces/msg/ParameterType`."""

        NOT_SET = 0
        BOOL = 1
        INTEGER = 2
        DOUBLE = 3
        STRING = 4
        BYTE_ARRAY = 5
        BOOL_ARRAY = 6
        INTEGER_ARRAY = 7
        DOUBLE_ARRAY = 8
        STRING_ARRAY = 9

        @property
        def field(self) -> str:
            """Field of `rcl_interfaces/msg/ParameterValue` that holds a value of this type."""
            return f"{self.name.lower()}_value"

        @classmethod
        def from_parameter_value(cls, value: object) -> Parameter.Type:
            """The type that a Python value stands for. Raises TypeError."""
            if value is None:
                return cls.NOT_SET
            for python_type, name in _SCALARS:
                if isinstance(value, python_type):
                    return cls[name]
            if isinstance(value, array.array):
                return cls.DOUBLE_ARRAY if value.typecode in "fd" else cls.INTEGER_ARRAY
            if isinstance(value, (list, tuple)):
                # in rclpy's order: an empty list is a byte array
                for python_type, name in ((bytes, "BYTE"), *_SCALARS):
                    if all(type(v) is python_type for v in value):
                        return cls[f"{name}_ARRAY"]
            raise TypeError(
                f"{value!r} is not a parameter value: bool, int, float, str or a list of one type"
            )

        def check(self, value: object) -> bool:
            """Whether `value` is of this type."""
            try:
                found = Parameter.Type.from_parameter_value(value)
            except TypeError:
                return False
            return found == self or (
                isinstance(value, (list, tuple)) and not value and self.value >= 5
            )

    def __init__(self, name: str, type_: Parameter.Type | None = None, value: Any = None) -> None:
        if not name:
            raise ValueError("a parameter's name is not empty")
        kind = Parameter.Type.from_parameter_value(value) if type_ is None else type_
        if not kind.check(value):
            raise ValueError(f"parameter {name}: {value!r} is not of type {kind.name}")
        is_array = isinstance(value, (list, tuple, array.array))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "type_", kind)
        object.__setattr__(self, "value", list(value) if is_array else value)

    def get_parameter_value(self) -> Message:
        """As `rcl_interfaces/msg/ParameterValue`."""
        message = ParameterValue(type=self.type_.value)
        if self.type_ != Parameter.Type.NOT_SET:
            setattr(message, self.type_.field, self.value)
        return message

    def to_parameter_msg(self) -> Message:
        """As `rcl_interfaces/msg/Parameter`."""
        return _ParameterMessage(name=self.name, value=self.get_parameter_value())

    @classmethod
    def from_parameter_msg(cls, message: Message) -> Parameter:
        """From `rcl_interfaces/msg/Parameter`. Raises ValueError for an unknown type."""
        kind = Parameter.Type(message.value.type)
        return cls(message.name, kind, getattr(message.value, kind.field, None))

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {self.type_.name}, {self.value!r})"


def range_violation(parameter: Parameter, descriptor: Message) -> str | None:
    """Why a value is not in its descriptor's range, or None."""
    value = parameter.value
    if parameter.type_ == Parameter.Type.DOUBLE:
        ranges = descriptor.floating_point_range
    elif parameter.type_ == Parameter.Type.INTEGER:
        ranges = descriptor.integer_range
    else:
        return None
    for limits in ranges:
        low, high, step = limits.from_value, limits.to_value, limits.step
        if not low <= value <= high:
            return f"{parameter.name}: {value} is not in [{low}, {high}]"
        if isinstance(value, int):
            off_grid = step and (value - low) % step
        else:
            steps = (value - low) / step if step else 0.0
            off_grid = abs(steps - round(steps)) > 1e-6
        if off_grid and value != high:
            return f"{parameter.name}: {value} is not a multiple of {step} above {low}"
    return None
