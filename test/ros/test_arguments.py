from __future__ import annotations

from pathlib import Path

import pytest

from vljepa_ros.ros.builtin import arguments, names
from vljepa_ros.ros.builtin.arguments import RosArgumentError

FILE = """
/**:
  ros__parameters: {everywhere: 1, camera: {front: {rate: 2.5}}}
/**/perception_node:
  ros__parameters: {labels: ['a', 'b'], everywhere: 2}
/robot/vljepa/*:
  ros__parameters: {star: true}
perception_node:
  ros__parameters: {bare: 1}
/robot:
  vljepa:
    perception_node:
      ros__parameters: {nested: text}
"""


def test_parameter_files_and_wildcards(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(FILE)
    parsed = arguments.parse(["--ros-args", "--params-file", str(path), "-p", "rate:=4"])
    assert parsed.parameters_for("perception_node", "/robot/vljepa") == {
        "everywhere": 2,
        "camera.front.rate": 2.5,
        "labels": ["a", "b"],
        "star": True,
        "nested": "text",
        "rate": 4,
    }
    # a bare name means the root namespace, as in ROS
    assert parsed.parameters_for("perception_node", "/")["bare"] == 1
    assert parsed.parameters_for("other", "/") == {
        "everywhere": 1,
        "camera.front.rate": 2.5,
        "rate": 4,
    }


def test_values_and_targets_of_single_parameters() -> None:
    args = ["-p", "a:=1.5", "-p", "n:b:=[1, 2]", "-p", "c:='yes'", "-p", "d:=yes"]
    parsed = arguments.parse(["--ros-args", *args])
    assert parsed.parameters_for("n", "/x") == {"a": 1.5, "b": [1, 2], "c": "yes", "d": True}
    assert "b" not in parsed.parameters_for("m", "/x")


def test_remapping() -> None:
    parsed = arguments.parse(
        [
            "prog",
            "--mine",
            "--ros-args",
            *("-r", "image:=/camera/image_raw", "-r", "n:~/private:=shared", "-r", "__ns:=/robot"),
            *("-r", "n:__node:=m", "--log-level", "debug", "--log-level", "m:=warn", "--"),
            "--other",
        ]
    )
    assert parsed.namespace("n", "") == "/robot"
    assert parsed.node_name("n") == "m"
    assert parsed.node_name("k") == "k"
    assert parsed.remap("/robot/image", "n", "/robot") == "/camera/image_raw"
    assert parsed.remap("/robot/n/private", "n", "/robot") == "/robot/shared"
    assert parsed.remap("/robot/k/private", "k", "/robot") == "/robot/k/private"
    assert parsed.log_levels == {"": "debug", "m": "warn"}


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["-p", "a"], "-p a"),
        (["-p", "a:=[1"], "a:="),
        (["-p", "a:=2001-99-99"], "month must be in"),
        (["-r", "a:="], "-r a:="),
        (["-r", "__ns:=robot"], "begins with '/'"),
        (["-r", "__ns:=/a b"], "invalid namespace"),
        (["-r", "n:__node:=1"], "invalid node name"),
        (["-r", "image:=/camera/0/image"], "invalid name"),
        (["--log-level", "n:=loud"], "unknown log level 'loud'"),
        (["-p", r'a:="\ud83d"'], "half of a character"),
        (["-r"], "-r needs a value"),
        (["--params-file", "/no/such/file.yaml"], "/no/such/file.yaml"),
        (["--nonsense"], "--nonsense"),
        (["-p", "a:=&x [*x]"], "aliases are not allowed"),
    ],
)
def test_bad_arguments_are_named(args: list[str], named: str) -> None:
    with pytest.raises(RosArgumentError, match=named.replace("[", r"\[")):
        arguments.parse(["--ros-args", *args])


def test_escapes_of_json_are_text() -> None:
    parsed = arguments.parse(["--ros-args", "-p", r'a:=["\ud83d\udeaa \u00e9", "\\ud83d"]'])
    assert parsed.parameters_for("n", "/") == {"a": ["🚪 é", "\\ud83d"]}


def test_a_file_that_is_no_parameter_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("node: {rate: 1}\n")
    with pytest.raises(RosArgumentError, match="ros__parameters"):
        arguments.read_parameter_file(path)
    path.write_text("node: {ros__parameters: [rate, 1]}\n")
    with pytest.raises(RosArgumentError, match=r"\['rate', 1\]; expected parameters"):
        arguments.read_parameter_file(path)
    for text in ("n: {ros__parameters: {a: !!int x}}", "n: !!int ''", "[" * 5000):
        path.write_text(text)
        with pytest.raises(RosArgumentError, match=f"parameter file {path}: "):
            arguments.read_parameter_file(path)


def test_expansion() -> None:
    assert names.expand("image", "n", "/a/b") == "/a/b/image"
    assert names.expand("/image", "n", "/a") == "/image"
    assert names.expand("~/ask", "n", "/a") == "/a/n/ask"
    assert names.expand("~", "n", "/") == "/n"
    for bad in ("", "a//b", "a/", "1a", "a b", "a-b", "/"):
        with pytest.raises(names.InvalidNameError):
            names.expand(bad, "n", "/")
    with pytest.raises(names.InvalidNameError):
        names.check_node_name("a/b")
    with pytest.raises(names.InvalidNameError):
        names.check_namespace("/a b")
    assert names.check_namespace("") == "/"
    assert names.check_namespace("robot/") == "/robot"
