"""A node: a name in the graph, its endpoints, timers and parameters."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from . import arguments, names
from .clock import Clock, ClockType
from .context import Context, default_context
from .dds import Reader, Writer
from .endpoints import Publisher, Subscription
from .errors import InvalidHandle
from .logging import Logger, LoggingSeverity
from .message import Message, ServiceType, interface
from .node_graph import NodeGraph
from .node_parameters import NodeParameters
from .parameter_services import ParameterServices
from .parameters import Parameter, ParameterSet
from .qos import (
    EventCallbacks,
    QoSOverridingOptions,
    QoSProfile,
    as_profile,
    qos_profile_parameter_events,
    qos_profile_rosout_default,
    qos_profile_services_default,
)
from .qos_overrides import with_overrides
from .service import Client, Service
from .time_source import TimeSource
from .timer import GuardCondition, Timer
from .type_hash import type_hash

if TYPE_CHECKING:
    from .executor import SingleThreadedExecutor


class Node(NodeGraph, NodeParameters):
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
        self.executor: SingleThreadedExecutor | None = None
        self._destroyed, self._announcing = False, False
        self._publishers: list[Publisher] = []
        self._subscriptions: list[Subscription] = []
        self._services: list[Service] = []
        self._clients: list[Client] = []
        self._timers: list[Timer] = []
        self._guards: list[GuardCondition] = []
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

    # ---- what executor and graph ask

    def readers(self) -> list[Any]:
        """Entities with a `reader` to wait for."""
        return [*self._subscriptions, *self._services, *self._clients]

    @property
    def timers(self) -> list[Timer]:
        """Its timers."""
        return list(self._timers)

    @property
    def publishers(self) -> list[Publisher]:
        """Its publishers."""
        return list(self._publishers)

    @property
    def subscriptions(self) -> list[Subscription]:
        """Its subscriptions."""
        return list(self._subscriptions)

    def waitables(self) -> list[Any]:
        """Everything that may have a callback due, in the order it is asked."""
        watched: list[Any] = [*self._publishers, *self._subscriptions]
        watches = [e.event for e in watched if e.event]
        return [*self._timers, *self.readers(), *self._guards, *watches]

    def dds_endpoints(self) -> tuple[list[Reader], list[Writer]]:
        """All its DDS readers and writers."""
        readers = [e.reader for e in self.readers() if e.reader is not None]
        owners: list[Any] = [*self._publishers, *self._services, *self._clients]
        return readers, [w for owner in owners for w in owner.writers()]

    def wake(self) -> None:
        """Wake the executor that runs this node."""
        executor = self.executor
        if executor is not None:
            executor.wake()

    def _changed(self) -> None:
        if self._announcing and self.context.ok():
            self.context.publish_graph()
        if self.executor is not None:
            self.executor.update()

    def _alive(self) -> None:
        if self._destroyed or not self.context.ok():
            raise InvalidHandle(f"node {self._name} was destroyed")

    # ---- creating

    def create_publisher(
        self,
        msg_type: type[Message],
        topic: str,
        qos_profile: QoSProfile | int,
        *,
        callback_group: Any = None,
        event_callbacks: EventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        publisher_class: type[Publisher] = Publisher,
    ) -> Publisher:
        """Publish messages of `msg_type` on `topic`. Raises InvalidNameError, TypeError."""
        self._alive()
        name = self._resolve(topic)
        qos = with_overrides(
            self, name, "publisher", as_profile(qos_profile), qos_overriding_options
        )
        kind = msg_type._definition.name
        writer = self.context.participant.writer(
            names.topic_in_dds(name), kind, qos, f"typehash={type_hash(kind)};".encode()
        )
        publisher = publisher_class(self, msg_type, name, writer, qos, event_callbacks)
        self._publishers = [*self._publishers, publisher]
        self._changed()
        return publisher

    def create_subscription(
        self,
        msg_type: type[Message],
        topic: str,
        callback: Callable[[Any], Any],
        qos_profile: QoSProfile | int,
        *,
        callback_group: Any = None,
        event_callbacks: EventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
    ) -> Subscription:
        """Call `callback(msg)` for what comes on `topic`. Raises InvalidNameError, TypeError."""
        self._alive()
        name = self._resolve(topic)
        qos = with_overrides(
            self, name, "subscription", as_profile(qos_profile), qos_overriding_options
        )
        kind = msg_type._definition.name
        if kind == "sensor_msgs/msg/Image":
            self.context.check_receive_buffer()
        reader = self.context.participant.reader(
            names.topic_in_dds(name), kind, qos, f"typehash={type_hash(kind)};".encode()
        )
        subscription = Subscription(
            self, msg_type, name, callback, reader, qos, event_callbacks, raw
        )
        self._subscriptions = [*self._subscriptions, subscription]
        self._changed()
        return subscription

    def create_service(
        self,
        srv_type: type[ServiceType],
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: Any = None,
    ) -> Service:
        """Answer requests to `srv_name`; `callback(request, response)` may be ``async def``."""
        self._alive()
        service = Service(self, srv_type, self._resolve(srv_name), callback, qos_profile)
        self._services = [*self._services, service]
        self._changed()
        return service

    def create_client(
        self,
        srv_type: type[ServiceType],
        srv_name: str,
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: Any = None,
    ) -> Client:
        """Ask `srv_name`."""
        self._alive()
        client = Client(self, srv_type, self._resolve(srv_name), qos_profile)
        self._clients = [*self._clients, client]
        self._changed()
        return client

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[[], Any],
        callback_group: Any = None,
        clock: Clock | None = None,
        autostart: bool = True,
    ) -> Timer:
        """Call `callback()` every `timer_period_sec` seconds of `clock` (default: the node's)."""
        self._alive()
        timer = Timer(self, int(float(timer_period_sec) * 1e9), callback, clock or self._clock)
        if not autostart:
            timer.cancel()
        self._timers = [*self._timers, timer]
        self.wake()
        return timer

    def create_guard_condition(
        self, callback: Callable[[], Any], callback_group: Any = None
    ) -> GuardCondition:
        """Call `callback()` in the executor's thread when it is triggered from any thread."""
        self._alive()
        guard = GuardCondition(self, callback)
        self._guards = [*self._guards, guard]
        return guard

    # ---- destroying; False where the entity is not (or no longer) this node's

    def _destroy(self, attribute: str, entity: Any) -> bool:
        entities = getattr(self, attribute)
        if entity not in entities:
            return False
        setattr(self, attribute, [e for e in entities if e is not entity])
        entity.destroy()
        self._changed()
        return True

    def destroy_publisher(self, publisher: Publisher) -> bool:
        """Destroy a publisher."""
        return self._destroy("_publishers", publisher)

    def destroy_subscription(self, subscription: Subscription) -> bool:
        """Destroy a subscription; its callback is not called again."""
        return self._destroy("_subscriptions", subscription)

    def destroy_service(self, service: Service) -> bool:
        """Destroy a service."""
        return self._destroy("_services", service)

    def destroy_client(self, client: Client) -> bool:
        """Destroy a client."""
        return self._destroy("_clients", client)

    def destroy_timer(self, timer: Timer) -> bool:
        """Destroy a timer."""
        return self._destroy("_timers", timer)

    def destroy_guard_condition(self, guard: GuardCondition) -> bool:
        """Destroy a guard condition."""
        return self._destroy("_guards", guard)

    def destroy_node(self) -> None:
        """Destroy everything this node has and leave the graph."""
        if self._destroyed:
            return
        self._destroyed, self._announcing = True, False
        if self.executor is not None:
            self.executor.remove_node(self)
        self._log_publisher = self._events = None
        for attribute in (
            "_timers",
            "_guards",
            "_subscriptions",
            "_services",
            "_clients",
            "_publishers",
        ):
            for entity in list(getattr(self, attribute)):
                self._destroy(attribute, entity)
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
