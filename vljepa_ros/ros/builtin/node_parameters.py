"""The parameter methods of a node, as in rclpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import ParameterNotDeclaredException
from .parameters import PARAMETER_SEPARATOR_STRING, Parameter, ParameterSet


class NodeParameters:
    """What a node offers for its `parameter_set`."""

    parameter_set: ParameterSet

    def declare_parameter(
        self, name: str, value: Any = None, descriptor: Any = None, ignore_override: bool = False
    ) -> Parameter:
        """Declare a parameter; `value` may be a Parameter.Type, for one without a default.

        Raises ParameterAlreadyDeclaredException, InvalidParameterTypeException,
        InvalidParameterValueException.
        """
        return self.parameter_set.declare(name, value, descriptor, ignore_override)

    def declare_parameters(
        self,
        namespace: str,
        parameters: Sequence[tuple[Any, ...]],
        ignore_override: bool = False,
    ) -> list[Parameter]:
        """Declare several (name[, value[, descriptor]]) below `namespace`."""
        prefix = namespace + PARAMETER_SEPARATOR_STRING if namespace else ""
        return [
            self.parameter_set.declare(
                prefix + item[0],
                item[1] if len(item) > 1 else None,
                item[2] if len(item) > 2 else None,
                ignore_override,
            )
            for item in parameters
        ]

    def undeclare_parameter(self, name: str) -> None:
        """Forget a parameter."""
        self.parameter_set.undeclare(name)

    def has_parameter(self, name: str) -> bool:
        """Whether it is declared."""
        return name in self.parameter_set.values

    def get_parameter(self, name: str) -> Parameter:
        """Raises ParameterNotDeclaredException, ParameterUninitializedException."""
        return self.parameter_set.get(name)

    def get_parameters(self, names: Sequence[str]) -> list[Parameter]:
        """Several."""
        return [self.get_parameter(name) for name in names]

    def get_parameter_or(self, name: str, alternative_value: Parameter | None = None) -> Parameter:
        """The parameter, or `alternative_value` where it is not declared or has no value."""
        known = self.parameter_set.values.get(name)
        if known is not None and known.type_ != Parameter.Type.NOT_SET:
            return known
        return alternative_value or Parameter(name, Parameter.Type.NOT_SET)

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        """Those below `prefix`, by the rest of their names."""
        start = prefix + PARAMETER_SEPARATOR_STRING if prefix else ""
        return {
            name[len(start) :]: parameter
            for name, parameter in self.parameter_set.values.items()
            if name.startswith(start)
        }

    def get_parameter_type(self, name: str) -> Parameter.Type:
        """Its type. Raises ParameterNotDeclaredException."""
        if name not in self.parameter_set.values:
            raise ParameterNotDeclaredException(f"parameter {name!r} is not declared")
        return self.parameter_set.values[name].type_

    def set_parameters(self, parameter_list: Sequence[Parameter]) -> list[Any]:
        """Set each by itself; a SetParametersResult for each."""
        return [self.parameter_set.set_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: Sequence[Parameter]) -> Any:
        """Set all or none; one SetParametersResult."""
        return self.parameter_set.set_atomically(parameter_list)

    def describe_parameter(self, name: str) -> Any:
        """Its ParameterDescriptor. Raises ParameterNotDeclaredException."""
        return self.parameter_set.describe(name)

    def describe_parameters(self, names: Sequence[str]) -> list[Any]:
        """Several."""
        return [self.describe_parameter(name) for name in names]

    def add_pre_set_parameters_callback(
        self, callback: Callable[[list[Parameter]], list[Parameter]]
    ) -> None:
        """`callback(parameters)` returns the list that is to be set in their place."""
        self.parameter_set.pre_set.insert(0, callback)

    def add_on_set_parameters_callback(self, callback: Callable[[list[Parameter]], Any]) -> None:
        """`callback(parameters)` returns a SetParametersResult; unsuccessful: nothing is set."""
        self.parameter_set.on_set.insert(0, callback)

    def add_post_set_parameters_callback(self, callback: Callable[[list[Parameter]], None]) -> None:
        """`callback(parameters)` is told what was set."""
        self.parameter_set.post_set.insert(0, callback)

    def remove_pre_set_parameters_callback(self, callback: Any) -> None:
        """Undo. Raises ValueError where it was not added."""
        self.parameter_set.pre_set.remove(callback)

    def remove_on_set_parameters_callback(self, callback: Any) -> None:
        """Undo. Raises ValueError where it was not added."""
        self.parameter_set.on_set.remove(callback)

    def remove_post_set_parameters_callback(self, callback: Any) -> None:
        """Undo. Raises ValueError where it was not added."""
        self.parameter_set.post_set.remove(callback)
