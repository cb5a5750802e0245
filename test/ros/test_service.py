from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from vljepa_ros import ros

from .conftest import Graph, builtin_only

SetBool = ros.interface("std_srvs/srv/SetBool")
Header = ros.interface("std_msgs/msg/Header")
Program = Callable[..., "subprocess.Popen[str]"]

SERVER = """
import threading, time
from vljepa_ros import ros
SetBool = ros.interface("std_srvs/srv/SetBool")
ros.init([])
node = ros.Node("far")

def sync(request, response):
    response.success, response.message = request.data, "sync"
    return response

async def slow(request, response):
    future = ros.Future()
    threading.Timer(0.2, lambda: ros.complete(node, future, "slow")).start()
    response.message = await future
    return response

node.create_service(SetBool, "sync", sync)
group = ros.ReentrantCallbackGroup()  # else others would wait for it
node.create_service(SetBool, "slow", slow, callback_group=group)
print("ready")
ros.spin(node)
"""


def test_another_process_answers_and_dies(graph: Graph, program: Program) -> None:
    far = program(SERVER)
    assert far.stdout is not None
    assert far.stdout.readline() == "ready\n"
    node: Any = graph.node("near")
    assert graph.ask(node, "std_srvs/srv/SetBool", "sync", data=True).success is True
    # a slow async answer does not hold up the others
    order: list[str] = []
    clients = [node.create_client(SetBool, name) for name in ("slow", "sync")]
    for client in clients:
        assert graph.until(client.service_is_ready)
        client.call_async(SetBool.Request()).add_done_callback(
            lambda f: order.append(f.result().message)
        )
    assert graph.until(lambda: len(order) == 2)
    assert order == ["sync", "slow"]
    # the server dies with a request pending: nothing hangs, nothing raises
    pending = clients[0].call_async(SetBool.Request())
    far.send_signal(signal.SIGKILL)
    far.wait()
    graph.spin(0.5)
    assert not pending.done()
    node.destroy_client(clients[0])


