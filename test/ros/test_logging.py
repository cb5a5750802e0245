from __future__ import annotations

import re
import time
from typing import Any

import pytest

from vljepa_ros import ros
from vljepa_ros.ros.builtin import logging as builtin_logging

from .conftest import Graph, builtin_only


@pytest.fixture(autouse=True)
def levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin_logging, "_levels", {"": builtin_logging.LoggingSeverity.INFO})


@builtin_only
def test_lines_and_levels(capfd: pytest.CaptureFixture[str]) -> None:
    logger = ros.get_logger("robot.near")
    logger.debug("hidden")
    logger.info("said")
    logger.warning("warned")
    lines = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"\[INFO\] \[\d+\.\d{9}\] \[robot\.near\]: said", lines[0])
    assert lines[1].startswith("[WARN]")
    assert len(lines) == 2
    builtin_logging.set_logger_level("robot", "debug")
    logger.debug("shown")
    assert "shown" in capfd.readouterr().err
    with pytest.raises(ValueError, match="loud"):
        builtin_logging.set_logger_level("robot", "loud")


def test_throttling_counts_for_a_line_of_code(capfd: pytest.CaptureFixture[str]) -> None:
    logger = ros.get_logger("near")
    written = [logger.info("a", throttle_duration_sec=60.0) for _ in range(5)]
    assert written == [True, False, False, False, False]
    assert [logger.info("b", throttle_duration_sec=60.0) for _ in range(2)] == [True, False]
    for wait in (0.0, 0.4):
        time.sleep(wait)
        logger.info("again", throttle_duration_sec=0.3)
    assert capfd.readouterr().err.count("again") == 2


def test_rosout(graph: Graph) -> None:
    node: Any = graph.node("near", namespace="robot")
    got: list[Any] = []
    node.create_subscription(ros.interface("rcl_interfaces/msg/Log"), "/rosout", got.append, 10)
    assert graph.until(lambda: node.count_publishers("/rosout") >= 1)
    end = time.monotonic() + 10.0
    while not got and time.monotonic() < end:
        node.get_logger().error("broken")
        graph.until(lambda: got, 0.2)
    message = got[-1]
    assert (message.level, message.name, message.msg) == (40, "robot.near", "broken")
    assert message.function == "test_rosout"
    assert message.file.endswith("test_logging.py")
