"""Publishers and subscriptions."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from vljepa_ros.ros.builtin.cdr import CdrError, decode, encode
from vljepa_ros.ros.builtin.context import InvalidHandle
from vljepa_ros.ros.builtin.dds import DdsError, Reader, Writer
from vljepa_ros.ros.builtin.future import Callback
from vljepa_ros.ros.builtin.handles import Entity, Handler, NodeHandle
from vljepa_ros.ros.builtin.message import Message
from vljepa_ros.ros.builtin.names import topic_in_dds
from vljepa_ros.ros.builtin.qos import EndpointEvents, QoSProfile

MISMATCH_S = 0.5
"""Longest delay until an endpoint that is refused for its quality of service is noticed."""


class _TopicEnd(Entity):
    def __init__(
        self, node: NodeHandle, msg_type: type[Message], topic: str, qos: QoSProfile
    ) -> None:
        self._node = node
        self.msg_type, self.topic_name, self.qos_profile = msg_type, topic, qos
        self._type_name = msg_type._definition.name
        self._dds_arguments = topic_in_dds(topic), self._type_name, qos

    def _watch(self, end: Reader | Writer, events: EndpointEvents | None) -> None:
        incompatible = events and events.incompatible_qos
        late = events and events.deadline_missed
        self.events = (
            *((StatusEvent(incompatible, end.incompatible, MISMATCH_S),) if incompatible else ()),
            *((StatusEvent(late, end.deadline_missed),) if late else ()),
        )


class Publisher(_TopicEnd):
    """Publishes messages of one type on one topic. Safe to use from several threads."""

    def __init__(
        self,
        node: NodeHandle,
        msg_type: type[Message],
        topic: str,
        qos: QoSProfile,
        events: EndpointEvents | None = None,
    ) -> None:
        super().__init__(node, msg_type, topic, qos)
        self.writer = node.context.participant.writer(*self._dds_arguments)
        self._watch(self.writer, events)

    def publish(self, msg: Message) -> None:
        """Send `msg`.

        Raises:
            TypeError: The message is of another type.
            FieldError: A field holds an invalid value.
            InvalidHandle: The publisher was destroyed.
        """
        if not isinstance(msg, self.msg_type):
            raise TypeError(
                f"expected {self._type_name} on {self.topic_name}, got {type(msg).__name__}"
            )
        data = encode(msg)
        try:
            self._open().write(data)
        except DdsError as error:
            if self.writer is None or not self._node.context.ok():
                raise InvalidHandle(f"publisher of {self.topic_name} was destroyed") from error
            # A reader that hangs must not bring its publisher down.
            self._node.get_logger().warning(
                f"{self.topic_name}: message dropped: {error}", throttle_duration_sec=5.0
            )

    def get_subscription_count(self) -> int:
        """Number of subscriptions that match."""
        return len(self._open().matched())

    def _open(self) -> Writer:
        writer = self.writer
        if writer is None or not self._node.context.ok():
            raise InvalidHandle(f"publisher of {self.topic_name} was destroyed")
        return writer


class Subscription(_TopicEnd):
    """Calls back for every message of a topic."""

    def __init__(
        self,
        node: NodeHandle,
        msg_type: type[Message],
        topic: str,
        callback: Callback,
        qos: QoSProfile,
        events: EndpointEvents | None = None,
    ) -> None:
        super().__init__(node, msg_type, topic, qos)
        self.callback = callback
        self.reader = node.context.participant.reader(*self._dds_arguments)
        self._watch(self.reader, events)
        if events and events.deadline_missed:
            self.reader.wake_at_deadlines()

    def take(self) -> Handler | None:
        """The callback bound to the oldest message, or None. Undecodable bytes are logged."""
        reader = self.reader
        data = None if reader is None else reader.take()
        if data is None:
            return None
        try:
            message = decode(self._type_name, data)
        except CdrError as error:
            self._node.get_logger().warning(
                f"{self.topic_name}: undecodable message dropped: {error}",
                throttle_duration_sec=5.0,
            )
            return None
        return partial(self.callback, message)


class StatusEvent(Entity):
    """Turns a DDS status into the callback of an endpoint.

    Args:
        callback: Gets what is new.
        read_status: Reads and resets the status.
        period: Least seconds between two checks: one costs as much as polling three readers.
    """

    def __init__(
        self, callback: Callback, read_status: Callable[[], Any], period: float = 0.0
    ) -> None:
        self._callback = callback
        self._read_status: Callable[[], Any] | None = read_status
        self._period, self._next = period, 0.0

    def take(self) -> Handler | None:
        """The callback bound to what is new, or None."""
        if self._period:
            now = time.monotonic()
            if now < self._next:
                return None
            self._next = now + self._period
        read_status = self._read_status
        status = None if read_status is None else read_status()
        if status is None or status.new <= 0:
            return None
        return partial(self._callback, status)

    def destroy(self) -> None:
        """Release the endpoint: it leaves DDS with the last reference to it."""
        self._read_status = None
