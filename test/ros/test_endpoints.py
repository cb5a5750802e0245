from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vljepa_ros import ros

from .conftest import Graph, builtin_only

String = ros.interface("std_msgs/msg/String")
Image = ros.interface("sensor_msgs/msg/Image")
LATCHED = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.BEST_EFFORT)
Program = Callable[..., "subprocess.Popen[str]"]

PUBLISHER = """
import sys, time
from vljepa_ros import ros
String = ros.interface("std_msgs/msg/String")
ros.init([])
node = ros.Node("far_publisher")
qos = ros.QoSProfile(depth=1, durability=ros.DurabilityPolicy.TRANSIENT_LOCAL)
latched = node.create_publisher(String, "latched", qos)
for i in range(5):
    latched.publish(String(data=f"latched {i}"))
also = node.create_publisher(String, "also_latched", qos)
also.publish(String(data="before"))
live = node.create_publisher(String, "live", 10)
print("ready")
while True:
    live.publish(String(data="live"))
    time.sleep(0.05)
"""

SUBSCRIBER = """
from vljepa_ros import ros
Image = ros.interface("sensor_msgs/msg/Image")
ros.init([])
node = ros.Node("far_subscriber")
node.create_subscription(Image, "image", lambda m: print("got", len(m.data)), 5)
print("ready")
ros.spin(node)
"""


def test_every_message_arrives_in_order(graph: Graph) -> None:
    near, got = graph.node("near"), []
    publisher = near.create_publisher(String, "words", 100)
    near.create_subscription(String, "words", lambda m: got.append(m.data), 100)
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    for i in range(50):
        publisher.publish(String(data=str(i)))
    assert graph.until(lambda: len(got) == 50)
    assert got == [str(i) for i in range(50)]


@builtin_only
def test_a_destroyed_node_is_gone_at_once_though_the_executor_is_amid_a_round(graph: Graph) -> None:
    near, far = graph.node("near"), graph.node("far")
    publisher, rounds = near.create_publisher(String, "words", 10), []
    events = ros.endpoint_events(incompatible_qos=print)
    far.create_subscription(String, "words", print, 10, event_callbacks=events)
    far.create_timer(0.01, lambda: rounds.append(1), clock=ros.steady_clock())
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    count = len(rounds)
    assert graph.until(lambda: len(rounds) > count)  # the timer comes first in a round
    graph.executor.remove_node(far)
    far.destroy_node()
    assert publisher.get_subscription_count() == 0


def test_another_process_and_a_late_joiner(graph: Graph, program: Program) -> None:
    far = program(PUBLISHER)
    assert far.stdout is not None
    assert far.stdout.readline() == "ready\n"
    node: Any = graph.node("late")
    latched: list[str] = []
    volatile: list[str] = []
    live: list[str] = []
    node.create_subscription(String, "latched", lambda m: latched.append(m.data), LATCHED)
    node.create_subscription(String, "also_latched", lambda m: volatile.append(m.data), 10)
    node.create_subscription(String, "live", lambda m: live.append(m.data), 10)
    assert graph.until(lambda: latched and len(live) > 3)
    assert latched == ["latched 4"]
    assert volatile == []
    # the peer dies; we live on, and notice
    far.send_signal(signal.SIGKILL)
    far.wait()
    count = len(live)
    publisher = node.create_publisher(String, "own", 10)
    node.create_subscription(String, "own", lambda m: live.append(m.data), 10)
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data="after"))
    assert graph.until(lambda: len(live) > count and live[-1] == "after")


@builtin_only
def test_a_stopped_reliable_reader_does_not_hold_up_its_publisher(
    graph: Graph, program: Program
) -> None:
    far = program(SUBSCRIBER)
    assert far.stdout is not None
    assert far.stdout.readline() == "ready\n"
    publisher = graph.node("near").create_publisher(Image, "image", 5)
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    image = Image(data=np.zeros(640 * 480 * 3, np.uint8))
    publisher.publish(image)
    assert far.stdout.readline() == "got 921600\n"
    far.send_signal(signal.SIGSTOP)
    taken = []
    for _ in range(31):
        started = time.monotonic()
        publisher.publish(image)
        taken.append(time.monotonic() - started)
    assert sorted(taken)[15] < 0.1, "most writes do not come near the blocking limit of 0.1 s"
    far.send_signal(signal.SIGCONT)


def test_incompatible_qos_is_reported_on_both_sides(graph: Graph) -> None:
    node = graph.node("near")
    asked: list[Any] = []
    offered: list[Any] = []
    node.create_publisher(
        String,
        "x",
        BEST_EFFORT,
        event_callbacks=ros.endpoint_events(incompatible_qos=offered.append, kind="publisher"),
    )
    node.create_subscription(
        String, "x", print, 10, event_callbacks=ros.endpoint_events(incompatible_qos=asked.append)
    )
    assert graph.until(lambda: asked and offered)
    assert asked[0].policy == offered[0].policy == "RELIABILITY"
    assert asked[0].total == 1
    assert "best effort" in asked[0].remedy
    durability: list[Any] = []
    node.create_publisher(String, "y", 10)
    node.create_subscription(
        String,
        "y",
        print,
        LATCHED,
        event_callbacks=ros.endpoint_events(incompatible_qos=durability.append),
    )
    assert graph.until(lambda: durability)
    assert durability[0].policy == "DURABILITY"


