from __future__ import annotations

import array
import copy

import numpy as np
import pytest

from vljepa_ros import ros
from vljepa_ros.ros.builtin.definitions import parse_definition

from .conftest import builtin_only

Image = ros.interface("sensor_msgs/msg/Image")
Embedding = ros.interface("vljepa_ros/msg/Embedding")
Ask = ros.interface("vljepa_ros/srv/AnswerAboutImage")
Status = ros.interface("diagnostic_msgs/msg/DiagnosticStatus")


def test_defaults_are_those_of_ros() -> None:
    image = Image()
    assert (image.height, image.encoding, list(image.data)) == (0, "", [])
    assert image.header.stamp.sec == 0
    assert Ask.Response().answer.index == -1
    assert ros.interface("vljepa_ros/srv/FindMoments").Request().limit == 10
    assert ros.interface("geometry_msgs/msg/Quaternion")().w == 1.0
    assert ros.interface("sensor_msgs/msg/CameraInfo")().k.shape == (9,)


def test_messages_do_not_share_their_defaults() -> None:
    first, second = Image(), Image()
    first.header.frame_id = "front"
    first.data.append(1)
    assert second.header.frame_id == ""
    assert len(second.data) == 0


def test_constants() -> None:
    event = ros.interface("vljepa_ros/msg/SceneEvent")
    assert (event.FIRST, event.CHANGE, event.REQUEST, event.HEARTBEAT) == (0, 1, 2, 3)
    assert Status.ERROR == b"\x02"
    status = Status(level=Status.WARN)
    assert status.level == b"\x01"


@pytest.mark.parametrize(
    "value",
    [b"\1\2\3", bytearray(b"\1\2\3"), memoryview(b"\1\2\3"), [1, 2, 3], np.uint8([1, 2, 3])],
)
def test_bytes_in_every_form(value: object) -> None:
    image = Image(data=value)
    assert isinstance(image.data, array.array)
    assert np.array_equal(np.frombuffer(image.data, np.uint8), [1, 2, 3])


def test_floats_in_every_form() -> None:
    for value in (array.array("f", [0.5, 1]), np.float32([0.5, 1]), np.array([0.5, 1]), [0.5, 1]):
        message = Embedding(vector=value)
        assert message.vector.typecode == "f"
        assert np.array_equal(np.frombuffer(message.vector, np.float32), [0.5, 1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 1.0),
        ("height", -1),
        ("height", 2**32),
        ("height", np.int64(1)),
        ("encoding", b"rgb8"),
        ("header", "front"),
        ("data", "text"),
        ("data", [256]),
        pytest.param("data", np.zeros((2, 2), np.uint8), marks=builtin_only),
        pytest.param("data", np.zeros(2), marks=builtin_only),
    ],
)
def test_a_wrong_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ros.FieldError, match=rf"Image\.{field}|'{field}' field"):
        setattr(Image(), field, value)


def test_other_wrong_values() -> None:
    with pytest.raises(ros.FieldError, match="latency"):
        Embedding(latency=0)
    with pytest.raises(ros.FieldError, match="latency"):
        Embedding(latency=1e300)
    with pytest.raises(ros.FieldError, match="labels"):
        ros.interface("vljepa_ros/msg/VocabularyGroup")(labels="mug")
    with pytest.raises(ros.FieldError, match="image"):
        Ask.Request(image=[Image(), Image()])
    with pytest.raises(ros.FieldError, match="level"):
        Status(level=1)
    with pytest.raises(ros.FieldError, match=r"\bk\b"):
        ros.interface("sensor_msgs/msg/CameraInfo")(k=[1.0])


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ros.FieldError, match="hight"):
        Image(hight=1)
    with pytest.raises(AttributeError):
        Image().hight = 1


def test_equality_and_copies() -> None:
    first = Embedding(camera="front", vector=np.float32([1, 2]))
    second = copy.deepcopy(first)
    assert first == second
    second.vector[0] = 3.0
    assert first != second
    assert "front" in repr(first)
    assert first != Image()


def test_unknown_interfaces() -> None:
    with pytest.raises(LookupError, match="nowhere_msgs/msg/Classification"):
        ros.interface("nowhere_msgs/msg/Classification")
    assert ros.find_interface("nowhere_msgs/msg/Classification") is None
    assert ros.find_interface("std_msgs/msg/String") is ros.interface("std_msgs/msg/String")


@pytest.mark.parametrize("line", ["int32", "int99 x=", "float32[a] x", "int32 x abc"])
def test_a_definition_that_is_none(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_definition("p/msg/X", "bool ok\n" + line)