def test_many_waiting_callbacks_are_woken_from_a_thread(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ros.RUNTIME == "builtin":  # the longest time that it sleeps where nothing wakes it
        monkeypatch.setattr("vljepa_ros.ros.builtin.executor._LONGEST_WAIT_S", 90.0)
    node: Any = graph.node("near")
    waiting: list[tuple[Any, bool]] = []

    async def answer(request: Any, response: Any) -> Any:
        future = ros.Future()
        waiting.append((future, request.data))
        response.message = await future
        return response

    # in rclpy's default group a callback that awaits keeps the others waiting
    group = ros.ReentrantCallbackGroup()
    node.create_service(SetBool, "ask", answer, callback_group=group)
    client = node.create_client(SetBool, "ask", callback_group=group)
    assert graph.until(client.service_is_ready)
    replies = [client.call_async(SetBool.Request(data=i % 2 == 0)) for i in range(8)]
    assert graph.until(lambda: len(waiting) == 8)
    worker = threading.Thread(
        target=lambda: [
            (time.sleep(0.01), ros.complete(node, future, f"{data}"))
            for future, data in reversed(waiting)
        ]
    )
    worker.start()
    started = time.monotonic()
    while not all(r.done() for r in replies) and time.monotonic() - started < 90:
        graph.executor.spin_once(timeout_sec=90.0)  # must be woken: no short timeouts here
    worker.join()
    assert [r.result().message for r in replies] == [f"{i % 2 == 0}" for i in range(8)]
    assert time.monotonic() - started < 60.0


@pytest.mark.parametrize("clients", [1, 16])
def test_many_requests_at_once_get_as_many_replies(graph: Graph, clients: int) -> None:
    node, group = graph.node("near"), ros.ReentrantCallbackGroup()
    waiting: list[Any] = []

    async def answer(request: Any, response: Any) -> Any:
        waiting.append(ros.Future())
        response.message = await waiting[-1]
        return response

    options = {"callback_group": group, "qos_profile": ros.services_qos}
    node.create_service(SetBool, "ask", answer, **options)
    asking = [node.create_client(SetBool, "ask", **options) for _ in range(clients)]
    for client in asking:
        assert graph.until(client.service_is_ready)
    replies = [asking[i % clients].call_async(SetBool.Request()) for i in range(64)]
    assert graph.until(lambda: len(waiting) == 64)
    for future in waiting:
        ros.complete(node, future, "done")
    assert graph.until(lambda: all(reply.done() for reply in replies))
    assert {reply.result().message for reply in replies} == {"done"}


@builtin_only
def test_more_clients_than_are_remembered_are_answered(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of a command line is another client; who has left is not kept for ever."""
    monkeypatch.setattr("vljepa_ros.ros.builtin.service._MOST_MATCHED", 2)
    node = graph.node("near")
    service = node.create_service(SetBool, "ask", lambda request, response: response)
    for _ in range(5):
        client = node.create_client(SetBool, "ask")
        assert graph.until(client.service_is_ready)
        assert graph.until(client.call_async(SetBool.Request()).done)
        node.destroy_client(client)
        assert len(vars(service)["_matched"]) <= 2


def test_several_clients_get_their_own_replies(graph: Graph) -> None:
    node = graph.node("near")

    def echo(request: Any, response: Any) -> Any:
        response.success = request.data
        return response

    node.create_service(SetBool, "echo", echo)
    clients = [node.create_client(SetBool, "echo") for _ in range(3)]
    for client in clients:
        assert graph.until(client.service_is_ready)
    for _ in range(4):  # rclpy's services keep ten requests, and lose what is more
        futures = [
            (bool(i % 2), clients[i % 3].call_async(SetBool.Request(data=bool(i % 2))))
            for i in range(9)
        ]
        assert graph.until(lambda f=futures: all(future.done() for _, future in f))
        assert all(future.result().success is sent for sent, future in futures)


@builtin_only
def test_a_callback_that_raises_or_returns_rubbish(graph: Graph) -> None:
    node = graph.node("near")
    broken = iter([ValueError("sync"), None])

    def answer(request: Any, response: Any) -> Any:
        fault = next(broken, response)
        if isinstance(fault, Exception):
            raise fault
        return fault

    node.create_service(SetBool, "ask", answer)
    client = node.create_client(SetBool, "ask")
    assert graph.until(client.service_is_ready)
    client.call_async(SetBool.Request())
    with pytest.raises(ValueError, match="sync"):
        graph.spin(30.0)
    client.call_async(SetBool.Request())
    with pytest.raises(TypeError, match=r"not a SetBool\.Response"):
        graph.spin(30.0)
    good = client.call_async(SetBool.Request())
    assert graph.until(good.done)


def test_service_destroyed_while_its_callback_waits(graph: Graph) -> None:
    node = graph.node("near")
    future = ros.Future()
    seen: list[Any] = []

    async def answer(request: Any, response: Any) -> Any:
        seen.append(request)
        await future
        return response

    service = node.create_service(SetBool, "ask", answer)
    client = node.create_client(SetBool, "ask")
    assert graph.until(client.service_is_ready)
    reply = client.call_async(SetBool.Request())
    assert graph.until(lambda: seen)
    node.destroy_service(service)
    ros.complete(node, future, None)
    with contextlib.suppress(ros.InvalidHandle):  # rclpy tries to answer
        graph.spin(0.2)
    assert not reply.done()


@builtin_only
def test_a_request_of_another_type_is_refused(graph: Graph) -> None:
    client = graph.node("near").create_client(SetBool, "nobody")
    assert client.service_is_ready() is False
    with pytest.raises(TypeError, match=r"SetBool\.Request"):
        client.call_async(SetBool.Response())


@builtin_only
def test_futures() -> None:
    future, seen = ros.Future(), []
    future.add_done_callback(lambda f: seen.append(f.result()))
    future.set_result(1)
    future.set_result(2)  # the first one counts
    assert seen == [1]
    future.add_done_callback(lambda f: seen.append("late"))
    assert seen == [1, "late"]
    failed = ros.Future()
    failed.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        failed.result()


def test_a_callback_that_awaits_holds_its_group_and_no_other(graph: Graph) -> None:
    """The rule of rclpy by which a service in the default group may wait for ever."""
    node: Any = graph.node("near")
    future, ticks, free = ros.Future(), [], []

    async def answer(request: Any, response: Any) -> Any:
        await future
        return response

    own = ros.MutuallyExclusiveCallbackGroup()
    node.create_service(SetBool, "ask", answer)
    client = node.create_client(SetBool, "ask", callback_group=own)
    assert graph.until(client.service_is_ready)
    node.create_timer(0.01, lambda: ticks.append(1), clock=ros.steady_clock())
    node.create_timer(0.01, lambda: free.append(1), callback_group=own, clock=ros.steady_clock())
    assert graph.until(lambda: ticks and free)
    reply = client.call_async(SetBool.Request())
    graph.spin(0.3)
    count = len(ticks)
    free.clear()
    assert graph.until(lambda: len(free) > 5)
    assert len(ticks) == count, "the default group waits"
    ros.complete(node, future, None)
    assert graph.until(reply.done)
    assert graph.until(lambda: len(ticks) > count)


def test_a_closed_gate_keeps_the_newest_message_and_nothing_runs_in_circles(graph: Graph) -> None:
    node: Any = graph.node("near")
    looks, got, is_open = [], [], False

    def look() -> bool:
        looks.append(1)
        return is_open

    qos = ros.QoSProfile(depth=1)
    publisher = node.create_publisher(Header, "numbers", qos)
    gate = ros.GatedCallbackGroup(look)
    node.create_subscription(
        Header, "numbers", lambda message: got.append(message.frame_id), qos, callback_group=gate
    )
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    for number in range(3):
        publisher.publish(Header(frame_id=str(number)))
    graph.spin(0.2)
    looks.clear()
    graph.spin(0.2)
    assert len(looks) < 200, "what waits behind the gate ends no wait"
    assert got == []
    is_open = True
    assert graph.until(lambda: got == ["2"])


@builtin_only
def test_a_server_of_another_middleware_gets_no_request(graph: Graph, capfd: Any) -> None:
    node: Any = graph.node("near")
    client = node.create_client(SetBool, "foreign")
    participant, qos = graph.nodes[0].context.participant, ros.QoSProfile(depth=10)
    kind = "std_srvs/srv/SetBool"
    topic = client.srv_name
    reader = participant.reader(f"rq{topic}Request", f"{kind}_Request", qos, "other=1;")
    writer = participant.writer(f"rr{topic}Reply", f"{kind}_Response", qos, "other=1;")
    assert graph.until(lambda: client.writer.matched() and client.reader.matched())
    assert not client.service_is_ready()
    answer = client.call_async(SetBool.Request())
    graph.spin(0.3)
    assert reader.take() is None
    assert not answer.done()
    assert "another DDS implementation" in capfd.readouterr().err
    del reader, writer
    assert graph.until(lambda: not client.writer.matched())

    def answer_it(request: Any, response: Any) -> Any:
        response.success = request.data
        return response

    node.create_service(SetBool, "foreign", answer_it)
    assert graph.ask(node, kind, "foreign", data=True).success is True
