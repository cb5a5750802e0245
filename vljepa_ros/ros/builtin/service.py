"""Services and clients, in the manner of rmw_cyclonedds.

A request travels on `rq<name>Request`, its reply on `rr<name>Reply`; both begin with 16
bytes, the client's id and a sequence number, by which a client knows its replies.
"""

from __future__ import annotations

import itertools
import secrets
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from vljepa_ros.ros.builtin.cdr import CdrError, byte_order, decode, encode
from vljepa_ros.ros.builtin.context import InvalidHandle
from vljepa_ros.ros.builtin.dds import DdsError, Writer, user_data_value
from vljepa_ros.ros.builtin.future import Future, ServiceCallback
from vljepa_ros.ros.builtin.handles import Entity, Handler, NodeHandle
from vljepa_ros.ros.builtin.message import Message, ServiceType
from vljepa_ros.ros.builtin.qos import QoSProfile

_IDENTITY = "Qq"  # client id, sequence number
_IDENTITY_SIZE = struct.calcsize("<" + _IDENTITY)
_MOST_MATCHED = 1000  # clients that are remembered; short-lived ones keep coming
_REPLY_MATCH_S = 0.1  # seconds that a reply waits for a client that is still being discovered


class _ServiceEnd(Entity):
    """One side of a service: a reader and a writer that carry the same identity."""

    def __init__(
        self,
        node: NodeHandle,
        srv_type: type[ServiceType],
        name: str,
        qos: QoSProfile,
        role: str,
    ) -> None:
        self._node = node
        self.srv_type, self.srv_name = srv_type, name
        identity = ".".join(f"{byte:x}" for byte in secrets.token_bytes(16))
        request = f"rq{name}Request", f"{srv_type._service_name}_Request"
        reply = f"rr{name}Reply", f"{srv_type._service_name}_Response"
        incoming, outgoing = (request, reply) if role == "service" else (reply, request)
        participant = node.context.participant
        self.reader = participant.reader(*incoming, qos, f"{role}id={identity};")
        writer = participant.writer(*outgoing, qos, f"{role}id={identity};")
        self.writer, self._id = writer, writer.handle


def _split(data: bytes) -> tuple[int, int]:
    """Client id and sequence number of a request or reply. Raises CdrError."""
    try:
        client, sequence = struct.unpack_from(byte_order(data) + _IDENTITY, data, 4)
    except struct.error as error:
        raise CdrError(f"no request identity: {error}") from error
    return client, sequence


class Service(_ServiceEnd):
    """Answers requests. The callback gets (request, response) and returns the response.

    It may be `async def`; the reply is sent when it returns.
    """

    def __init__(
        self,
        node: NodeHandle,
        srv_type: type[ServiceType],
        name: str,
        callback: ServiceCallback,
        qos: QoSProfile,
    ) -> None:
        super().__init__(node, srv_type, name, qos, "service")
        self.callback = callback
        self._matched: set[int] = set()  # handles of the clients known to receive our replies

    def take(self) -> Handler | None:
        """The callback bound to the oldest request, or None."""
        reader = self.reader
        taken = reader.take_with_source() if reader else None
        if taken is None or reader is None:
            return None
        data, source = taken
        try:
            identity = _split(data)
            request = decode(f"{self.srv_type._service_name}_Request", data, _IDENTITY_SIZE)
        except CdrError as error:
            self._node.get_logger().warning(
                f"service {self.srv_name}: undecodable request dropped: {error}",
                throttle_duration_sec=5.0,
            )
            return None
        user_id = None
        if source not in self._matched:
            user_id = user_data_value(reader.user_data_of(source), "clientid")
        reply = partial(self._reply, identity, source, user_id)
        return lambda: self._answer(request, reply)

    def _answer(self, request: Message, reply: Callable[[Message], None]) -> Any:
        result = self.callback(request, self.srv_type.Response())
        if not hasattr(result, "__await__"):
            return reply(result)

        async def wait_and_reply() -> None:
            reply(await result)

        return wait_and_reply()

    def _reply(
        self, identity: tuple[int, int], source: int, user_id: str | None, response: Message
    ) -> None:
        """Send a response.

        Args:
            identity: Client id and sequence number of the request.
            source: Handle of the client's writer.
            user_id: The client's id in its user data; None once it is known to be matched.
            response: What the callback returned.
        """
        if not isinstance(response, self.srv_type.Response):
            raise TypeError(
                f"callback of service {self.srv_name} returned {type(response).__name__}, not a"
                f" {self.srv_type.__name__}.Response"
            )
        data = encode(response, struct.pack("=" + _IDENTITY, *identity))
        writer = self.writer
        if writer is None or not self._node.context.ok():
            return  # destroyed while an async callback was running
        if user_id is not None:
            self._wait_for_match(writer, source, user_id)
            if len(self._matched) >= _MOST_MATCHED:
                self._matched.clear()
            self._matched.add(source)
        try:
            writer.write(data)
        except DdsError as error:
            self._node.get_logger().warning(f"service {self.srv_name}: reply lost: {error}")

    def _wait_for_match(self, writer: Writer, source: int, user_id: str) -> None:
        """Wait until the client is matched: it may have found us before we found it.

        Ends if the client is gone: it may have left before a slow reply.
        """
        deadline = time.monotonic() + _REPLY_MATCH_S
        while time.monotonic() < deadline and self.reader and self.reader.user_data_of(source):
            found = [user_data_value(d, "clientid") for d in writer.matched_user_data()]
            if user_id in found:
                return
            time.sleep(0.005)


