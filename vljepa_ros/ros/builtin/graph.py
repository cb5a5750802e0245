"""The ROS graph: nodes, topics, services and their endpoints.

DDS discovers participants and endpoints; which node an endpoint belongs to is what every ROS
participant publishes on the topic `ros_discovery_info`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vljepa_ros.ros.builtin.cdr import CdrError, decode, encode
from vljepa_ros.ros.builtin.dds import (
    EndpointInfo,
    Participant,
    Reader,
    Writer,
    user_data_value,
)
from vljepa_ros.ros.builtin.message import Message, message_class
from vljepa_ros.ros.builtin.qos import DurabilityPolicy, HistoryPolicy, QoSProfile

TOPIC = "ros_discovery_info"
_CLEANUP_PERIOD_S = 10.0  # seconds
TYPE = "rmw_dds_common/msg/ParticipantEntitiesInfo"


class GraphNode(Protocol):
    """What the graph needs of a node."""

    def get_name(self) -> str:
        """Name without namespace."""

    def get_namespace(self) -> str:
        """Namespace."""

    def dds_endpoints(self) -> tuple[list[Reader], list[Writer]]:
        """All its readers and writers."""


@dataclass(frozen=True)
class TopicEndpointInfo:
    """A publisher or subscription anywhere in the graph."""

    node_name: str
    node_namespace: str
    topic_type: str
    topic_type_hash: str
    qos_profile: QoSProfile


class Graph:
    """Publishes the local nodes, and collects those of other participants."""

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self._lock = threading.RLock()
        self._remote: dict[bytes, Any] = {}
        self._local: Any = None
        self._next_cleanup = time.monotonic() + _CLEANUP_PERIOD_S
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        everything = QoSProfile(
            history=HistoryPolicy.KEEP_ALL, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self._writer = participant.writer(TOPIC, TYPE, latched)
        self.reader = participant.reader(TOPIC, TYPE, everything)

    def publish(self, nodes: Iterable[GraphNode]) -> None:
        """Publish which endpoints belong to which of our nodes."""
        gid_class = message_class("rmw_dds_common/msg/Gid")

        def gid(guid: bytes) -> Message:
            return gid_class(data=np.frombuffer(guid, np.uint8))

        entries = []
        for node in nodes:
            readers, writers = node.dds_endpoints()
            entries.append(
                message_class("rmw_dds_common/msg/NodeEntitiesInfo")(
                    node_namespace=node.get_namespace(),
                    node_name=node.get_name(),
                    reader_gid_seq=[gid(r.guid) for r in readers],
                    writer_gid_seq=[gid(w.guid) for w in writers],
                )
            )
        message = message_class(TYPE)(
            gid=gid(self._participant.guid), node_entities_info_seq=entries
        )
        with self._lock:
            self._local = message
            self._writer.write(encode(message))

    def refresh(self) -> None:
        """Take what other participants have published; cheap if there is nothing."""
        with self._lock:
            while (data := self.reader.take()) is not None:
                try:
                    message = decode(TYPE, data)
                except CdrError:
                    continue  # Humble's 24-byte ids, or no ROS at all
                self._remote[bytes(message.gid.data)] = message
            if time.monotonic() > self._next_cleanup:
                # Discovery samples and dead participants must not pile up between queries.
                self._next_cleanup = time.monotonic() + _CLEANUP_PERIOD_S
                self._participant.endpoints("reader")
                self._drop_dead_participants()

    def _drop_dead_participants(self) -> None:
        alive = {e.participant for e in self._participant.endpoints("writer")}
        self._remote = {gid: m for gid, m in self._remote.items() if gid in alive}

    def _participants(self) -> list[Message]:
        """ParticipantEntitiesInfo of all participants alive."""
        with self._lock:
            self.refresh()
            self._drop_dead_participants()
            own = self._participant.guid
            others = [m for gid, m in self._remote.items() if gid != own]
            return ([self._local] if self._local is not None else []) + others

    def nodes(self) -> list[tuple[str, str]]:
        """(name, namespace) of every node."""
        return [
            (node.node_name, node.node_namespace)
            for message in self._participants()
            for node in message.node_entities_info_seq
        ]

    def _endpoints(self, kind: str) -> list[EndpointInfo]:
        with self._lock:
            return self._participant.endpoints(kind)

    def names_and_types(self, from_dds: Callable[[str], str | None]) -> list[tuple[str, list[str]]]:
        """(name, types) of everything that `from_dds` names, given the name of a DDS topic."""
        found: dict[str, set[str]] = {}
        for endpoint in self._endpoints("writer") + self._endpoints("reader"):
            name = from_dds(endpoint.topic)
            if name is not None:
                kind = endpoint.type_name.removesuffix("_Request").removesuffix("_Response")
                found.setdefault(name, set()).add(kind)
        return [(name, sorted(found[name])) for name in sorted(found)]

    def endpoints_of(self, dds_topic: str, kind: str) -> list[TopicEndpointInfo]:
        """Writers or readers (`kind`) of a topic, with the nodes that own them."""
        owners: dict[bytes, tuple[str, str]] = {}
        for message in self._participants():
            for node in message.node_entities_info_seq:
                for gid in (*node.reader_gid_seq, *node.writer_gid_seq):
                    owners[bytes(gid.data)] = (node.node_name, node.node_namespace)
        unknown = ("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_")
        return [
            TopicEndpointInfo(
                *owners.get(endpoint.guid, unknown),
                endpoint.type_name,
                user_data_value(endpoint.user_data, "typehash"),
                endpoint.qos,
            )
            for endpoint in self._endpoints(kind)
            if endpoint.topic == dds_topic
        ]
