from __future__ import annotations

import time
from typing import Any

import pytest

from vljepa_ros import ros

from .conftest import Graph, builtin_only

ClockMessage = ros.interface("rosgraph_msgs/msg/Clock")


@builtin_only
def test_times_and_durations() -> None:
    stamp = ros.interface("builtin_interfaces/msg/Time")(sec=3, nanosec=500_000_000)
    moment = ros.Time.from_msg(stamp)
    assert moment.nanoseconds == 3_500_000_000
    assert moment.to_msg() == stamp
    with pytest.raises(ValueError, match="negative"):
        ros.Time(seconds=-1)
    assert ros.Duration(nanoseconds=-1).to_msg().sec == -1


def test_timers_on_both_clocks(graph: Graph) -> None:
    node: Any = graph.node("near")
    ticks = {"ros": 0, "steady": 0}

    def tick(name: str) -> None:
        ticks[name] += 1

    node.create_timer(0.02, lambda: tick("ros"))
    node.create_timer(0.02, lambda: tick("steady"), clock=ros.steady_clock())
    assert graph.until(lambda: min(ticks["ros"], ticks["steady"]) >= 5)


def test_a_timer_takes_another_period_and_begins_again(graph: Graph) -> None:
    node, ticks = graph.node("near"), []
    timer = node.create_timer(1000.0, lambda: ticks.append(1))
    timer.timer_period_ns = 20_000_000
    timer.reset()
    assert graph.until(lambda: len(ticks) >= 3)
    timer.timer_period_ns = 1000 * 10**9
    timer.reset()
    graph.spin(0.2)
    assert len(ticks) <= 4


def test_a_late_timer_does_not_catch_up(graph: Graph) -> None:
    node, ticks = graph.node("near"), []
    node.create_timer(0.05, lambda: ticks.append(time.monotonic()))
    time.sleep(0.5)
    graph.spin(0.01)
    assert len(ticks) <= 2


def test_simulated_time(graph: Graph) -> None:
    node: Any = graph.node("near", parameter_overrides=[ros.Parameter("use_sim_time", value=True)])
    driver: Any = graph.node("driver")
    publisher = driver.create_publisher(ClockMessage, "/clock", 10)
    ticks: list[int] = []
    steady: list[int] = []
    node.create_timer(1.0, lambda: ticks.append(node.get_clock().now().nanoseconds))
    node.create_timer(0.02, lambda: steady.append(1), clock=ros.steady_clock())
    assert graph.until(lambda: publisher.get_subscription_count() == 1)
    # without /clock time stands at zero, ordinary timers never fire, steady ones do
    assert node.get_clock().now().nanoseconds == 0
    assert graph.until(lambda: len(steady) > 2)
    assert ticks == []

    def show(seconds: float) -> None:
        message = ClockMessage(clock=ros.Time(seconds=seconds).to_msg())
        publisher.publish(message)
        wanted = int(seconds * 10**9)
        assert graph.until(lambda: node.get_clock().now().nanoseconds == wanted)
        graph.spin(0.05)

    show(100.0)
    show(100.5)
    assert len(ticks) == 1
    show(101.5)
    assert len(ticks) == 2
    show(10.0)  # a bag starts over
    show(11.5)
    assert len(ticks) == 3
    assert driver.get_clock().now().nanoseconds > 10**18
    assert node.set_parameters([ros.Parameter("use_sim_time", value=False)])[0].successful
    assert node.get_clock().now().nanoseconds > 10**18
    assert not node.set_parameters([ros.Parameter("use_sim_time", value=1)])[0].successful
