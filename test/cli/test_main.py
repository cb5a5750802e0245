from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from vljepa_ros.cli import bringup, console
from vljepa_ros.cli.main import build_parser, main
from vljepa_ros.cli.options import CliError

NONSENSE = [
    (["fly"], "invalid choice: 'fly'"),
    (["ask"], "required: QUESTION, ANSWER"),
    (["ask", "is the door open?"], "required: ANSWER"),
    (["ask", "q", "yes", "--max-age", "-1"], "0 or above"),
    (["ask", "q", "yes", "--timeout", "0"], "above 0"),
    (["ask", "q", "yes", "--timeout", "soon"], "not a number"),
    (["ask", "q", "yes", "--max-age", "1e300"], "0 or above, below 2^31"),
    (["bag", "index", "x", "--every", "1e300"], "above 0, below 2^31"),
    (["check", "x", "--truth", "y", "--settle", "1e300"], "0 or above, below 2^31"),
    (["check", "x", "--truth", "y", "--fps", "1e-9"], "0.001 to 1000"),
    (["teach", "lit", "--import", "x"], "--import takes no NAME"),
    (["ask", "q", "yes", "--timeout", "nan"], "not a number"),
    (["ask", "q", "yes", "--image", "/no/such.png"], "no such file"),
    (["ask", "q", "yes", "--namespace", "1st"], "not a ROS namespace"),
    (["ask", "q", "yes", "--domain", "300"], "0..101"),
    (["events", "--count", "0"], "1 or above"),
    (["info", "--model", "no such model"], "no model"),
    (["up", "--camera", "2nd"], "NAME or NAME=TOPIC"),
    (["console", "--port", "99999"], "allowed: 0 to 65535"),
    (["up", "-p", "rate=3"], ":=VALUE"),
    (["up", "--log-level", "loud"], "invalid choice: 'loud'"),
    (["up", "--params-file", "/no/such.yaml"], "no such file"),
    (["up", "--source", "/no/such.mp4"], "/no/such.mp4"),
    (["up", "--model", "no such model"], "no model"),
    (["demo", "--seconds", "-3"], "above 0"),
    (["train", "huge"], "invalid choice: 'huge'"),
    (["eval", "door", "taste"], "unknown task taste"),
    (["eval", "--data", "/no/such/dir"], "no such folder"),
    (["eval", "--scenes", "few"], "1 or above"),
    (["bench", "disk"], "invalid choice: 'disk'"),
    (["bench", "vqa", "--seconds", "-1"], "above 0"),
]


@pytest.mark.parametrize(("argv", "says"), NONSENSE, ids=[" ".join(a)[:40] for a, _ in NONSENSE])
def test_nonsense_gives_one_clear_line_and_code_2(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
):
    assert main(argv) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert says in output.err
    assert output.err.strip().count("\n") == 0
    assert output.err.startswith("vljepa")


def test_a_missing_package_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["models"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("vljepa models: the Python package rich is not installed; on ROS: ")
    assert said.count("\n") == 1


def test_what_making_model_files_needs_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "vljepa_ros.engines.export", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["export", "nano"]) == 1
    said = capsys.readouterr().err
    assert "the Python package torch is not installed; pip install torch transformers" in said


def test_a_token_of_the_console_arrives_as_it_was_given(monkeypatch: pytest.MonkeyPatch):
    started: list[bringup.BringupConfig] = []
    monkeypatch.setattr(bringup, "run", lambda config: started.append(config) or 0)
    monkeypatch.setattr(console, "leave_quietly_on_signals", lambda: None)
    token = "a\\b"
    assert main(["console", "--token", token, "--port", "0"]) == 0
    given = dict(one.split(":=") for one in started[0].parameters)
    assert {name: yaml.safe_load(value) for name, value in given.items()} == {
        "token": token,
        "port": 0,
    }


COMMANDS = (
    *("demo", "up", "ask", "label", "events", "info", "bag", "find", "memory"),
    *("fetch-model", "convert", "export", "build-engine"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: vljepa {command}")
    assert len(text.splitlines()) > 5


def test_without_a_command_it_shows_all_of_them(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    text = capsys.readouterr().out
    for name in (*COMMANDS, "train", "eval", "bench"):
        assert f"\n    {name}" in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from vljepa_ros.cli.main import main; main(['--help'])\n"
        "heavy = {'numpy', 'cv2', 'onnxruntime', 'rich', 'cyclonedds', 'rosbags', 'matplotlib',"
        " 'torch', 'rclpy'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr.strip() == "[]"


def test_parser_is_built_anew_each_time():
    first, second = build_parser(), build_parser()
    assert first is not second
    assert vars(first.parse_args(["info"])).keys() == vars(second.parse_args(["info"])).keys()


def test_the_greatest_age_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, Any] = {}

    def refuse(*_: object, **fields: object) -> None:
        sent.update(fields)
        raise CliError("not now")

    monkeypatch.setattr("vljepa_ros.cli.client.call_service", refuse)
    assert main(["ask", "x?", "yes", "no", "--max-age", "2147483647"]) == 1
    assert sent["max_age"].sec == 2**31 - 1


def test_a_time_beyond_all_numbers_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for time in ("1e999", "1e12", "nan"):
        assert main(["find", "x", "--start", time]) == 2
        assert f"'{time}' is not a valid time" in capsys.readouterr().err
