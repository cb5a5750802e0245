"""Services and clients, in the manner of rmw_cyclonedds.

A request travels on ``rq<name>Request``, its reply on ``rr<name>Reply``; both begin with 16
bytes, the client's id and a sequence number, by which a client knows its replies.
"""

from __future__ import annotations

import itertools
import re
import secrets
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .cdr import CdrError, byte_order, decode, encode
from .dds import DdsError, Reader, Writer
from .endpoints import Handler
from .errors import InvalidHandle
from .future import Future
from .message import Message, ServiceType
from .names import reply_in_dds, request_in_dds
from .qos import HistoryPolicy, QoSProfile
from .type_hash import type_hash

if TYPE_CHECKING:
    from .node import Node

_IDENTITY = "Qq"  # client id, sequence number
_IDENTITY_SIZE = struct.calcsize("<" + _IDENTITY)
_REPLY_MATCH_SECONDS = 0.1  # a client that is still being discovered gets this long


def _ends(
    node: Node, service: type[ServiceType], name: str, qos: QoSProfile, role: str
) -> tuple[Reader, Writer]:
    """Reader and writer of one side; `role` is ``service`` or ``client``."""
    identity = ".".join(f"{byte:x}" for byte in secrets.token_bytes(16))
    request, response = f"{service._service_name}_Request", f"{service._service_name}_Response"
    participant = node.context.participant
    # A burst deeper than the history would lose requests, and their clients would wait for ever.
    qos = replace(qos, history=HistoryPolicy.KEEP_ALL)

    def user_data(type_name: str) -> bytes:
        return f"{role}id={identity};typehash={type_hash(type_name)};".encode()

    incoming, outgoing = (
        (request_in_dds(name), request),
        (reply_in_dds(name), response),
    )
    if role == "client":
        incoming, outgoing = outgoing, incoming
    return (
        participant.reader(*incoming, qos, user_data(incoming[1]), service=True),
        participant.writer(*outgoing, qos, user_data(outgoing[1]), service=True),
    )


def _split(data: bytes) -> tuple[int, int]:
    """Client id and sequence number of a request or reply. Raises CdrError."""
    try:
        client, sequence = struct.unpack_from(byte_order(data) + _IDENTITY, data, 4)
    except struct.error as error:
        raise CdrError(f"no request identity: {error}") from error
    return client, sequence


class _Asker(NamedTuple):
    """Whom a reply is for."""

    client: int
    sequence: int
    source: int  # handle of the client's writer
    user_id: bytes | None  # the client's id in its user data, None where it is known to hear us


def _client_id(user_data: bytes) -> bytes:
    match = re.search(rb"clientid=([^;]*);", user_data)
    return match[1] if match else b""