def test_deadlines_that_are_missed_are_reported_on_both_sides(graph: Graph) -> None:
    node, got = graph.node("near"), []
    late: dict[str, list[Any]] = {"publisher": [], "subscription": []}
    span = ros.Duration(seconds=0.3)
    qos = ros.QoSProfile(depth=10, deadline=span, liveliness_lease_duration=span)

    def events(kind: str) -> Any:
        return ros.endpoint_events(deadline_missed=late[kind].append, kind=kind)

    publisher = node.create_publisher(String, "x", qos, event_callbacks=events("publisher"))
    node.create_subscription(String, "x", got.append, qos, event_callbacks=events("subscription"))
    timer = node.create_timer(0.03, lambda: publisher.publish(String()), clock=ros.steady_clock())
    assert graph.until(lambda: len(got) > 3)
    for missed in late.values():
        missed.clear()  # a busy machine is late
    seen = node.get_publishers_info_by_topic("x")[0].qos_profile
    assert seen.deadline == seen.liveliness_lease_duration == span
    node.destroy_timer(timer)
    assert graph.until(lambda: all(late.values()))
    assert late["subscription"][0].total >= late["subscription"][0].new >= 1
    refused: list[Any] = []
    wrong = ros.QoSProfile(depth=10, deadline=ros.Duration(seconds=0.2))
    node.create_subscription(
        String,
        "x",
        print,
        wrong,
        event_callbacks=ros.endpoint_events(incompatible_qos=refused.append),
    )
    assert graph.until(lambda: refused)
    assert refused[0].policy == "DEADLINE"


FAR_HEARTBEAT = """
from vljepa_ros import ros
String = ros.interface("std_msgs/msg/String")
ros.init([])
node = ros.Node("far_publisher")
qos = ros.QoSProfile(depth=1, deadline=ros.Duration(seconds=0.5))
publisher = node.create_publisher(String, "beat", qos)
node.create_timer(0.1, lambda: publisher.publish(String()), clock=ros.steady_clock())
print("ready")
ros.spin(node)
"""


