"""`vljepa up` with triggers and memory, `vljepa events` beside it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vljepa_ros import ros
from vljepa_ros.cli.bringup import BringupConfig, commands, ros_arguments
from vljepa_ros.cli.events import event_as_line, trigger_as_dict
from vljepa_ros.cli.main import main
from vljepa_ros.cli.processes import PackageProcess
from vljepa_ros.ros.builtin.arguments import parse

ROOT = Path(__file__).parents[2]
MEMORY = find_spec("lancedb") is not None
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("domain")]


@pytest.fixture(scope="module")
def up(domain: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], Path]]:
    """The options that lead to a running graph, and where it remembers."""
    store = tmp_path_factory.mktemp("store") / "memory"
    options = ["--domain", str(domain), "--namespace", f"triggers_{os.getpid()}"]
    wanted = ["--trigger", "nothing is happening|0.001", "--trigger", "a spaceship lands"]
    if MEMORY:
        wanted += ["--memory", "--param", f"memory_node:location:={store}"]
        wanted += ["--param", "memory_node:batch_seconds:=0.2"]
    with PackageProcess("vljepa_ros.cli.main", ["up", *wanted, *options]) as process:
        yield [*options, "--timeout", "120"], store
        assert process.stop() == 0, process.output()
        assert "Traceback" not in process.output()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
@settings(deadline=None)
@example(["the door 🚪 opens", "yes", "1e-5", "a\u2028b", "\x7f\x85 ", "\ufeffx", ": #\n"])
def test_a_trigger_is_any_text(texts: list[str]) -> None:
    arguments = ros_arguments(BringupConfig(triggers=tuple(texts)))
    found = parse(["--ros-args", *arguments[arguments.index("-p") :]])
    assert found.parameters_for("trigger_node", "/vljepa")["triggers"] == texts


def test_a_trigger_event_comes(up: tuple[list[str], Path]) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "vljepa_ros.cli.main", "events"),
            *("--kind", "trigger", "--json", "--count", "1", *up[0]),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    event = json.loads(result.stdout)
    assert (event["kind"], event["camera"]) == ("trigger", "front")
    assert event["owner"] == "parameter"
    expected = {"nothing is happening": "true", "a spaceship lands": "false"}
    assert event["state"] == expected[event["id"]]
    assert event["previous_state"] == "unknown"
    assert 0 <= event["score"] <= 1


@pytest.mark.skipif(not MEMORY, reason="the memory needs the extra [memory]")
def test_the_memory_remembers(up: tuple[list[str], Path]) -> None:
    end = time.monotonic() + 120
    while not list(up[1].rglob("*.lance")) and time.monotonic() < end:
        time.sleep(0.2)
    assert list(up[1].rglob("*.lance"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trigger", "a door|high"], "threshold of the trigger 'a door' is 'high', allowed"),
        (["--trigger", "a", "--trigger", "a"], "appear twice: 'a'"),
        (["--trigger", "a|1.5"], "is '1.5', allowed"),
    ],
)
def test_a_bad_trigger_is_refused_before_anything_starts(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "model", "why"),
    [
        (["--source", "0"], "everyday", "real cameras"),
        ([], "nano", "the shipped clip"),
        (["--model", "nano", "--source", "0"], "nano", "as asked for"),
        (["-p", "perception_node:model:=x", "--source", "0"], "", ""),
    ],
)
def test_the_model_is_chosen_once_for_all_nodes(
    options: list[str],
    model: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[BringupConfig] = []
    monkeypatch.setattr("vljepa_ros.cli.up.leave_quietly_on_signals", lambda: None)
    monkeypatch.setattr("vljepa_ros.cli.bringup.run", lambda config: started.append(config) or 0)
    assert main(["up", *options]) == 0
    assert [config.model for config in started] == [model]
    assert why in capsys.readouterr().err


def test_each_node_has_its_command_and_the_triggers_reach_theirs_alone() -> None:
    config = BringupConfig(source="none", triggers=("a door", "an arm | 0.7"))
    assert set(commands(config)) == {"decoder", "perception", "triggers"}
    every = BringupConfig(source="demo", nodes=frozenset(("camera", "memory", "perception")))
    assert set(commands(every)) == {"camera", "memory", "perception"}
    arguments = ros_arguments(config)
    assert 'triggers:=["a door", "an arm | 0.7"]' in arguments
    for file in ("triggers.yaml", "memory.yaml", "selective_decoder.yaml"):
        assert any(argument.endswith(file) for argument in arguments)


@pytest.mark.parametrize(
    ("state", "reason", "score", "expected"),
    [
        (2, 0, 0.75, "front  door: TRUE  [trigger of planner, was false, score 0.75 of 0.50]"),
        (0, 2, math.nan, "front  door: UNKNOWN: camera stopped  [trigger of planner, was false]"),
        (0, 99, math.nan, "front  door: UNKNOWN: 99  [trigger of planner, was false]"),
    ],
)
def test_a_line_for_a_person(state: int, reason: int, score: float, expected: str) -> None:
    message = ros.interface("vljepa_ros/msg/TriggerEvent")(previous_state=1)
    trigger = message.trigger
    trigger.owner, trigger.id, trigger.camera = "planner", "door", "front"
    trigger.state, trigger.reason = state, reason
    trigger.score, trigger.threshold = score, 0.5
    event = trigger_as_dict(message)
    assert event["score"] == (None if state == 0 else 0.75)
    assert json.loads(json.dumps(event)) == event
    assert event_as_line(event).endswith(expected)
