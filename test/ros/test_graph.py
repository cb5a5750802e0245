from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from vljepa_ros import ros
from vljepa_ros.ros.builtin.context import default_context
from vljepa_ros.ros.builtin.graph import TOPIC, TYPE
from vljepa_ros.ros.builtin.type_support import type_hash

from .conftest import Graph, builtin_only

String = ros.interface("std_msgs/msg/String")
Program = Callable[..., "subprocess.Popen[str]"]

FAR = """
import sys
from vljepa_ros import ros
ros.init(sys.argv)
node = ros.LifecycleNode("far")
node.create_publisher(ros.interface("std_msgs/msg/String"), "words", 10)
print(node.get_fully_qualified_name())
ros.spin(node)
"""


@builtin_only
def test_nodes_topics_and_services_of_others(graph: Graph, program: Program) -> None:
    far = program(FAR, "--ros-args", "-r", "__ns:=/robot", "-r", "words:=said", "-r", "__node:=n")
    assert far.stdout is not None
    assert far.stdout.readline() == "/robot/n\n"
    near: Any = graph.node("near")
    assert graph.until(lambda: ("n", "/robot") in near.get_node_names_and_namespaces())
    assert ("near", "/") in near.get_node_names_and_namespaces()
    assert graph.until(lambda: near.count_publishers("/robot/said") == 1)
    # endpoints are discovered one by one, their nodes' names after them
    said = "/robot/said"
    assert graph.until(
        lambda: (
            "/parameter_events" in dict(near.get_topic_names_and_types())
            and near.get_publishers_info_by_topic(said)[0].node_name == "n"
        )
    )
    topics = dict(near.get_topic_names_and_types())
    assert topics["/robot/said"] == ["std_msgs/msg/String"]
    assert topics["/parameter_events"] == ["rcl_interfaces/msg/ParameterEvent"]
    assert not any("ros_discovery_info" in t or "Request" in t for t in topics)
    (info,) = near.get_publishers_info_by_topic(said)
    assert (info.node_name, info.node_namespace) == ("n", "/robot")
    assert info.topic_type == "std_msgs/msg/String"
    assert info.topic_type_hash == type_hash("std_msgs/msg/String")
    assert info.qos_profile.reliability == ros.ReliabilityPolicy.RELIABLE
    assert info.qos_profile.durability == ros.DurabilityPolicy.VOLATILE
    far.terminate()  # SIGTERM without run(): the default action
    far.wait()


@builtin_only
def test_destroyed_nodes_leave_the_graph(graph: Graph) -> None:
    near, gone = graph.node("near"), graph.node("gone")
    gone.create_publisher(String, "words", 10)
    assert graph.until(lambda: near.count_publishers("words") == 1)
    gone.destroy_node()
    assert graph.until(lambda: near.count_publishers("words") == 0)
    assert ("gone", "/") not in near.get_node_names_and_namespaces()


@builtin_only
def test_timers_come_and_go_without_the_other_nodes_being_sent_anything(graph: Graph) -> None:
    near = graph.node("near")
    reader = default_context().participant.reader(TOPIC, TYPE, ros.QoSProfile(depth=100))

    def sent() -> int:
        return sum(1 for _ in iter(reader.take, None))

    near.create_publisher(String, "words", 10)
    assert graph.until(sent)
    for _ in range(3):
        near.destroy_timer(near.create_timer(60.0, lambda: None))
    graph.spin(0.1)
    assert sent() == 0


@builtin_only
def test_user_data_as_real_ros_writes_it(graph: Graph) -> None:
    near = graph.node("near")
    near.create_publisher(String, "words", 10)
    participant = default_context().participant
    endpoints = {e.topic: e for e in participant.endpoints("writer")}
    assert endpoints["rt/words"].user_data.decode() == f"typehash={type_hash(String_NAME)};"
    reply = endpoints["rr/near/get_parametersReply"]
    assert reply.type_name == "rcl_interfaces/srv/GetParameters_Response"
    assert reply.user_data.decode().startswith("serviceid=")
    assert "ros_discovery_info" in endpoints


String_NAME = "std_msgs/msg/String"


@builtin_only
def test_context_errors(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="once"):
        ros.init([])
    graph.close()
    with pytest.raises(ros.NotInitializedException):
        ros.Node("near")
    monkeypatch.setenv("ROS_DOMAIN_ID", "many")
    with pytest.raises(ValueError, match="ROS_DOMAIN_ID='many'"):
        ros.init([])
    assert not ros.ok()
    ros.shutdown()
