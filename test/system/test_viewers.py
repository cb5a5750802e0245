"""What the RViz configuration and the Foxglove layout name exists, and is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from code_size import ROOT

from vljepa_ros import ros

LAYOUT = json.loads((ROOT / "foxglove" / "vljepa.json").read_text(encoding="utf-8"))
PANELS: dict[str, Any] = LAYOUT["configById"]
RVIZ = yaml.safe_load((ROOT / "rviz" / "vljepa.rviz").read_text(encoding="utf-8"))
CAMERAS = {"front", "rear"}
# doc/nodes.md is compared with running nodes
ROW = re.compile(r"^\| (publishes|service|action) \| `([^`]+)` \| \[?([\w/]+)", re.MULTILINE)
KNOWN = {
    name: kind for _, name, kind in ROW.findall((ROOT / "doc" / "nodes.md").read_text("utf-8"))
}


def known(topic: str) -> str:
    """The type, `package/Name`, of a topic or service of a camera or of all."""
    plain = topic.removeprefix("/vljepa/")
    camera, _, rest = plain.partition("/")
    return KNOWN[f"<camera>/{rest}" if camera in CAMERAS else plain]


def element(kind: str) -> Any:
    """A message of an array's type, as rclpy or the built-in runtime writes it."""
    found = re.search(r"(\w+)/(\w+)(\[\])?[>\]]?$", kind)
    return ros.interface(f"{found[1]}/msg/{found[2]}")() if found else None


def field(kind: str, path: str) -> Any:
    """The value of a message path such as `.groups[0].labels[0].text`."""
    package, _, name = kind.partition("/")
    value = ros.interface(f"{package}/msg/{name}")()
    for part in filter(None, path.split(".")):
        name, bracket, _ = part.partition("[")
        types = value.get_fields_and_field_types()
        assert name in types, f"{kind} has {sorted(types)}"
        value = getattr(value, name)
        if bracket or isinstance(value, list):
            value = element(types[name]) or value
    return value


def paths(config: Mapping[str, Any]) -> Iterator[str]:
    for key in ("topicPath", "topicToRender"):
        if key in config:
            yield config[key]
    for one in config.get("paths", ()):
        yield one["value"]
    yield from filter(None, [config.get("imageMode", {}).get("imageTopic")])


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_shows_what_is_published(panel: str) -> None:
    for path in paths(PANELS[panel]):
        topic, dot, rest = path.partition(".")
        kind = known(topic)
        assert field(kind, dot + rest) is not None
        if panel.startswith("Image"):
            assert kind in ("sensor_msgs/Image", "sensor_msgs/CompressedImage")


@pytest.mark.parametrize("panel", [name for name in PANELS if name.startswith("CallService!")])
def test_a_request_is_one(panel: str) -> None:
    config = PANELS[panel]
    name = known(config["serviceName"]).removeprefix("vljepa_ros/")

    def check(message: Any, values: Mapping[str, Any]) -> None:
        types = message.get_fields_and_field_types()
        assert set(values) <= set(types), sorted(types)
        for key, value in values.items():
            if isinstance(value, dict):
                check(getattr(message, key), value)
            elif value and isinstance(value, list) and isinstance(value[0], dict):
                check(element(types[key]), value[0])

    check(ros.interface(f"vljepa_ros/srv/{name}").Request(), json.loads(config["requestPayload"]))


def test_every_panel_has_its_place() -> None:
    def placed(node: Any) -> list[str]:
        return [node] if isinstance(node, str) else placed(node["first"]) + placed(node["second"])

    assert sorted(placed(LAYOUT["layout"])) == sorted(PANELS)
    kinds = {name.partition("!")[0] for name in PANELS}
    assert {"Image", "CallService", "StateTransitions", "Table", "RawMessages"} <= kinds


def test_rviz_shows_overlays() -> None:
    displays = RVIZ["Visualization Manager"]["Displays"]
    images = [one for one in displays if one["Class"] == "rviz_default_plugins/Image"]
    assert [known(one["Topic"]["Value"]) for one in images] == ["sensor_msgs/Image"] * 2
    assert images[0]["Name"] in RVIZ["Window Geometry"]


def test_both_are_installed() -> None:
    for file in ("CMakeLists.txt", "setup.py", "MANIFEST.in"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(r"\brviz\b", text), file
        assert re.search(r"\bfoxglove\b", text), file
