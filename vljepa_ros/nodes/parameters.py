"""ROS parameters as frozen dataclasses: a field has a default, a description and a range.

A field made with `live` may be changed while the node runs, one made with `read_only` may not.
An invalid value at startup does not end the node: it keeps the default, stays unconfigured and
reports the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from vljepa_ros import ros

P = TypeVar("P")


def parameter(
    default: object,
    description: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
    read_only: bool = False,
    ros_name: bool = False,
) -> Any:
    """Make a field of a dataclass of parameters.

    Args:
        default: A list stands for a tuple of strings, or of this number of integers.
        description: Shown to users.
        low: Minimum, of a number or of each number of a list.
        high: Maximum.
        choices: Allowed values; empty: all.
        read_only: Whether it is read once, when the node starts.
        ros_name: Whether it names a topic or a service; it may be empty only by default.
    """
    metadata = {
        "description": description,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "length": len(default) if low is not None and isinstance(default, list) else None,
        "read_only": read_only,
        "ros_name": ros_name,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: tuple(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


live = parameter
read_only = partial(parameter, read_only=True)


class ParameterGroup(Generic[P]):
    """Declares the parameters of a dataclass on a node.

    Args:
        node: The node.
        kind: The dataclass.
        prefix: Prefix of each name, e.g. `front.`.

    Attributes:
        value: The dataclass with the present values.
        problems: Why a value at startup is invalid, by parameter name.
    """

    def __init__(self, node: ros.Node, kind: type[P], prefix: str = "") -> None:
        self._prefix = prefix
        self.problems: dict[str, str] = {}
        self.value: P = kind()
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]
        self._fields = {prefix + field.name: field for field in fields}
        self.value = kind(**{field.name: self._declare(node, field) for field in fields})

    def __contains__(self, name: str) -> bool:
        """Whether a parameter belongs to this group."""
        return name in self._fields

    def with_changes(self, changes: dict[str, Any]) -> P:
        """A copy of the values with some parameters, by full name, changed.

        Raises:
            ValueError: A value that is not allowed.
        """
        replaced = {}
        for full, value in changes.items():
            field = self._fields.get(full)
            if field is not None:
                _check(full, value, field.metadata)
                replaced[field.name] = tuple(value) if isinstance(value, list) else value
        return dataclasses.replace(self.value, **replaced)  # type: ignore[type-var]

    def _declare(self, node: ros.Node, field: dataclasses.Field[Any]) -> Any:
        name, default = self._prefix + field.name, getattr(self.value, field.name)
        value = list(default) if isinstance(default, tuple) else default
        descriptor = _descriptor(field.metadata, value)
        try:
            node.declare_parameter(name, value, descriptor)
            got = node.get_parameter(name).value
            _check(name, got, field.metadata)
            if field.metadata["ros_name"] and got != default:
                ros.check_name(node, got)
        except Exception as error:  # distributions differ in what they raise here
            self.problems[name] = f"{name}: {error}; allowed: {_allowed(field.metadata, value)}"
            if not node.has_parameter(name):
                node.declare_parameter(name, value, descriptor, ignore_override=True)
            return default
        return tuple(got) if isinstance(got, (list, tuple)) else got


class NodeParameters:
    """All parameters of a node; a set of changes is checked as a whole, then applied.

    Args:
        node: The node.
        groups: Its parameters.
        check: Called with each changed dataclass; may raise ValueError.
        apply: Called after an accepted change, when the groups hold the new values. It may raise
            ValueError, too; then it is called again with the values before.
    """

    def __init__(
        self,
        node: ros.Node,
        groups: Sequence[ParameterGroup[Any]],
        check: Callable[[Any], None] = lambda value: None,
        apply: Callable[[], None] = lambda: None,
    ) -> None:
        self._groups = groups
        self._check = check
        self._apply = apply
        self.problems = {name: text for group in groups for name, text in group.problems.items()}
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: Sequence[ros.Parameter]) -> ros.Message:
        changes = {
            parameter.name: parameter.value
            for parameter in parameters
            if any(parameter.name in group for group in self._groups)
        }
        if not changes:  # ROS's own, such as quality of service
            return ros.SetParametersResult(successful=True)
        before = [group.value for group in self._groups]
        try:
            values = [group.with_changes(changes) for group in self._groups]
            for value in values:
                self._check(value)
            self._use(values)
        except ValueError as error:
            if before != [group.value for group in self._groups]:  # they fit by themselves alone
                self._use(before)
            return ros.SetParametersResult(successful=False, reason=str(error))
        for name in changes:
            self.problems.pop(name, None)
        return ros.SetParametersResult(successful=True)

    def _use(self, values: Sequence[Any]) -> None:
        for group, value in zip(self._groups, values, strict=True):
            group.value = value
        self._apply()


def _descriptor(metadata: Any, value: Any) -> ros.Message:
    allowed = _allowed(metadata, value)
    text = metadata["description"] + (f" Allowed: {allowed}." if metadata["choices"] else "")
    descriptor: Any = ros.ParameterDescriptor(description=text, read_only=metadata["read_only"])
    low, high = metadata["low"], metadata["high"]
    if low is not None and high is not None and not isinstance(value, list):
        if isinstance(value, float):
            limits = ros.FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [limits]
        else:
            descriptor.integer_range = [ros.IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor


def _check(name: str, value: Any, metadata: Any) -> None:
    low, high, choices = metadata["low"], metadata["high"], metadata["choices"]
    each = value if metadata["length"] else [value]
    inside = low is None or high is None or all(low <= one <= high for one in each)
    if len(each) != (metadata["length"] or 1):
        inside = False
    if not inside or (choices and value not in choices):
        raise ValueError(f"{name} is {value!r}, allowed: {_allowed(metadata, value)}")


def _allowed(metadata: Any, value: Any) -> str:
    if metadata["choices"]:
        return ", ".join(map(str, metadata["choices"]))
    if metadata["low"] is not None:
        kind = "with a decimal point" if isinstance(value, float) else "whole numbers"
        count = f"{metadata['length']} values of " if metadata["length"] else ""
        return f"{count}{metadata['low']} to {metadata['high']}, {kind}"
    if metadata["ros_name"]:
        return "names of letters, digits and _ between slashes, each with a letter or _ first"
    names = {
        bool: "true or false",
        str: "a string, quoted where YAML would read another type: 'yes', '1'",
        float: "a number such as 1.0",
        int: "an integer",
    }
    return names.get(type(value), "a list of strings, quoted: ['yes', 'no']")