def test_a_dead_publisher_is_noticed_by_its_deadline(
    graph: Graph, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ros.RUNTIME == "builtin":  # the longest time that it sleeps where nothing wakes it
        monkeypatch.setattr("vljepa_ros.ros.builtin.executor._LONGEST_WAIT_S", 90.0)
    far, node = program(FAR_HEARTBEAT), graph.node("near")
    got: list[Any] = []
    late: list[Any] = []
    qos = ros.QoSProfile(depth=1, deadline=ros.Duration(seconds=1.0))
    node.create_subscription(
        String,
        "beat",
        got.append,
        qos,
        event_callbacks=ros.endpoint_events(deadline_missed=late.append),
    )
    assert graph.until(lambda: len(got) > 2)
    far.send_signal(signal.SIGKILL)
    far.wait()
    late.clear()
    while not late:  # must be woken: no short timeouts here
        graph.executor.spin_once(timeout_sec=90.0)


@builtin_only
def test_a_message_that_is_none_is_dropped_and_said(
    graph: Graph, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, got = graph.node("near"), []
    publisher = node.create_publisher(String, "words", 10)
    subscription = node.create_subscription(String, "words", lambda m: got.append(m.data), 10)
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    reader = subscription.reader
    taken = reader.take

    def damaged() -> bytes | None:  # Cyclone itself sorts out what does not fit the type
        data = taken()
        return data[:6] if data is not None and b"bad" in data else data

    monkeypatch.setattr(reader, "take", damaged)
    publisher.publish(String(data="bad"))
    publisher.publish(String(data="good"))
    assert graph.until(lambda: got)
    assert got == ["good"]
    assert "undecodable message dropped" in capfd.readouterr().err


@builtin_only
def test_a_message_that_is_too_large_is_dropped_and_said(
    graph: Graph, capfd: pytest.CaptureFixture[str]
) -> None:
    node, got = graph.node("near"), []
    publisher = node.create_publisher(Image, "image", 10)
    node.create_subscription(Image, "image", lambda m: got.append(len(m.data)), 10)
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    for size in (65 << 20, 1):
        publisher.publish(Image(data=bytes(size)))
    assert graph.until(lambda: got)
    assert got == [1]
    assert "bytes, allowed: 67108864;" in capfd.readouterr().err


def test_publishing_from_threads_while_entities_come_and_go(graph: Graph) -> None:
    node, got = graph.node("near"), []
    publisher = node.create_publisher(String, "words", 10)
    stop = threading.Event()
    errors: list[BaseException] = []

    def publish() -> None:
        try:
            while not stop.is_set():
                publisher.publish(String(data="x"))
                time.sleep(0.001)
        except ros.InvalidHandle:
            pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        subscription = node.create_subscription(String, "words", got.append, 10)
        timer = node.create_timer(0.0, lambda: None)
        graph.spin(0.03)
        node.destroy_subscription(subscription)
        node.destroy_timer(timer)
    count = len(got)
    graph.spin(0.05)
    assert len(got) == count  # nothing arrives after destruction
    node.destroy_publisher(publisher)
    graph.spin(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert count > 0


def test_destroyed_by_its_own_callback(graph: Graph) -> None:
    node, got = graph.node("near"), []
    publisher = node.create_publisher(String, "words", 10)

    def once(message: Any) -> None:
        got.append(message.data)
        node.destroy_subscription(subscription)

    subscription = node.create_subscription(String, "words", once, 10)
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    for _ in range(3):
        publisher.publish(String(data="x"))
    assert graph.until(lambda: got)
    graph.spin(0.1)
    assert got == ["x"]


@builtin_only
def test_errors_of_use(graph: Graph) -> None:
    node = graph.node("near")
    publisher = node.create_publisher(String, "words", 10)
    with pytest.raises(TypeError, match="std_msgs/msg/String"):
        publisher.publish(Image())
    with pytest.raises(ValueError, match="invalid name"):
        node.create_publisher(String, "bad name", 10)
    with pytest.raises(TypeError, match="QoSProfile"):
        node.create_publisher(String, "words", "10")
    node.destroy_publisher(publisher)
    with pytest.raises(ros.InvalidHandle):
        publisher.publish(String())
    assert node.destroy_publisher(publisher) is False
    node.destroy_node()
    with pytest.raises(ros.InvalidHandle):
        node.create_publisher(String, "words", 10)


def test_qos_overrides_of_a_publisher(make_graph: Callable[..., Graph]) -> None:
    name, kinds = "qos_overrides./words.publisher", ros.QoSPolicyKind
    values = {"durability": "transient_local", "deadline": 500_000_000, "history": "keep_all"}
    graph = make_graph(*(a for k, v in values.items() for a in ("-p", f"{name}.{k}:={v}")))
    node = graph.node("near")
    options = ros.QoSOverridingOptions(
        [kinds.HISTORY, kinds.DEPTH, kinds.RELIABILITY, kinds.DURABILITY, kinds.DEADLINE]
    )
    node.create_publisher(String, "words", ros.QoSProfile(depth=7), qos_overriding_options=options)
    assert graph.until(lambda: node.get_publishers_info_by_topic("words"))
    qos = node.get_publishers_info_by_topic("words")[0].qos_profile
    assert qos.durability == ros.DurabilityPolicy.TRANSIENT_LOCAL
    assert qos.reliability == ros.ReliabilityPolicy.RELIABLE
    assert qos.deadline == ros.Duration(seconds=0.5)
    assert node.get_parameter(f"{name}.depth").value == 7


@builtin_only
@pytest.mark.parametrize(
    ("policy", "value", "named"),
    [
        ("reliability", "sometimes", "'sometimes' is not one of"),
        ("deadline", "-1", "not a duration"),
        ("depth", "-1", "at least 0"),
    ],
)
def test_qos_overrides_that_are_not_allowed(
    make_graph: Callable[..., Graph], policy: str, value: str, named: str
) -> None:
    name, kinds = f"qos_overrides./words.publisher.{policy}", ros.QoSPolicyKind
    node = make_graph("-p", f"{name}:={value}").node("near")
    options = ros.QoSOverridingOptions([kinds.DEPTH, kinds.RELIABILITY, kinds.DEADLINE])
    with pytest.raises(ros.InvalidParameterValueException, match=f"{policy}: .*{named}"):
        node.create_publisher(String, "words", 10, qos_overriding_options=options)


def test_qos_overrides(make_graph: Callable[..., Graph]) -> None:
    name = "qos_overrides./words.subscription"
    graph = make_graph("-p", f"{name}.reliability:=best_effort", "-p", f"{name}.depth:=2")
    node = graph.node("near")
    options = ros.QoSOverridingOptions.with_default_policies()
    subscription = node.create_subscription(
        String, "words", print, 10, qos_overriding_options=options
    )
    assert subscription.qos_profile.reliability == ros.ReliabilityPolicy.BEST_EFFORT
    assert subscription.qos_profile.depth == 2
    publisher = node.create_publisher(String, "words", 10, qos_overriding_options=options)
    assert publisher.qos_profile.reliability == ros.ReliabilityPolicy.RELIABLE
    assert not node.set_parameters([ros.Parameter(f"{name}.depth", value=3)])[0].successful


@builtin_only
def test_a_small_receive_buffer_is_said_once(
    graph: Graph, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vljepa_ros.ros.builtin.context.receive_buffer_limit", lambda: 212992)
    node = graph.node("near")
    node.create_subscription(String, "words", print, 10)
    assert "rmem_max" not in capfd.readouterr().err
    for topic in ("a", "b"):
        node.create_subscription(Image, topic, print, BEST_EFFORT)
    assert capfd.readouterr().err.count("212992 bytes of receive buffer") == 1
