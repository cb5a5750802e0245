"""Publishers and subscriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..events import IncompatibleQoS
from .cdr import CdrError, decode, encode
from .dds import DdsError, Incompatible, Reader, Writer
from .errors import InvalidHandle
from .message import Message
from .qos import EventCallbacks, QoSProfile

if TYPE_CHECKING:
    from .node import Node

Handler = Callable[[], Any]


class Publisher:
    """Publishes messages of one type on one topic. Safe to use from several threads."""

    def __init__(
        self,
        node: Node,
        msg_type: type[Message],
        topic: str,
        writer: Writer,
        qos: QoSProfile,
        events: EventCallbacks | None,
    ) -> None:
        self._node = node
        self.msg_type, self.topic_name, self.qos_profile = msg_type, topic, qos
        self._writer: Writer | None = writer
        self.event = QosWatch(events, writer.incompatible) if events else None

    @property
    def topic(self) -> str:
        """Absolute topic name."""
        return self.topic_name

    def _open(self) -> Writer:
        writer = self._writer
        if writer is None or not self._node.context.ok():
            raise InvalidHandle(f"publisher of {self.topic_name} was destroyed")
        return writer

    def publish(self, msg: Message) -> None:
        """Send `msg`.

        Raises TypeError for a message of another type, FieldError for a field that holds what it
        cannot, InvalidHandle after the publisher was destroyed.
        """
        if not isinstance(msg, self.msg_type):
            raise TypeError(
                f"expected {self.msg_type._definition.name} on {self.topic_name}, got"
                f" {type(msg).__name__}"
            )
        data = encode(msg)
        try:
            self._open().write(data)
        except DdsError as error:
            if self._writer is None or not self._node.context.ok():
                raise InvalidHandle(f"publisher of {self.topic_name} was destroyed") from error
            # A reader that hangs must not take its publisher down with it.
            self._node.get_logger().warning(
                f"{self.topic_name}: message dropped: {error}", throttle_duration_sec=5.0
            )

    def get_subscription_count(self) -> int:
        """Number of subscriptions that match."""
        return self._open().matched()

    def assert_liveliness(self) -> None:
        """Nothing to do: liveliness is automatic here."""

    def writers(self) -> list[Writer]:
        """Its DDS writers."""
        return [self._writer] if self._writer else []

    def destroy(self) -> None:
        """Leave the topic."""
        if self.event is not None:
            self.event.close()
        self._writer = self.event = None


class Subscription:
    """Calls back for every message of a topic."""

    def __init__(
        self,
        node: Node,
        msg_type: type[Message],
        topic: str,
        callback: Callable[[Any], Any],
        reader: Reader,
        qos: QoSProfile,
        events: EventCallbacks | None,
        raw: bool,
    ) -> None:
        self._node = node
        self.msg_type, self.topic_name, self.qos_profile = msg_type, topic, qos
        self.callback, self.raw = callback, raw
        self.reader: Reader | None = reader
        self.event = QosWatch(events, reader.incompatible) if events else None

    @property
    def topic(self) -> str:
        """Absolute topic name."""
        return self.topic_name

    def get_publisher_count(self) -> int:
        """Number of publishers that match."""
        if self.reader is None:
            raise InvalidHandle(f"subscription of {self.topic_name} was destroyed")
        return self.reader.matched()

    def take(self) -> Handler | None:
        """The callback bound to the oldest message, or None. What is no message is logged."""
        reader = self.reader
        if reader is None:
            return None
        data = reader.take()
        if data is None:
            return None
        if self.raw:
            return lambda: self.callback(data)
        try:
            message = decode(self.msg_type._definition.name, data)
        except CdrError as error:
            self._node.get_logger().warning(
                f"{self.topic_name}: undecodable message dropped: {error}",
                throttle_duration_sec=5.0,
            )
            return None
        return lambda: self.callback(message)

    def destroy(self) -> None:
        """Leave the topic."""
        if self.event is not None:
            self.event.close()
        self.reader = self.event = None


class QosWatch:
    """Turns a DDS status into the incompatible-QoS callback."""

    def __init__(self, events: EventCallbacks, status: Callable[[], Incompatible]) -> None:
        self._callback = events.incompatible_qos
        self._status: Callable[[], Incompatible] | None = status

    def close(self) -> None:
        """Let go of the endpoint: it leaves DDS with the last reference to it."""
        self._status = None

    def take(self) -> Handler | None:
        """The callback bound to what is new, or None."""
        callback, read_status = self._callback, self._status
        if callback is None or read_status is None:
            return None
        status = read_status()
        if status.new <= 0:
            return None
        info = IncompatibleQoS(status.total, status.new, status.policy)
        return lambda: callback(info)
