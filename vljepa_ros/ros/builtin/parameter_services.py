"""The six parameter services that every node offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ParameterException
from .message import interface
from .parameters import Parameter, SetParametersResult
from .qos import qos_profile_parameters

if TYPE_CHECKING:
    from .node import Node


class ParameterServices:
    """Answers ``~/get_parameters`` and the five others."""

    def __init__(self, node: Node) -> None:
        self._parameters = node.parameter_set
        for kind, name, callback in (
            ("DescribeParameters", "describe_parameters", self._describe),
            ("GetParameters", "get_parameters", self._get),
            ("GetParameterTypes", "get_parameter_types", self._types),
            ("ListParameters", "list_parameters", self._list),
            ("SetParameters", "set_parameters", self._set),
            ("SetParametersAtomically", "set_parameters_atomically", self._set_atomically),
        ):
            node.create_service(
                interface(f"rcl_interfaces/srv/{kind}"),
                f"~/{name}",
                callback,
                qos_profile=qos_profile_parameters,
            )

    # As in Jazzy's rclpy and in rclcpp: one name that is not declared, and the reply is empty.

    def _describe(self, request: Any, response: Any) -> Any:
        known = self._parameters.descriptors
        if all(name in known for name in request.names):
            response.descriptors = [known[name] for name in request.names]
        return response

    def _get(self, request: Any, response: Any) -> Any:
        known = self._parameters.values
        if all(name in known for name in request.names):
            response.values = [known[name].get_parameter_value() for name in request.names]
        return response

    def _types(self, request: Any, response: Any) -> Any:
        known = self._parameters.values
        if all(name in known for name in request.names):
            response.types = [known[name].type_.value for name in request.names]
        return response

    def _list(self, request: Any, response: Any) -> Any:
        names, prefixes = self._parameters.list_names(request.prefixes, request.depth)
        response.result.names, response.result.prefixes = names, prefixes
        return response

    def _apply(self, messages: list[Any]) -> Any:
        try:
            return self._parameters.set_atomically(
                [Parameter.from_parameter_msg(message) for message in messages]
            )
        except (ParameterException, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))

    def _set(self, request: Any, response: Any) -> Any:
        response.results = [self._apply([message]) for message in request.parameters]
        return response

    def _set_atomically(self, request: Any, response: Any) -> Any:
        response.result = self._apply(request.parameters)
        return response
