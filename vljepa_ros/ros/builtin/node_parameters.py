"""The parameters of a node: declared, set, refused, and served to other nodes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vljepa_ros.ros.builtin.future import ServiceCallback
from vljepa_ros.ros.builtin.message import Message
from vljepa_ros.ros.builtin.parameters import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    Parameter,
    ParameterAlreadyDeclaredException,
    ParameterDescriptor,
    ParameterEvent,
    ParameterException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
    SetParametersResult,
    range_violation,
)


class NodeParameters:
    """The parameters of one node, with rclpy's methods.

    Args:
        overrides: Values by name, from files, arguments and code, that replace default values.
        publish_event: Publishes a `rcl_interfaces/msg/ParameterEvent`.
    """

    def __init__(self, overrides: dict[str, Any], publish_event: Callable[[Message], None]) -> None:
        self._values: dict[str, Parameter] = {}
        self._descriptors: dict[str, Any] = {}
        self._overrides, self._publish_event = overrides, publish_event
        self._on_set: list[Callable[[list[Parameter]], Any]] = []
        self._post_set: list[Callable[[list[Parameter]], None]] = []

    def declare_parameter(
        self,
        name: str,
        value: object = None,
        descriptor: Message | None = None,
        ignore_override: bool = False,
    ) -> Parameter:
        """Declare a parameter.

        Args:
            name: Its name.
            value: Default value, or a Parameter.Type, for a parameter without a default value.
            descriptor: A ParameterDescriptor.
            ignore_override: Keep `value`; ignore parameter files and arguments.

        Returns:
            The parameter, with the value it has.

        Raises:
            ParameterAlreadyDeclaredException: It is declared already.
            InvalidParameterTypeException: The value is not of the parameter's type.
            InvalidParameterValueException: The range or a callback refuses the value.
        """
        if name in self._values:
            raise ParameterAlreadyDeclaredException(f"parameter {name!r} is already declared")
        descriptor = ParameterDescriptor() if descriptor is None else copy.copy(descriptor)
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
        if not ignore_override:
            value = self._overrides.get(name, value)
        parameter = self._typed(name, static_type, value)
        descriptor.type = (static_type or parameter.type_).value
        violation = range_violation(parameter, descriptor)
        if violation:
            raise InvalidParameterValueException(violation)
        has_value = parameter.type_ != Parameter.Type.NOT_SET
        for callback in self._on_set if has_value else ():
            result = callback([parameter])
            if not result.successful:
                raise InvalidParameterValueException(
                    f"{name}: {parameter.value!r} was refused: {result.reason}"
                )
        self._values[name], self._descriptors[name] = parameter, descriptor
        if has_value:
            self._publish_event(ParameterEvent(new_parameters=[parameter.to_parameter_msg()]))
        return parameter

    @staticmethod
    def _typed(name: str, static_type: Parameter.Type | None, value: object) -> Parameter:
        if value is None:
            return Parameter(name, Parameter.Type.NOT_SET)
        try:
            return Parameter(name, static_type, value)
        except (TypeError, ValueError) as error:
            expected = static_type.name if static_type else "a parameter type"
            raise InvalidParameterTypeException(
                f"parameter {name!r}: {value!r} is not {expected}"
            ) from error

    def has_parameter(self, name: str) -> bool:
        """Whether it is declared."""
        return name in self._values

    def get_parameter(self, name: str) -> Parameter:
        """One. Raises ParameterNotDeclaredException, ParameterUninitializedException."""
        parameter = self._values.get(name)
        if parameter is None:
            raise ParameterNotDeclaredException(f"parameter {name!r} is not declared")
        not_set = parameter.type_ == Parameter.Type.NOT_SET
        if not_set and not self._descriptors[name].dynamic_typing:
            raise ParameterUninitializedException(
                f"parameter {name!r} has no value; give it one in a parameter file or with -p"
            )
        return parameter

    def set_parameters(self, parameter_list: Sequence[Parameter]) -> list[Message]:
        """Set each separately; a SetParametersResult for each."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: Sequence[Parameter]) -> Message:
        """Set all or none; a SetParametersResult. Raises ParameterNotDeclaredException."""
        parameters = list(parameter_list)
        for parameter in parameters:
            reason = self._refusal(parameter)
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        for callback in self._on_set:
            result = callback(parameters)
            if not result.successful:
                return result
        event = ParameterEvent()
        for parameter in parameters:
            fresh = self._values[parameter.name].type_ == Parameter.Type.NOT_SET
            changed = event.new_parameters if fresh else event.changed_parameters
            changed.append(parameter.to_parameter_msg())
            self._values[parameter.name] = parameter
        self._publish_event(event)
        for after in self._post_set:
            after(parameters)
        return SetParametersResult(successful=True)

    def _refusal(self, parameter: Parameter) -> str | None:
        """Why a value cannot be set, or None. Raises ParameterNotDeclaredException."""
        if parameter.name not in self._values:
            raise ParameterNotDeclaredException(f"parameter {parameter.name!r} is not declared")
        descriptor = self._descriptors[parameter.name]
        if descriptor.read_only:
            return f"parameter {parameter.name!r} is read-only"
        if not descriptor.dynamic_typing and descriptor.type not in (0, parameter.type_.value):
            expected = Parameter.Type(descriptor.type).name
            return f"parameter {parameter.name!r} is of type {expected}, not {parameter.type_.name}"
        return range_violation(parameter, descriptor)

    def add_on_set_parameters_callback(self, callback: Callable[[list[Parameter]], Any]) -> None:
        """`callback(parameters)` returns a SetParametersResult; unsuccessful: nothing is set."""
        self._on_set.insert(0, callback)

    def add_post_set_parameters_callback(self, callback: Callable[[list[Parameter]], None]) -> None:
        """`callback(parameters)` is called with what was set."""
        self._post_set.insert(0, callback)

    # ---- services; as in Jazzy's rclpy and in rclcpp: one undeclared name, and the reply is empty

    def parameter_services(self) -> dict[str, ServiceCallback]:
        """Callback of each service that every node offers, by its type in `rcl_interfaces/srv`."""
        return {
            "DescribeParameters": self._serve_describe,
            "GetParameters": self._serve_get,
            "GetParameterTypes": self._serve_types,
            "ListParameters": self._serve_list,
            "SetParameters": self._serve_set,
            "SetParametersAtomically": self._serve_set_atomically,
        }

    def _serve_describe(self, request: Message, response: Message) -> Message:
        if all(name in self._descriptors for name in request.names):
            response.descriptors = [self._descriptors[name] for name in request.names]
        return response

    def _serve_get(self, request: Message, response: Message) -> Message:
        if all(name in self._values for name in request.names):
            response.values = [self._values[name].get_parameter_value() for name in request.names]
        return response

    def _serve_types(self, request: Message, response: Message) -> Message:
        if all(name in self._values for name in request.names):
            response.types = [self._values[name].type_.value for name in request.names]
        return response

    def _serve_list(self, request: Message, response: Message) -> Message:
        """Names and prefixes below some prefixes, at most `depth` parts deep (0: any)."""
        names = []
        for name in self._values:
            rests = [name[len(p) + 1 :] for p in request.prefixes if f"{name}.".startswith(p + ".")]
            rests = rests if request.prefixes else [name]
            if any(not request.depth or rest.count(".") < request.depth for rest in rests):
                names.append(name)
        response.result.names = names
        response.result.prefixes = sorted({n.rpartition(".")[0] for n in names if "." in n})
        return response

    def _set_from_messages(self, messages: Iterable[Message]) -> Message:
        try:
            return self.set_parameters_atomically(
                [Parameter.from_parameter_msg(message) for message in messages]
            )
        except (ParameterException, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))

    def _serve_set(self, request: Message, response: Message) -> Message:
        response.results = [self._set_from_messages([message]) for message in request.parameters]
        return response

    def _serve_set_atomically(self, request: Message, response: Message) -> Message:
        response.result = self._set_from_messages(request.parameters)
        return response
