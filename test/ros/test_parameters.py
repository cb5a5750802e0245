from __future__ import annotations

import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vljepa_ros import ros

from .conftest import Graph, builtin_only

P = ros.Parameter
Descriptor = ros.ParameterDescriptor


def ranged(low: float, high: float) -> Any:
    return Descriptor(
        description="ranged",
        floating_point_range=[ros.FloatingPointRange(from_value=low, to_value=high)],
    )


@builtin_only
def test_types_values_and_defaults(graph: Graph) -> None:
    node = graph.node("near")
    values = [True, 3, 2.5, "text", ["a"], [1, 2], [1.0], [True, False], [b"a"]]
    for i, value in enumerate(values):
        assert node.declare_parameter(f"p{i}", value).value == value
        assert P.from_parameter_msg(node.get_parameter(f"p{i}").to_parameter_msg()).value == value
    # as in rclpy, and a trap: an empty list is a byte array
    assert node.declare_parameter("empty", []).type_ == P.Type.BYTE_ARRAY
    node.declare_parameter("strings", P.Type.STRING_ARRAY)
    with pytest.raises(ros.ParameterUninitializedException):
        node.get_parameter("strings")
    assert node.set_parameters([P("strings", P.Type.STRING_ARRAY, [])])[0].successful
    assert node.get_parameter("strings").value == []
    assert P("x", value=array.array("d", [1.0])).value == [1.0]
    with pytest.raises(TypeError, match="not a parameter value"):
        node.declare_parameter("mixed", [1, "a"])
    with pytest.raises(ros.ParameterAlreadyDeclaredException):
        node.declare_parameter("p0", True)
    with pytest.raises(ros.ParameterNotDeclaredException):
        node.get_parameter("nothing")


@builtin_only
def test_refusals(graph: Graph) -> None:
    node = graph.node("near")
    node.declare_parameter("rate", 5.0, ranged(0.1, 30.0))
    node.declare_parameter(
        "count", 4, Descriptor(integer_range=[ros.IntegerRange(from_value=0, to_value=8, step=2)])
    )
    node.declare_parameter("model", "nano", Descriptor(read_only=True))
    for parameter, reason in (
        (P("rate", value=31.0), "[0.1, 30.0]"),
        (P("rate", value=1), "DOUBLE"),
        (P("rate", value="fast"), "DOUBLE"),
        (P("count", value=3), "multiple of 2"),
        (P("count", value=9), "[0, 8]"),
        (P("model", value="other"), "read-only"),
    ):
        result = node.set_parameters([parameter])[0]
        assert not result.successful
        assert reason in result.reason
    assert node.set_parameters([P("rate", value=30.0), P("count", value=8)])[1].successful
    with pytest.raises(ros.InvalidParameterValueException, match="not in"):
        node.declare_parameter("bad", 50.0, ranged(0.1, 30.0))
    with pytest.raises(ros.ParameterNotDeclaredException):
        node.set_parameters([P("nothing", value=1)])


def test_a_veto_leaves_everything_as_it_was(graph: Graph) -> None:
    node = graph.node("near")
    node.declare_parameter("a", 1)
    node.declare_parameter("b", 1)
    applied: list[str] = []

    def veto(parameters: list[Any]) -> Any:
        bad = [p.name for p in parameters if p.value == 13]
        return ros.SetParametersResult(successful=not bad, reason=f"unlucky: {bad}")

    node.add_on_set_parameters_callback(veto)
    node.add_post_set_parameters_callback(lambda ps: applied.extend(p.name for p in ps))
    result = node.set_parameters_atomically([P("a", value=2), P("b", value=13)])
    assert not result.successful
    assert "unlucky: ['b']" in result.reason
    assert node.get_parameter("a").value == 1
    assert applied == []
    assert [r.successful for r in node.set_parameters([P("a", value=2), P("b", value=13)])] == [
        True,
        False,
    ]
    assert applied == ["a"]


def test_values_from_files_and_arguments(make_graph: Callable[..., Graph], tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("/**/near:\n  ros__parameters: {rate: 2.5, labels: [a, b], wrong: 1}\n")
    graph = make_graph("--params-file", str(path), "-p", "rate:=7.5")
    node = graph.node("near", namespace="robot", parameter_overrides=[P("count", value=9)])
    assert node.declare_parameter("rate", 1.0).value == 7.5
    assert node.declare_parameter("labels", P.Type.STRING_ARRAY).value == ["a", "b"]
    assert node.declare_parameter("count", 1).value == 9
    with pytest.raises(ros.InvalidParameterTypeException, match="DOUBLE"):
        node.declare_parameter("wrong", 1.0)  # an integer in YAML is no double, as in ROS
    other = graph.node("other")
    assert other.declare_parameter("labels", ["none"]).value == ["none"]


def test_the_six_services_and_the_events(graph: Graph) -> None:
    node, asker = graph.node("near"), graph.node("asker")
    events: list[Any] = []
    asker.create_subscription(
        ros.interface("rcl_interfaces/msg/ParameterEvent"), "/parameter_events", events.append, 10
    )
    node.declare_parameter("rate", 5.0, ranged(0.1, 30.0))
    node.declare_parameter("front.topic", "image")

    def ask(kind: str, name: str, **fields: Any) -> Any:
        return graph.ask(asker, f"rcl_interfaces/srv/{kind}", f"/near/{name}", **fields)

    (value,) = ask("GetParameters", "get_parameters", names=["rate"]).values
    assert (value.type, value.double_value) == (3, 5.0)
    types = ask("GetParameterTypes", "get_parameter_types", names=["rate", "front.topic"]).types
    assert list(types) == [3, 4]
    for kind, name in (
        ("GetParameters", "get_parameters"),
        ("GetParameterTypes", "get_parameter_types"),
        ("DescribeParameters", "describe_parameters"),
    ):
        reply = ask(kind, name, names=["rate", "nothing"])
        (field,) = reply.get_fields_and_field_types()
        assert len(getattr(reply, field)) == 0, "one unknown name, and all is empty"
    described = ask("DescribeParameters", "describe_parameters", names=["rate"]).descriptors[0]
    assert described.description == "ranged"
    assert described.floating_point_range[0].to_value == 30.0
    listed = ask("ListParameters", "list_parameters", prefixes=[], depth=0).result
    assert {"rate", "front.topic", "use_sim_time"} <= set(listed.names)
    assert listed.prefixes == ["front"]
    assert ask("ListParameters", "list_parameters", prefixes=["front"], depth=0).result.names == [
        "front.topic"
    ]
    good, bad = P("rate", value=6.0).to_parameter_msg(), P("rate", value=60.0).to_parameter_msg()
    unknown = P("nothing", value=1).to_parameter_msg()
    results = ask("SetParameters", "set_parameters", parameters=[good, bad, unknown]).results
    assert [r.successful for r in results] == [True, False, False]
    assert "declared" in results[2].reason
    assert node.get_parameter("rate").value == 6.0
    both = [P("front.topic", value="x").to_parameter_msg(), bad]
    result = ask("SetParametersAtomically", "set_parameters_atomically", parameters=both).result
    assert not result.successful
    assert node.get_parameter("front.topic").value == "image"
    assert graph.until(lambda: any(e.changed_parameters for e in events))
    event = next(e for e in events if e.changed_parameters)
    assert (event.node, event.changed_parameters[0].value.double_value) == ("/near", 6.0)
