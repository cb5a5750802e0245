"""The wire format against a recording of a real ROS 2 Jazzy."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from vljepa_ros.ros.builtin import definitions
from vljepa_ros.ros.builtin.cdr import CdrError, decode, encode
from vljepa_ros.ros.builtin.type_support import dds_type_name, ros_type_name, type_hash

WIRE = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "ros2_jazzy_wire.json").read_text(encoding="utf-8")
)


def test_recording_is_complete() -> None:
    assert len(WIRE["cdr"]) == 160
    assert len(WIRE["type_hashes"]) == 201


@pytest.mark.parametrize("name", sorted(WIRE["cdr"]))
def test_messages_survive_byte_for_byte(name: str) -> None:
    for text in WIRE["cdr"][name]:
        recorded = base64.b64decode(text)
        encoded = encode(decode(name, recorded))
        assert encoded[: len(recorded)] == recorded[: len(encoded)]
        assert abs(len(encoded) - len(recorded)) < 4  # trailing padding


@pytest.mark.parametrize("name", sorted(WIRE["type_hashes"]))
def test_type_hashes(name: str) -> None:
    assert type_hash(name) == WIRE["type_hashes"][name]


def test_the_type_hash_of_an_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the whole, which takes in all its services and messages; computed by rosidl itself."""
    name = "example_interfaces/action/Fibonacci"
    text = "int32 order\n---\nint32[] sequence\n---\nint32[] sequence\n"
    monkeypatch.setitem(definitions.SERVICE_TEXTS, name, text)
    digest = "9508051da1ea4658de144b09bd0690ff3de52104683d847aed764d2915906f51"
    assert type_hash(name) == f"RIHS01_{digest}"
    request = f"{name}_SendGoal_Request"
    assert dds_type_name(request) == "example_interfaces::action::dds_::Fibonacci_SendGoal_Request_"
    assert [str(f.type) for f in definitions.definition(request).fields] == [
        "unique_identifier_msgs/msg/UUID",
        f"{name}_Goal",
    ]
    monkeypatch.setitem(definitions.SERVICE_TEXTS, f"{name}2", text + "---\n")
    with pytest.raises(ValueError, match="4 sections"):
        definitions.definition(f"{name}2_Goal")


def test_truncated_bytes_are_an_error() -> None:
    recorded = base64.b64decode(WIRE["cdr"]["sensor_msgs/msg/Image"][0])
    for size in range(len(recorded) - 4):
        with pytest.raises(CdrError):
            decode("sensor_msgs/msg/Image", recorded[:size])


def test_names_of_types() -> None:
    assert dds_type_name("sensor_msgs/msg/Image") == "sensor_msgs::msg::dds_::Image_"
    assert ros_type_name("sensor_msgs::msg::dds_::Image_") == "sensor_msgs/msg/Image"
    assert ros_type_name("Other") == "Other"