class Client(_ServiceEnd):
    """Calls a service."""

    def __init__(
        self, node: NodeHandle, srv_type: type[ServiceType], name: str, qos: QoSProfile
    ) -> None:
        super().__init__(node, srv_type, name, qos, "client")
        self._sequence = itertools.count(1)
        self._pending: dict[int, Future] = {}
        self._lock = threading.Lock()
        self._servers: list[int] = []
        self._foreign = False

    def service_is_ready(self) -> bool:
        """Whether a server is matched in both directions, and all servers can read requests."""
        reader, writer = self.reader, self.writer
        if reader is None or writer is None:
            raise InvalidHandle(f"client of {self.srv_name} was destroyed")
        return bool(writer.matched()) and reader.matched() > 0 and not self._misread(writer)

    def _misread(self, writer: Writer) -> bool:
        """Whether a server of another DDS implementation is there, with a log line.

        It takes the identity for the first fields. Fast DDS read a sequence of a billion parameters
        in a request to set one: 18 GB and a minute, in which that node did nothing else.
        """
        matched = writer.matched()
        if matched != self._servers:  # asking for their data takes five times as long
            ids = [user_data_value(data, "serviceid") for data in writer.matched_user_data()]
            self._servers, self._foreign = matched, not all(ids)
        if not self._foreign:
            return False
        self._node.get_logger().warning(
            f"{self.srv_name}: not called, a server of it uses another DDS implementation, which "
            "would misread the request: set RMW_IMPLEMENTATION=rmw_cyclonedds_cpp there",
            throttle_duration_sec=5.0,
        )
        return True

    def call_async(self, request: Message) -> Future:
        """Send a request; none to a server that would misread it, as if it were not there.

        Returns:
            A future of the response.

        Raises:
            TypeError: `request` is of another type.
            FieldError: A field holds an invalid value.
            InvalidHandle: The client was destroyed.
        """
        if not isinstance(request, self.srv_type.Request):
            raise TypeError(
                f"expected a {self.srv_type.__name__}.Request for {self.srv_name}, got"
                f" {type(request).__name__}"
            )
        writer = self.writer
        if writer is None or not self._node.context.ok():
            raise InvalidHandle(f"client of {self.srv_name} was destroyed")
        future = Future()
        with self._lock:
            sequence = next(self._sequence)
            self._pending[sequence] = future
        future.add_done_callback(lambda _: self._pending.pop(sequence, None))
        if self._misread(writer):
            return future
        try:
            writer.write(encode(request, struct.pack("=" + _IDENTITY, self._id, sequence)))
        except Exception:
            self._pending.pop(sequence, None)
            raise
        return future

    def remove_pending_request(self, future: Future) -> None:
        """Stop waiting for a reply."""
        for sequence in [s for s, f in list(self._pending.items()) if f is future]:
            self._pending.pop(sequence, None)

    def take(self) -> Handler | None:
        """Completion of the future that the oldest reply belongs to, or None."""
        while (reader := self.reader) is not None and (data := reader.take()) is not None:
            try:
                client, sequence = _split(data)
                if client != self._id or sequence not in self._pending:
                    continue  # another client's reply, or one that is no longer awaited
                response = decode(f"{self.srv_type._service_name}_Response", data, _IDENTITY_SIZE)
            except CdrError as error:
                self._node.get_logger().warning(
                    f"client of {self.srv_name}: undecodable reply dropped: {error}",
                    throttle_duration_sec=5.0,
                )
                continue
            future = self._pending.pop(sequence, None)
            if future is not None:
                return partial(future.set_result, response)
        return None

    def destroy(self) -> None:
        """Stop calling; what is pending never completes."""
        super().destroy()
        self._pending.clear()
