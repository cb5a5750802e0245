"""What a node has: publishers, subscriptions, services, clients, timers, guard conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import names
from .callback_groups import MutuallyExclusiveCallbackGroup
from .clock import Clock
from .context import Context
from .dds import Reader, Writer
from .endpoints import Publisher, Subscription
from .errors import InvalidHandle
from .message import Message, ServiceType
from .qos import (
    EventCallbacks,
    QoSOverridingOptions,
    QoSProfile,
    as_profile,
    qos_profile_services_default,
)
from .qos_overrides import with_overrides
from .service import Client, Service
from .timer import GuardCondition, Timer
from .type_hash import type_hash

if TYPE_CHECKING:
    from .executor import SingleThreadedExecutor

E = TypeVar("E")


class NodeEntities:
    """Creates and destroys them; nodes of every kind are one of these."""

    context: Context

    def __init__(self) -> None:
        self.executor: SingleThreadedExecutor | None = None
        self.default_callback_group = MutuallyExclusiveCallbackGroup()
        self._destroyed, self._announcing = False, False
        self._publishers: list[Publisher] = []
        self._subscriptions: list[Subscription] = []
        self._services: list[Service] = []
        self._clients: list[Client] = []
        self._timers: list[Timer] = []
        self._guards: list[GuardCondition] = []

    def get_name(self) -> str:
        """Name without namespace."""
        raise NotImplementedError

    def get_clock(self) -> Clock:
        """The node's clock."""
        raise NotImplementedError

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Absolute name of a topic."""
        raise NotImplementedError

    def resolve_service_name(self, service: str, *, only_expand: bool = False) -> str:
        """Absolute name of a service."""
        raise NotImplementedError

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

    def _alive(self) -> Any:
        """The node, which this is. Raises InvalidHandle after its end."""
        if self._destroyed or not self.context.ok():
            raise InvalidHandle(f"node {self.get_name()} was destroyed")
        return self

    # ---- creating

    def _in(self, callback_group: Any, entity: E) -> E:
        entity.callback_group = callback_group or self.default_callback_group  # type: ignore[attr-defined]
        return entity

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
        node = self._alive()
        name = self.resolve_topic_name(topic)
        qos = with_overrides(
            node, name, "publisher", as_profile(qos_profile), qos_overriding_options
        )
        kind = msg_type._definition.name
        writer = self.context.participant.writer(
            names.topic_in_dds(name), kind, qos, f"typehash={type_hash(kind)};".encode()
        )
        publisher = publisher_class(node, msg_type, name, writer, qos, event_callbacks)
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
        node = self._alive()
        name = self.resolve_topic_name(topic)
        qos = with_overrides(
            node, name, "subscription", as_profile(qos_profile), qos_overriding_options
        )
        kind = msg_type._definition.name
        if kind == "sensor_msgs/msg/Image":
            self.context.check_receive_buffer()
        reader = self.context.participant.reader(
            names.topic_in_dds(name), kind, qos, f"typehash={type_hash(kind)};".encode()
        )
        subscription = Subscription(
            node, msg_type, name, callback, reader, qos, event_callbacks, raw
        )
        self._subscriptions = [*self._subscriptions, self._in(callback_group, subscription)]
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
        node = self._alive()
        name = self.resolve_service_name(srv_name)
        service = Service(node, srv_type, name, callback, qos_profile)
        self._services = [*self._services, self._in(callback_group, service)]
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
        node = self._alive()
        client = Client(node, srv_type, self.resolve_service_name(srv_name), qos_profile)
        self._clients = [*self._clients, self._in(callback_group, client)]
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
        node = self._alive()
        timer = Timer(node, int(float(timer_period_sec) * 1e9), callback, clock or self.get_clock())
        if not autostart:
            timer.cancel()
        self._timers = [*self._timers, self._in(callback_group, timer)]
        self.wake()
        return timer

    def create_guard_condition(
        self, callback: Callable[[], Any], callback_group: Any = None
    ) -> GuardCondition:
        """Call `callback()` in the executor's thread when it is triggered from any thread."""
        node = self._alive()
        guard = GuardCondition(node, callback)
        self._guards = [*self._guards, self._in(callback_group, guard)]
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

    def _destroy_all(self) -> None:
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
