"""Parameters of a node: values, types, descriptors, ranges, and callbacks that may refuse."""

from __future__ import annotations

import array
import copy
import enum
from collections.abc import Callable, Iterable
from typing import Any

from .errors import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from .message import Message, message_class

ParameterType = message_class("rcl_interfaces/msg/ParameterType")
ParameterValue = message_class("rcl_interfaces/msg/ParameterValue")
ParameterDescriptor = message_class("rcl_interfaces/msg/ParameterDescriptor")
FloatingPointRange = message_class("rcl_interfaces/msg/FloatingPointRange")
IntegerRange = message_class("rcl_interfaces/msg/IntegerRange")
SetParametersResult = message_class("rcl_interfaces/msg/SetParametersResult")
ParameterEvent = message_class("rcl_interfaces/msg/ParameterEvent")
_ParameterMessage = message_class("rcl_interfaces/msg/Parameter")

SetCallback = Callable[["list[Parameter]"], Any]


class Parameter:
    """A name, a type and a value."""

    class Type(enum.Enum):
        """Type of a value, with the numbers of ``rcl_interfaces/msg/ParameterType``."""

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

        @classmethod
        def from_parameter_value(cls, value: Any) -> Parameter.Type:
            """The type that a Python value stands for. Raises TypeError."""
            for scalar, kind in _SCALARS:
                if isinstance(value, scalar):
                    return kind
            if isinstance(value, array.array):
                return cls.DOUBLE_ARRAY if value.typecode in "fd" else cls.INTEGER_ARRAY
            if isinstance(value, (list, tuple)):
                for element, kind in _ARRAYS:
                    if all(type(v) is element for v in value):
                        return kind
            raise TypeError(
                f"{value!r} is no parameter value: bool, int, float, str or a list of one of these"
            )

        def check(self, value: Any) -> bool:
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
        self._name, self._type = name, kind
        is_array = isinstance(value, (list, tuple, array.array))
        self._value = list(value) if is_array else value

    name = property(lambda self: self._name, doc="Name.")
    type_ = property(lambda self: self._type, doc="Type.")
    value = property(lambda self: self._value, doc="Value; arrays are lists.")

    def get_parameter_value(self) -> Any:
        """As ``rcl_interfaces/msg/ParameterValue``."""
        message = ParameterValue(type=self._type.value)
        if self._type != Parameter.Type.NOT_SET:
            setattr(message, _VALUE_FIELDS[self._type.value], self._value)
        return message

    def to_parameter_msg(self) -> Any:
        """As ``rcl_interfaces/msg/Parameter``."""
        return _ParameterMessage(name=self._name, value=self.get_parameter_value())

    @classmethod
    def from_parameter_msg(cls, message: Any) -> Parameter:
        """From ``rcl_interfaces/msg/Parameter``. Raises ValueError for an unknown type."""
        kind = Parameter.Type(message.value.type)
        if kind == Parameter.Type.NOT_SET:
            return cls(message.name, kind)
        return cls(message.name, kind, getattr(message.value, _VALUE_FIELDS[kind.value]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameter):
            return NotImplemented
        return (self._name, self._type, self._value) == (other._name, other._type, other._value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Parameter({self._name!r}, {self._type.name}, {self._value!r})"


_SCALARS = (
    (type(None), Parameter.Type.NOT_SET),
    (bool, Parameter.Type.BOOL),
    (int, Parameter.Type.INTEGER),
    (float, Parameter.Type.DOUBLE),
    (str, Parameter.Type.STRING),
)
_ARRAYS = (  # in rclpy's order: an empty list is a byte array
    (bytes, Parameter.Type.BYTE_ARRAY),
    (bool, Parameter.Type.BOOL_ARRAY),
    (int, Parameter.Type.INTEGER_ARRAY),
    (float, Parameter.Type.DOUBLE_ARRAY),
    (str, Parameter.Type.STRING_ARRAY),
)
_VALUE_FIELDS = {
    1: "bool_value",
    2: "integer_value",
    3: "double_value",
    4: "string_value",
    5: "byte_array_value",
    6: "bool_array_value",
    7: "integer_array_value",
    8: "double_array_value",
    9: "string_array_value",
}
PARAMETER_SEPARATOR_STRING = "."


def _outside_range(parameter: Parameter, descriptor: Any) -> str | None:
    """Why a value is not in its descriptor's range, or None."""
    value = parameter.value
    for limits in descriptor.floating_point_range:
        if parameter.type_ == Parameter.Type.DOUBLE:
            low, high = limits.from_value, limits.to_value
            if not low <= value <= high:
                return f"{parameter.name}: {value} is not in [{low}, {high}]"
            steps = (value - low) / limits.step if limits.step else 0.0
            if abs(steps - round(steps)) > 1e-6 and value != high:
                return f"{parameter.name}: {value} is not a multiple of {limits.step} above {low}"
    for limits in descriptor.integer_range:
        if parameter.type_ == Parameter.Type.INTEGER:
            low, high = limits.from_value, limits.to_value
            if not low <= value <= high:
                return f"{parameter.name}: {value} is not in [{low}, {high}]"
            if limits.step and (value - low) % limits.step and value != high:
                return f"{parameter.name}: {value} is not a multiple of {limits.step} above {low}"
    return None


class ParameterSet:
    """The parameters of one node."""

    def __init__(
        self, overrides: dict[str, Any], allow_undeclared: bool, publish: Callable[[Any], None]
    ) -> None:
        self.values: dict[str, Parameter] = {}
        self.descriptors: dict[str, Any] = {}
        self.overrides, self.allow_undeclared, self._publish = overrides, allow_undeclared, publish
        self.pre_set: list[Callable[[list[Parameter]], list[Parameter]]] = []
        self.on_set: list[SetCallback] = []
        self.post_set: list[Callable[[list[Parameter]], None]] = []

    def declare(self, name: str, value: Any, descriptor: Any, ignore_override: bool) -> Parameter:
        """Declare one; returns it with the value it has. Raises what rclpy raises."""
        if name in self.values:
            raise ParameterAlreadyDeclaredException(f"parameter {name!r} is already declared")
        if isinstance(value, Message):
            if descriptor is not None and not isinstance(value, ParameterValue):
                raise TypeError("declare_parameter(name, value, descriptor)")
            descriptor, value = value, None
        descriptor = copy.copy(descriptor) if descriptor is not None else ParameterDescriptor()
        static_type = None
        if isinstance(value, Parameter.Type):
            static_type, value = value, None
        elif value is not None:
            static_type = Parameter.Type.from_parameter_value(value)
        descriptor.name = name
        if descriptor.dynamic_typing:
            static_type = None
        elif static_type is None and descriptor.type:
            static_type = Parameter.Type(descriptor.type)
        if not ignore_override and name in self.overrides:
            value = self.overrides[name]
        parameter = self._typed(name, static_type, value)
        descriptor.type = (static_type or parameter.type_).value
        wrong = _outside_range(parameter, descriptor)
        if wrong:
            raise InvalidParameterValueException(wrong)
        if parameter.type_ != Parameter.Type.NOT_SET:
            for callback in self.on_set:
                result = callback([parameter])
                if not result.successful:
                    raise InvalidParameterValueException(
                        f"{name}: {parameter.value!r} was refused: {result.reason}"
                    )
        self.values[name], self.descriptors[name] = parameter, descriptor
        if parameter.type_ != Parameter.Type.NOT_SET:
            self._publish(ParameterEvent(new_parameters=[parameter.to_parameter_msg()]))
        return parameter

    @staticmethod
    def _typed(name: str, static_type: Parameter.Type | None, value: Any) -> Parameter:
        if value is None:
            return Parameter(name, Parameter.Type.NOT_SET)
        try:
            return Parameter(name, static_type, value)
        except (TypeError, ValueError) as error:
            expected = static_type.name if static_type else "a parameter type"
            raise InvalidParameterTypeException(
                f"parameter {name!r}: {value!r} is not {expected}"
            ) from error

    def undeclare(self, name: str) -> None:
        """Forget one. Raises ParameterNotDeclaredException, ParameterImmutableException."""
        if name not in self.values:
            raise ParameterNotDeclaredException(f"parameter {name!r} is not declared")
        if self.descriptors[name].read_only:
            raise ParameterImmutableException(f"parameter {name!r} is read-only")
        gone = self.values.pop(name)
        del self.descriptors[name]
        self._publish(ParameterEvent(deleted_parameters=[gone.to_parameter_msg()]))

    def get(self, name: str) -> Parameter:
        """One. Raises ParameterNotDeclaredException, ParameterUninitializedException."""
        if name in self.values:
            parameter = self.values[name]
            if (
                parameter.type_ == Parameter.Type.NOT_SET
                and not self.descriptors[name].dynamic_typing
            ):
                raise ParameterUninitializedException(
                    f"parameter {name!r} has no value; give it one in a parameter file or with -p"
                )
            return parameter
        if self.allow_undeclared:
            return Parameter(name, Parameter.Type.NOT_SET)
        raise ParameterNotDeclaredException(f"parameter {name!r} is not declared")

    def describe(self, name: str) -> Any:
        """Its descriptor. Raises ParameterNotDeclaredException."""
        if name in self.descriptors:
            return self.descriptors[name]
        if self.allow_undeclared:
            return ParameterDescriptor(name=name)
        raise ParameterNotDeclaredException(f"parameter {name!r} is not declared")

    def _refusal(self, parameter: Parameter) -> str | None:
        """Why a value cannot be set, or None. Raises ParameterNotDeclaredException."""
        if parameter.name not in self.values:
            if self.allow_undeclared:
                return None
            raise ParameterNotDeclaredException(f"parameter {parameter.name!r} is not declared")
        descriptor = self.descriptors[parameter.name]
        if descriptor.read_only:
            return f"parameter {parameter.name!r} is read-only"
        if not descriptor.dynamic_typing and descriptor.type not in (0, parameter.type_.value):
            expected = Parameter.Type(descriptor.type).name
            return f"parameter {parameter.name!r} is of type {expected}, not {parameter.type_.name}"
        return _outside_range(parameter, descriptor)

    def set_atomically(self, parameters: Iterable[Parameter]) -> Any:
        """Set all or none; a SetParametersResult. Raises ParameterNotDeclaredException."""
        wanted = list(parameters)
        for change in self.pre_set:
            wanted = change(wanted)
        for parameter in wanted:
            wrong = self._refusal(parameter)
            if wrong:
                return SetParametersResult(successful=False, reason=wrong)
        for callback in self.on_set:
            result = callback(wanted)
            if not result.successful:
                return result
        event = ParameterEvent()
        for parameter in wanted:
            before = self.values.get(parameter.name)
            fresh = before is None or before.type_ == Parameter.Type.NOT_SET
            (event.new_parameters if fresh else event.changed_parameters).append(
                parameter.to_parameter_msg()
            )
            self.values[parameter.name] = parameter
            if parameter.name not in self.descriptors:
                self.descriptors[parameter.name] = ParameterDescriptor(
                    name=parameter.name, type=parameter.type_.value, dynamic_typing=True
                )
        self._publish(event)
        for after in self.post_set:
            after(wanted)
        return SetParametersResult(successful=True)

    def list_names(self, prefixes: Iterable[str], depth: int) -> tuple[list[str], list[str]]:
        """(names, prefixes) below `prefixes`, at most `depth` parts deep (0: any)."""
        prefixes = list(prefixes)
        names = []
        for name in self.values:
            if not prefixes:
                inside: list[str] = [name]
            else:
                inside = [
                    name[len(p) + 1 :] if name != p else ""
                    for p in prefixes
                    if name == p or name.startswith(p + PARAMETER_SEPARATOR_STRING)
                ]
            if any(not depth or rest.count(".") < depth for rest in inside):
                names.append(name)
        return names, sorted({n.rpartition(".")[0] for n in names if "." in n})
