"""Bytes in, bytes out over Cyclone DDS, by its public Python API.

Only this file and `type_support` import `cyclonedds`. Two things follow from that API.
`DataWriter.write` holds the GIL, so a write must not block: the limit for unacknowledged data
(`WhcHigh`) is far above what a keep-last history can hold, and what blocking remains is bounded by
`MAX_BLOCKING_S`. An entity is deleted when its last Python reference goes, so a reader that is
destroyed while another thread takes from it lives until that is done.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cyclonedds.builtin import (
    BuiltinDataReader,
    BuiltinTopicDcpsPublication,
    BuiltinTopicDcpsSubscription,
)
from cyclonedds.core import (
    DDSException,
    DDSStatus,
    GuardCondition,
    InstanceState,
    Policy,
    Qos,
    ReadCondition,
    SampleState,
    ViewState,
)
from cyclonedds.core import WaitSet as CycloneWaitSet
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from vljepa_ros.ros.builtin.clock import Duration
from vljepa_ros.ros.builtin.configuration import LARGEST_MESSAGE_BYTES, configuration
from vljepa_ros.ros.builtin.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from vljepa_ros.ros.builtin.type_support import (
    RawSample,
    idl_type,
    ros_type_name,
    type_hash,
)
from vljepa_ros.ros.events import DeadlineMissed, IncompatibleQoS

MAX_BLOCKING_S = 0.1  # seconds that a reliable write may wait for slow readers
_INFINITE = duration(infinite=True)
_ANY = SampleState.Any | ViewState.Any | InstanceState.Any


class DdsError(RuntimeError):
    """Cyclone DDS refused an operation."""


# ---- quality of service


def _policies(qos: QoSProfile, user_data: bytes, *, writer: bool) -> Any:
    if qos.reliability == ReliabilityPolicy.BEST_EFFORT:
        reliability = Policy.Reliability.BestEffort
    else:
        reliability = Policy.Reliability.Reliable(duration(seconds=MAX_BLOCKING_S))
    history = (
        Policy.History.KeepAll
        if qos.history == HistoryPolicy.KEEP_ALL
        else Policy.History.KeepLast(max(1, qos.depth))
    )
    policies = [
        reliability,
        history,
        Policy.Userdata(user_data),
        Policy.DataRepresentation(use_cdrv0_representation=True),
    ]
    if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        policies += [
            Policy.Durability.TransientLocal,
            Policy.DurabilityService(
                cleanup_delay=0,
                history=history,
                max_samples=-1,
                max_instances=-1,
                max_samples_per_instance=-1,
            ),
        ]
    else:
        policies.append(Policy.Durability.Volatile)
    if qos.deadline.nanoseconds:
        policies.append(Policy.Deadline(qos.deadline.nanoseconds))
    if qos.liveliness_lease_duration.nanoseconds:
        policies.append(Policy.Liveliness.Automatic(qos.liveliness_lease_duration.nanoseconds))
    if writer:
        policies.append(Policy.WriterDataLifecycle(autodispose=False))
        if qos.lifespan.nanoseconds:
            policies.append(Policy.Lifespan(qos.lifespan.nanoseconds))
    return Qos(*policies)


POLICY_NAMES = {  # dds_qos_policy_id, by the names ROS 2 uses
    2: "DURABILITY",
    4: "DEADLINE",
    6: "OWNERSHIP",
    8: "LIVELINESS",
    11: "RELIABILITY",
    13: "HISTORY",
    21: "LIFESPAN",
}


def _incompatible(read_status: Callable[[], Any]) -> IncompatibleQoS:
    try:
        status = read_status()
    except DDSException:
        return IncompatibleQoS(0, 0, "")  # the participant was closed by another thread
    policy = POLICY_NAMES.get(status.last_policy_id, f"policy {status.last_policy_id}")
    return IncompatibleQoS(status.total_count, status.total_count_change, policy)


def _deadline_missed(read_status: Callable[[], Any]) -> DeadlineMissed:
    try:
        status = read_status()
    except DDSException:
        return DeadlineMissed(0, 0)  # the participant was closed by another thread
    return DeadlineMissed(status.total_count, status.total_count_change)


class EndpointInfo(NamedTuple):
    """An endpoint that discovery knows, on this or another participant."""

    guid: bytes
    participant: bytes
    topic: str
    type_name: str  # as ROS writes it
    qos: QoSProfile
    user_data: bytes


# ---- entities


class Participant:
    """One DDS participant: everything of one ROS context goes through it."""

    def __init__(self, domain_id: int, user_data: bytes) -> None:
        own_configuration = None if os.environ.get("CYCLONEDDS_URI") else configuration()
        try:
            self._domain = Domain(domain_id, own_configuration) if own_configuration else None
            self._participant = DomainParticipant(domain_id, Qos(Policy.Userdata(user_data)))
        except DDSException as error:
            raise DdsError(
                f"no DDS participant in domain {domain_id}: {error}; domain ids are 0 to 232, and a"
                " host carries at most 33 participants of one domain (set ROS_DOMAIN_ID)"
            ) from error
        self.guid: bytes = self._participant.guid.bytes
        self._topics: dict[tuple[str, str], Any] = {}
        self._builtin = {
            "writer": BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication),
            "reader": BuiltinDataReader(self._participant, BuiltinTopicDcpsSubscription),
        }
        self._known: dict[str, dict[bytes, EndpointInfo]] = {"writer": {}, "reader": {}}

    def _end(self, end: Any, topic: str, type_name: str, qos: QoSProfile, identity: str) -> Any:
        user_data = f"{identity}typehash={type_hash(type_name)};".encode()
        policies = _policies(qos, user_data, writer=end is DataWriter)
        key = (topic, type_name)
        if key not in self._topics:
            raw_type = idl_type(type_name, bool(identity))
            self._topics[key] = Topic(self._participant, topic, raw_type)
        return end(self._participant, self._topics[key], policies)

    def writer(self, topic: str, type_name: str, qos: QoSProfile, identity: str = "") -> Writer:
        """Create a writer.

        Args:
            topic: Name in DDS.
            type_name: As `pkg/msg/Name`.
            qos: Its quality of service.
            identity: What its user data says of a service or client; not empty: the identity of a
                request precedes the fields.
        """
        writer = self._end(DataWriter, topic, type_name, qos, identity)
        return Writer(writer, idl_type(type_name, bool(identity)))

    def reader(self, topic: str, type_name: str, qos: QoSProfile, identity: str = "") -> Reader:
        """Create a reader; arguments as for `writer`."""
        return Reader(self._end(DataReader, topic, type_name, qos, identity))

    def endpoints(self, kind: str) -> list[EndpointInfo]:
        """All endpoints that discovery knows now; `kind` is `writer` or `reader`."""
        known = self._known[kind]
        while samples := self._builtin[kind].take(64):
            for sample in samples:
                guid = sample.key.bytes
                alive = sample.sample_info.instance_state == InstanceState.Alive
                if alive and sample.sample_info.valid_data:
                    known[guid] = EndpointInfo(
                        guid,
                        sample.participant_key.bytes,
                        sample.topic_name,
                        ros_type_name(sample.type_name),
                        _profile(sample.qos),
                        _user_data(sample.qos),
                    )
                elif not alive:
                    known.pop(guid, None)
        return list(known.values())

    def close(self) -> None:
        """Delete the participant and everything in it."""
        self._topics.clear()
        self._builtin.clear()
        for entity in (self._participant, self._domain):
            if entity is not None:
                entity.__del__()  # deletes now, even if something still refers to it


def user_data_value(user_data: bytes, key: str) -> str:
    """Value of `key=value;` in the user data of an endpoint, empty if there is none."""
    match = re.search(rf"(?:^|;){key}=([^;]*)", user_data.decode("ascii", "replace"))
    return match[1] if match else ""


def _user_data(qos: Any) -> bytes:
    return bytes(qos[Policy.Userdata].data) if Policy.Userdata in qos else b""


def _profile(qos: Any) -> QoSProfile:
    reliable = Policy.Reliability.BestEffort not in qos
    latched = Policy.Durability.TransientLocal in qos
    keep_all = Policy.History.KeepAll in qos
    deadline = getattr(qos[Policy.Deadline], "deadline", _INFINITE)
    lease = getattr(qos[Policy.Liveliness], "lease_duration", _INFINITE)
    history = qos[Policy.History] if Policy.History in qos else None  # noqa: SIM401
    return QoSProfile(
        depth=getattr(history, "depth", 1),
        history=HistoryPolicy.KEEP_ALL if keep_all else HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        deadline=Duration(nanoseconds=deadline % _INFINITE),  # none: 0
        liveliness_lease_duration=Duration(nanoseconds=lease % _INFINITE),
    )


class Writer:
    """Writes CDR bytes to a topic. Safe to use from several threads."""

    def __init__(self, writer: Any, raw_type: type[RawSample]) -> None:
        self._writer, self._raw_type = writer, raw_type
        self.guid: bytes = writer.guid.bytes
        self.handle: int = writer.get_instance_handle() & (2**64 - 1)

    def write(self, data: bytes) -> None:
        """Send one message. Raises DdsError, also after MAX_BLOCKING_S seconds."""
        try:
            self._writer.write(self._raw_type(data))
        except DDSException as error:
            size, most = len(data), LARGEST_MESSAGE_BYTES
            large = f"{size} bytes, allowed: {most}; " if size > most else ""
            raise DdsError(f"write failed: {large}{error}") from error

    def matched(self) -> list[int]:
        """Handles of the matched readers."""
        return list(self._writer.get_matched_subscriptions())

    def matched_user_data(self) -> list[bytes]:
        """User data of every matched reader."""
        data_of = self._writer.get_matched_subscription_data
        found = [data_of(handle) for handle in self.matched()]
        return [_user_data(reader.qos) for reader in found if reader is not None]

    def incompatible(self) -> IncompatibleQoS:
        """Readers that were refused for their QoS."""
        return _incompatible(self._writer.get_offered_incompatible_qos_status)

    def deadline_missed(self) -> DeadlineMissed:
        """How often nothing was written within the offered deadline."""
        return _deadline_missed(self._writer.get_offered_deadline_missed_status)


class Reader:
    """Takes CDR bytes from a topic."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.guid: bytes = reader.guid.bytes
        self.conditions: list[Any] = [ReadCondition(reader, _ANY)]  # that end a wait

    def wake_at_deadlines(self) -> None:
        """Let a missed deadline end a wait, too."""
        self._reader.set_status_mask(DDSStatus.RequestedDeadlineMissed)
        self.conditions.append(self._reader)

    def take(self) -> bytes | None:
        """The oldest message not taken yet, copied; None if there is none."""
        taken = self.take_with_source()
        return None if taken is None else taken[0]

    def take_with_source(self) -> tuple[bytes, int] | None:
        """As `take`, with the handle of the writer that it came from."""
        try:
            while samples := self._reader.take(1):
                sample: Any = samples[0]
                if isinstance(sample, RawSample):
                    return sample.data, int(sample.sample_info.publication_handle)  # type: ignore[attr-defined]
        except DDSException:
            pass  # the participant was closed by another thread
        return None

    def user_data_of(self, source: int) -> bytes:
        """User data of the writer with handle `source`, empty if it is gone."""
        found = self._reader.get_matched_publication_data(source)
        return b"" if found is None else _user_data(found.qos)

    def matched(self) -> int:
        """Number of writers that this reader gets messages from."""
        return len(self._reader.get_matched_publications())

    def incompatible(self) -> IncompatibleQoS:
        """Writers that were refused for their QoS."""
        return _incompatible(self._reader.get_requested_incompatible_qos_status)

    def deadline_missed(self) -> DeadlineMissed:
        """How often nothing arrived within the requested deadline."""
        return _deadline_missed(self._reader.get_requested_deadline_missed_status)


class WaitSet:
    """Sleeps until a reader has something or `wake` is called from any thread."""

    def __init__(self, participant: Participant) -> None:
        self._set = CycloneWaitSet(participant._participant)
        self._guard = GuardCondition(participant._participant)
        self._set.attach(self._guard)

    def attach(self, reader: Reader) -> None:
        """Watch `reader`."""
        for condition in reader.conditions:
            self._set.attach(condition)

    def detach(self, reader: Reader) -> None:
        """Stop watching `reader`."""
        for condition in reader.conditions:
            self._set.detach(condition)

    def wait(self, timeout: float) -> None:
        """Return when a reader has data, `wake` was called, or `timeout` seconds have passed."""
        with contextlib.suppress(DDSException):  # the participant was closed by another thread
            self._set.wait(int(max(0.0, timeout) * 1e9))
            self._guard.take()

    def wake(self) -> None:
        """End a `wait`, the present one or the next."""
        with contextlib.suppress(DDSException):
            self._guard.set(True)
