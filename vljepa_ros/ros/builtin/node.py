"""A node: a name in the graph, its endpoints, timers and parameters."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from . import arguments, names
from .clock import Clock, ClockType
from .context import Context, default_context
from .endpoints import Publisher
from .errors import InvalidHandle
from .logging import Logger, LoggingSeverity
from .message import interface
from .node_entities import NodeEntities
from .node_graph import NodeGraph
from .node_parameters import NodeParameters
from .parameter_services import ParameterServices
from .parameters import Parameter, ParameterSet
from .qos import (
    qos_profile_parameter_events,
    qos_profile_rosout_default,
)
from .time_source import TimeSource

if TYPE_CHECKING:
    pass


class Node(NodeEntities, NodeGraph, NodeParameters):
    """One node. `context` and `cli_args` as in rclpy; names may be remapped by ``--ros-args``."""

    def __init__(
        self,
        node_name: str,
        *,
        context: Context | None = None,
        cli_args: Sequence[str] | None = None,
        namespace: str | None = None,
        use_global_arguments: bool = True,
        enable_rosout: bool = True,
        start_parameter_services: bool = True,
        parameter_overrides: Iterable[Parameter] | None = None,
        allow_undeclared_parameters: bool = False,
        automatically_declare_parameters_from_overrides: bool = False,
        **_: Any,
    ) -> None:
        self.context = context or default_context()
        own = arguments.parse(["--ros-args", *cli_args] if cli_args else [])
        if cli_args and "--ros-args" in cli_args:
            own = arguments.parse(cli_args)
        shared = self.context.arguments if use_global_arguments else arguments.Arguments()
        # a node's own arguments come first among remaps and last among parameters: they win
        self._arguments = arguments.Arguments(
            remaps=own.remaps + shared.remaps, parameters=shared.parameters + own.parameters
        )
        names.check_node_name(node_name)
        self._namespace = self._arguments.namespace(node_name, namespace or "")
        self._name = names.check_node_name(self._arguments.node_name(node_name))
        self._base_name = node_name
        NodeEntities.__init__(self)
        self._clock = Clock(clock_type=ClockType.ROS_TIME)
        self._log_publisher: Publisher | None = None
        self._logger = Logger(
            names.join(self._namespace, self._name)[1:].replace("/", "."), self._rosout
        )
        self._events: Publisher | None = None
        overrides = self._arguments.parameters_for(self._name, self._namespace)
        overrides.update({p.name: p.value for p in parameter_overrides or ()})
        self.parameter_set = ParameterSet(
            overrides, allow_undeclared_parameters, self._publish_parameter_event
        )
        if enable_rosout and shared.rosout:
            self._log_publisher = self.create_publisher(
                interface("rcl_interfaces/msg/Log"), "/rosout", qos_profile_rosout_default
            )
        self._events = self.create_publisher(
            interface("rcl_interfaces/msg/ParameterEvent"),
            "/parameter_events",
            qos_profile_parameter_events,
        )
        if automatically_declare_parameters_from_overrides:
            for name, value in overrides.items():
                self.declare_parameter(name, value)
        self._time_source = TimeSource(self, self._clock)
        if start_parameter_services:
            ParameterServices(self)
        self._announcing = True
        with self.context.lock:
            self.context.nodes = [*self.context.nodes, self]
        self.context.publish_graph()

    # ---- names

    def get_name(self) -> str:
        """Name without namespace."""
        return self._name

    def get_namespace(self) -> str:
        """Namespace, ``/`` for none."""
        return self._namespace

    def get_fully_qualified_name(self) -> str:
        """Namespace and name."""
        return names.join(self._namespace, self._name)

    def _resolve(self, name: str, only_expand: bool = False) -> str:
        full = names.expand(name, self._name, self._namespace)
        return full if only_expand else self._arguments.remap(full, self._name, self._namespace)

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Absolute name of a topic, remapped. Raises InvalidNameError."""
        return self._resolve(topic, only_expand)

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """Absolute name of a service, remapped. Raises InvalidNameError."""
        return self._resolve(service, only_expand)

    def get_logger(self) -> Logger:
        """Its logger."""
        return self._logger

    def get_clock(self) -> Clock:
        """Its clock: ROS time."""
        return self._clock

    def destroy_node(self) -> None:
        """Destroy everything this node has and leave the graph."""
        if self._destroyed:
            return
        self._destroyed, self._announcing = True, False
        if self.executor is not None:
            self.executor.remove_node(self)
        self._log_publisher = self._events = None
        self._destroy_all()
        with self.context.lock:
            self.context.nodes = [n for n in self.context.nodes if n is not self]
        self.context.publish_graph()

    # ---- what it says of itself

    def _rosout(self, level: LoggingSeverity, logger: str, text: str, frame: Any) -> None:
        publisher = self._log_publisher
        if publisher is None or not self.context.ok():
            return
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        message = publisher.msg_type(
            stamp=interface("builtin_interfaces/msg/Time")(sec=seconds, nanosec=nanoseconds),
            level=int(level),
            name=logger,
            msg=text,
            file=frame.f_code.co_filename,
            function=frame.f_code.co_name,
            line=frame.f_lineno,
        )
        with contextlib.suppress(InvalidHandle):  # destroyed by another thread since
            publisher.publish(message)

    def _publish_parameter_event(self, event: Any) -> None:
        publisher = self._events
        if publisher is not None and self.context.ok():
            event.node = self.get_fully_qualified_name()
            event.stamp = self._clock.now().to_msg()
            publisher.publish(event)
