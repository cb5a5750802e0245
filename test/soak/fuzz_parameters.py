"""ROS parameter files and arguments: read, or refused with RosArgumentError."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

import yaml

from vljepa_ros.resources import share_dir
from vljepa_ros.ros.builtin import arguments

NAMES = ("/**", "perception_node", "ros__parameters", "/robot", "*", "a b", "", "9", "ä", "~")
SCALARS = (0, -1, 1.5, True, None, "yes", "", "🚪 opens", "a: b", float("nan"), 2**70, [1, "a"])
SNIPPETS = (
    *(
        "yes",
        "0x",
        "1e999",
        "2001-99-99",
        "!!python/object:os.system",
        "&a",
        "*a",
        "<<: 1",
        "{",
        "[",
    ),
    *(
        "- ",
        ": ",
        "\t",
        "%YAML 9.9\n",
        "---\n",
        "'",
        '"\\ud83d"',
        "\x00",
        "\ufeff",
        "!!int ''",
        "?",
    ),
)


def document(random: Random, depth: int = 0) -> Any:
    if depth > 4 or random.random() < 0.3:
        return random.choice(SCALARS)
    keys = random.choices(NAMES, k=random.randrange(4))
    return {key: document(random, depth + 1) for key in keys}


def text_of(random: Random) -> str:
    if random.random() < 0.5:
        text = yaml.safe_dump(document(random), allow_unicode=True)
    else:
        text = random.choice(sorted((share_dir() / "config").glob("*.yaml"))).read_text()
    for _ in range(random.choice((0, 1, 1, 3))):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(SNIPPETS) + text[at + random.choice((0, 0, 1, 20)) :]
    return text


def parameter_file(random: Random) -> str:
    data = text_of(random).encode("utf-8", "surrogatepass")
    if random.random() < 0.05:
        data += random.randbytes(9)
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(data)
        try:
            read = arguments.read_parameter_file(file.name)
        except arguments.RosArgumentError as error:
            return "refused" if file.name in str(error) else "refused, the file not named"
    assert all(isinstance(node, str) and isinstance(name, str) for node, name, _ in read)
    return "read" if read else "read, empty"


def command_line(random: Random) -> str:
    words = ["-p", "-r", "--params-file", "--log-level", "--", "--ros-args", "-e", "/none"]
    value = random.choice(("a:=1", "n:a:=", "a", ":=", "__ns:=x", "a:=" + text_of(random)[:40]))
    chosen = ["--ros-args", *random.choices([*words, value, value], k=random.randrange(6))]
    try:
        arguments.parse(chosen).parameters_for("node", "/ns")
    except arguments.RosArgumentError:
        return "refused"
    return "read"


TARGETS = {"parameter file": parameter_file, "ROS arguments": command_line}
