"""What colcon, bloom, rosdep, pip and containers read agrees with what stands elsewhere."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
import yaml
from code_size import ROOT

import vljepa_ros

PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()
KEYS = {  # what pip calls it -> key of rosdep in package.xml
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "opencv-python-headless": "python3-opencv",
    "pyyaml": "python3-yaml",
    "rich": "python3-rich",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pinned() -> dict[str, list[str]]:
    """Name -> its pins, of requirements-ros.txt."""
    pins: dict[str, list[str]] = {}
    for line in read("requirements-ros.txt").splitlines():
        if line and not line.startswith("#"):
            name, pin = re.fullmatch(r"([a-z]+)([=<>].*)", line).groups()  # type: ignore[union-attr]
            pins.setdefault(name, []).append(pin)
    return pins


def test_one_version() -> None:
    assert PACKAGE.findtext("version") == vljepa_ros.__version__
    assert f'version = "{vljepa_ros.__version__}"' in read("lab/pyproject.toml")


def test_the_changelog_has_headings_that_bloom_reads() -> None:
    headings = re.findall(r"^(.+)\n-+$", read("CHANGELOG.rst"), re.MULTILINE)
    assert headings
    for heading in headings:
        assert re.fullmatch(r"Forthcoming|\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", heading)


def test_rosdep_and_pip_bring_what_the_package_needs() -> None:
    block = re.search(r"^dependencies = \[\n(.*?)^\]", read("pyproject.toml"), re.DOTALL | re.M)
    assert block is not None
    needed = set(re.findall(r'^  "([a-z-]+)', block[1], re.MULTILINE)) - {"cyclonedds"}
    declared = {element.text for element in PACKAGE.iter("exec_depend")}
    assert {name for name in needed if KEYS.get(name) not in declared | {None}} == set()
    pins = pinned()
    assert needed - pins.keys() <= KEYS.keys()
    assert {"lancedb", "pyarrow", "onnxruntime"} <= pins.keys()
    for name, given in pins.items():
        sides = [pin.partition("; ")[2] for pin in given]
        assert sides in ([""], ['python_version < "3.13"', 'python_version >= "3.13"']), name


def test_cmake_installs_all_programs_and_nothing_but_interfaces_where_that_is_asked() -> None:
    text = read("CMakeLists.txt")
    assert set(re.findall(r"scripts/(\w+)", text)) == {p.name for p in (ROOT / "scripts").iterdir()}
    interfaces = text[: text.index("return()")]
    assert "install(" not in interfaces
    assert "BUILD_TESTING" not in interfaces


def test_containers_and_workflows_name_what_exists() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ros.yml"))
    distros = workflow["jobs"]["build"]["strategy"]["matrix"]["distro"]
    assert {"humble", "jazzy", "kilted", "lyrical"} <= set(distros)
    container = json.loads(read(".devcontainer/devcontainer.json"))
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).is_file()
    assert (ROOT / "deploy" / "entrypoint.bash").stat().st_mode & 0o111
    for name in ("deploy/jazzy.Dockerfile", "deploy/vljepa.service"):
        assert "/deploy/entrypoint.bash" in read(name)


@pytest.mark.parametrize("name", ["image", "use_respawn"])
def test_the_service_uses_arguments_of_the_launch_file(name: str) -> None:
    assert f"{name}:=" in read("deploy/vljepa.service")
    assert f'"{name}": (' in read("launch/perception.launch.py")
