"""A node: a name in the graph, its endpoints, timers and parameters."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from vljepa_ros.ros.builtin import names
from vljepa_ros.ros.builtin.clock import Clock, ClockType, Time
from vljepa_ros.ros.builtin.context import InvalidHandle, default_context
from vljepa_ros.ros.builtin.dds import Reader, Writer
from vljepa_ros.ros.builtin.endpoints import Publisher, Subscription
from vljepa_ros.ros.builtin.future import (
    Callback,
    MutuallyExclusiveCallbackGroup,
    ReentrantCallbackGroup,
    ServiceCallback,
)
from vljepa_ros.ros.builtin.graph import TopicEndpointInfo
from vljepa_ros.ros.builtin.handles import Entity, ExecutorHandle
from vljepa_ros.ros.builtin.logging import Logger, LoggingSeverity
from vljepa_ros.ros.builtin.message import Message, ServiceType, interface
from vljepa_ros.ros.builtin.node_parameters import NodeParameters
from vljepa_ros.ros.builtin.parameters import Parameter, ParameterEvent
from vljepa_ros.ros.builtin.qos import (
    EndpointEvents,
    QoSOverridingOptions,
    QoSProfile,
    parameter_events_qos,
    rosout_qos,
    services_qos,
    with_overrides,
)
from vljepa_ros.ros.builtin.service import Client, Service
from vljepa_ros.ros.builtin.timer import Timer, TimeSource

E = TypeVar("E", bound=Entity)


class Node(NodeParameters):
    """One node.

    Args:
        node_name: Name without namespace; `--ros-args` may remap it.
        namespace: Namespace, None for none; `--ros-args` may remap it.
        parameter_overrides: Values that replace the default values of parameters.
    """

    def __init__(
        self,
        node_name: str,
        *,
        namespace: str | None = None,
        parameter_overrides: Iterable[Parameter] | None = None,
    ) -> None:
        self.context = default_context()
        self.executor: ExecutorHandle | None = None
        self.default_callback_group = MutuallyExclusiveCallbackGroup()
        self._destroyed, self._announcing = False, False
        # In the order in which the executor asks them; lists are replaced, never changed.
        self._entities: dict[type[Entity], list[Any]] = {
            kind: [] for kind in (Timer, Publisher, Subscription, Service, Client)
        }
        arguments = self.context.arguments
        names.check_node_name(node_name)
        self._namespace = arguments.namespace(node_name, namespace or "")
        self._name = names.check_node_name(arguments.node_name(node_name))
        self._clock = Clock(clock_type=ClockType.ROS_TIME)
        self._log_publisher: Publisher | None = None
        logger_name = self.get_fully_qualified_name()[1:].replace("/", ".")
        self._logger = Logger(logger_name, self._publish_log)
        overrides = arguments.parameters_for(self._name, self._namespace)
        overrides.update({p.name: p.value for p in parameter_overrides or ()})
        super().__init__(overrides, self._publish_parameter_event)
        if arguments.rosout:
            self._log_publisher = self.create_publisher(
                interface("rcl_interfaces/msg/Log"), "/rosout", rosout_qos
            )
        self._event_publisher: Publisher | None = self.create_publisher(
            ParameterEvent, "/parameter_events", parameter_events_qos
        )
        TimeSource(self)
        for kind, callback in self.parameter_services().items():
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
            self.create_service(interface(f"rcl_interfaces/srv/{kind}"), f"~/{name}", callback)
        self._announcing = True
        with self.context.lock:
            self.context.nodes = [*self.context.nodes, self]
        self.context.publish_graph()

    def destroy_node(self) -> None:
        """Destroy everything this node has and leave the graph."""
        if self._destroyed:
            return
        self._destroyed, self._announcing = True, False
        if self.executor is not None:
            self.executor.remove_node(self)
        self._log_publisher = self._event_publisher = None
        for kind in (Timer, Subscription, Service, Client, Publisher):
            for entity in self._entities[kind]:
                self._destroy(entity)
        with self.context.lock:
            self.context.nodes = [n for n in self.context.nodes if n is not self]
        self.context.publish_graph()

    # ---- names

    def get_name(self) -> str:
        """Name without namespace."""
        return self._name

    def get_namespace(self) -> str:
        """Namespace, `/` for none."""
        return self._namespace

    def get_fully_qualified_name(self) -> str:
        """Namespace and name."""
        return names.join(self._namespace, self._name)

    def resolve_topic_name(self, topic: str) -> str:
        """Absolute name of a topic or service, remapped. Raises InvalidNameError."""
        full = names.expand(topic, self._name, self._namespace)
        return self.context.arguments.remap(full, self._name, self._namespace)

    resolve_service_name = resolve_topic_name

    # ---- log, clock, events

    def get_logger(self) -> Logger:
        """Its logger."""
        return self._logger

    def get_clock(self) -> Clock:
        """Its clock: ROS time."""
        return self._clock

    def _publish_log(self, level: LoggingSeverity, text: str, frame: Any) -> None:
        publisher = self._log_publisher
        if publisher is None or not self.context.ok():
            return
        message = publisher.msg_type(
            stamp=Time(nanoseconds=time.time_ns()).to_msg(),
            level=int(level),
            name=self._logger.name,
            msg=text,
            file=frame.f_code.co_filename,
            function=frame.f_code.co_name,
            line=frame.f_lineno,
        )
        with contextlib.suppress(InvalidHandle):  # destroyed by another thread since
            publisher.publish(message)

    def _publish_parameter_event(self, event: Message) -> None:
        publisher = self._event_publisher
        if publisher is not None and self.context.ok():
            event.node = self.get_fully_qualified_name()
            event.stamp = self._clock.now().to_msg()
            publisher.publish(event)

    # ---- what executor and graph ask

    def entities(self) -> list[Entity]:
        """Everything that may have a callback due, in the order of checking."""
        entities = [e for kind in self._entities.values() for e in kind]
        return [*entities, *(event for e in entities for event in e.events)]

    def next_timer(self) -> float:
        """Seconds until the next timer is due; infinite if none will be."""
        return min((t.wait_time() for t in self._entities[Timer]), default=math.inf)

    def dds_endpoints(self) -> tuple[list[Reader], list[Writer]]:
        """All its DDS readers and writers."""
        entities = [e for kind in self._entities.values() for e in kind]
        return [e.reader for e in entities if e.reader], [e.writer for e in entities if e.writer]

    def wake(self) -> None:
        """Wake the executor that runs this node."""
        executor = self.executor
        if executor is not None:
            executor.wake()

    @property
    def publishers(self) -> list[Publisher]:
        """Its publishers."""
        return self._entities[Publisher]

    # ---- creating and destroying

    def _check_alive(self) -> None:
        if self._destroyed or not self.context.ok():
            raise InvalidHandle(f"node {self._name} was destroyed")

    def _new_name(self, name: str) -> str:
        self._check_alive()
        return self.resolve_topic_name(name)

    def _add(self, entity: E, callback_group: ReentrantCallbackGroup | None = None) -> E:
        entity.callback_group = callback_group or self.default_callback_group
        self._entities[type(entity)] = [*self._entities[type(entity)], entity]
        if isinstance(entity, Timer):
            self.wake()
        else:
            self._changed()
        return entity

    def _changed(self) -> None:
        if self._announcing and self.context.ok():
            self.context.publish_graph()
        if self.executor is not None:
            self.executor.update()

    def create_publisher(
        self,
        msg_type: type[Message],
        topic: str,
        qos_profile: QoSProfile | int,
        *,
        event_callbacks: EndpointEvents | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
    ) -> Publisher:
        """Publish messages of `msg_type` on `topic`. Raises InvalidNameError, TypeError."""
        name = self._new_name(topic)
        qos = with_overrides(self, name, "publisher", qos_profile, qos_overriding_options)
        return self._add(Publisher(self, msg_type, name, qos, event_callbacks))

    def create_subscription(
        self,
        msg_type: type[Message],
        topic: str,
        callback: Callback,
        qos_profile: QoSProfile | int,
        *,
        callback_group: ReentrantCallbackGroup | None = None,
        event_callbacks: EndpointEvents | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
    ) -> Subscription:
        """Call `callback(msg)` for each message on `topic`. Raises InvalidNameError, TypeError."""
        name = self._new_name(topic)
        qos = with_overrides(self, name, "subscription", qos_profile, qos_overriding_options)
        if msg_type._definition.name == "sensor_msgs/msg/Image":
            self.context.check_receive_buffer()
        subscription = Subscription(self, msg_type, name, callback, qos, event_callbacks)
        return self._add(subscription, callback_group)

    def create_service(
        self,
        srv_type: type[ServiceType],
        srv_name: str,
        callback: ServiceCallback,
        *,
        qos_profile: QoSProfile = services_qos,
        callback_group: ReentrantCallbackGroup | None = None,
    ) -> Service:
        """Answer requests to `srv_name`; `callback(request, response)` may be `async def`."""
        service = Service(self, srv_type, self._new_name(srv_name), callback, qos_profile)
        return self._add(service, callback_group)

    def create_client(
        self,
        srv_type: type[ServiceType],
        srv_name: str,
        *,
        qos_profile: QoSProfile = services_qos,
        callback_group: ReentrantCallbackGroup | None = None,
    ) -> Client:
        """Call `srv_name`."""
        client = Client(self, srv_type, self._new_name(srv_name), qos_profile)
        return self._add(client, callback_group)

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[[], object],
        callback_group: ReentrantCallbackGroup | None = None,
        clock: Clock | None = None,
    ) -> Timer:
        """Call `callback()` every `timer_period_sec` seconds of `clock` (default: the node's)."""
        self._check_alive()
        timer = Timer(int(float(timer_period_sec) * 1e9), callback, clock or self._clock)
        return self._add(timer, callback_group)

    def _destroy(self, entity: Entity) -> bool:
        """Destroy what was created; False if it is not (or no longer) this node's."""
        entities = self._entities.get(type(entity), [])
        if entity not in entities:
            return False
        self._entities[type(entity)] = [e for e in entities if e is not entity]
        entity.destroy()
        if not isinstance(entity, Timer):  # others do not see it: nothing to publish
            self._changed()
        return True

    destroy_publisher = destroy_subscription = destroy_service = _destroy
    destroy_client = destroy_timer = _destroy

    # ---- the graph; topic names are expanded and remapped as the node's own

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        """(name, namespace) of every node."""
        return self.context.graph.nodes()

    def get_topic_names_and_types(self) -> list[tuple[str, list[str]]]:
        """(name, types) of every topic."""
        return self.context.graph.names_and_types(names.topic_from_dds)

    def _endpoint_infos(self, topic: str, kind: str) -> list[TopicEndpointInfo]:
        name = names.topic_in_dds(self.resolve_topic_name(topic))
        return self.context.graph.endpoints_of(name, kind)

    def get_publishers_info_by_topic(self, topic_name: str) -> list[TopicEndpointInfo]:
        """Publishers of a topic, with node and QoS."""
        return self._endpoint_infos(topic_name, "writer")

    def get_subscriptions_info_by_topic(self, topic_name: str) -> list[TopicEndpointInfo]:
        """Subscriptions of a topic, with node and QoS."""
        return self._endpoint_infos(topic_name, "reader")

    def count_publishers(self, topic_name: str) -> int:
        """Number of publishers of a topic."""
        return len(self._endpoint_infos(topic_name, "writer"))

    def count_subscribers(self, topic_name: str) -> int:
        """Number of subscriptions of a topic."""
        return len(self._endpoint_infos(topic_name, "reader"))