class Service:
    """Answers requests. The callback gets (request, response) and returns the response.

    It may be ``async def``; the reply is sent when it returns.
    """

    def __init__(
        self,
        node: Node,
        srv_type: type[ServiceType],
        name: str,
        callback: Callable[[Any, Any], Any],
        qos: QoSProfile,
    ) -> None:
        self._node = node
        self.srv_type, self.srv_name, self.callback, self.qos_profile = (
            srv_type,
            name,
            callback,
            qos,
        )
        self.reader: Reader | None
        self._writer: Writer | None
        self.reader, self._writer = _ends(node, srv_type, name, qos, "service")
        self._met: set[int] = set()  # handles of the clients that are known to hear us

    @property
    def service_name(self) -> str:
        """Absolute service name."""
        return self.srv_name

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
        client = _client_id(reader.user_data_of(source)) if source not in self._met else None
        return lambda: self._answer(_Asker(*identity, source, client), request)

    def _answer(self, asker: _Asker, request: Message) -> Any:
        result = self.callback(request, self.srv_type.Response())
        if not hasattr(result, "__await__"):
            self._reply(asker, result)
            return None

        async def wait_and_reply() -> None:
            self._reply(asker, await result)

        return wait_and_reply()

    def _reply(self, asker: _Asker, response: Any) -> None:
        if not isinstance(response, self.srv_type.Response):
            raise TypeError(
                f"callback of service {self.srv_name} returned {type(response).__name__}, not a"
                f" {self.srv_type.__name__}.Response"
            )
        data = encode(response, struct.pack("=" + _IDENTITY, asker.client, asker.sequence))
        writer = self._writer
        if writer is None or not self._node.context.ok():
            return  # destroyed while an async callback was at work: nobody waits any more
        if asker.user_id is not None:
            self._wait_for_match(writer, asker.user_id)
            self._met.add(asker.source)
        try:
            writer.write(data)
        except DdsError as error:
            self._node.get_logger().warning(f"service {self.srv_name}: reply lost: {error}")

    @staticmethod
    def _wait_for_match(writer: Writer, user_id: bytes) -> None:
        """Wait until the client can hear us: it may have found us before we found it."""
        deadline = time.monotonic() + _REPLY_MATCH_SECONDS
        while time.monotonic() < deadline:
            if any(_client_id(data) == user_id for data in writer.matched_user_data()):
                return
            time.sleep(0.005)

    def writers(self) -> list[Writer]:
        """Its DDS writers."""
        return [self._writer] if self._writer else []

    def destroy(self) -> None:
        """Stop answering."""
        self.reader = self._writer = None


class Client:
    """Asks a service."""

    def __init__(self, node: Node, srv_type: type[ServiceType], name: str, qos: QoSProfile) -> None:
        self._node = node
        self.srv_type, self.srv_name, self.qos_profile = srv_type, name, qos
        self.reader: Reader | None
        self._writer: Writer | None
        self.reader, self._writer = _ends(node, srv_type, name, qos, "client")
        self._id = self._writer.handle
        self._sequence = itertools.count(1)
        self._pending: dict[int, Future] = {}
        self._lock = threading.Lock()

    @property
    def service_name(self) -> str:
        """Absolute service name."""
        return self.srv_name

    def service_is_ready(self) -> bool:
        """Whether a server is there, both ways."""
        reader, writer = self.reader, self._writer
        if reader is None or writer is None:
            raise InvalidHandle(f"client of {self.srv_name} was destroyed")
        return writer.matched() > 0 and reader.matched() > 0

    def wait_for_service(self, timeout_sec: float | None = None) -> bool:
        """Wait for a server; whether one is there. None waits as long as the context is ok."""
        deadline = None if timeout_sec is None else time.monotonic() + timeout_sec
        while self._node.context.ok():
            if self.service_is_ready():
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return False

    def call_async(self, request: Message) -> Future:
        """Send `request`; the future's result is the response. Raises TypeError, FieldError."""
        if not isinstance(request, self.srv_type.Request):
            raise TypeError(
                f"expected a {self.srv_type.__name__}.Request for {self.srv_name}, got"
                f" {type(request).__name__}"
            )
        writer = self._writer
        if writer is None or not self._node.context.ok():
            raise InvalidHandle(f"client of {self.srv_name} was destroyed")
        future = Future()
        with self._lock:
            sequence = next(self._sequence)
            self._pending[sequence] = future
        future.add_done_callback(lambda _: self._pending.pop(sequence, None))
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
                    continue  # another client's reply, or one that is not awaited any more
                response = decode(f"{self.srv_type._service_name}_Response", data, _IDENTITY_SIZE)
            except CdrError as error:
                self._node.get_logger().warning(
                    f"client of {self.srv_name}: undecodable reply dropped: {error}",
                    throttle_duration_sec=5.0,
                )
                continue
            future = self._pending.pop(sequence, None)
            if future is not None:
                return lambda f=future, r=response: f.set_result(r)  # type: ignore[misc]
        return None

    def writers(self) -> list[Writer]:
        """Its DDS writers."""
        return [self._writer] if self._writer else []

    def destroy(self) -> None:
        """Stop asking; what is pending never completes."""
        self.reader = self._writer = None
        self._pending.clear()
