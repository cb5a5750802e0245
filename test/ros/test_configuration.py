from __future__ import annotations

import pytest

from vljepa_ros.ros.builtin import configuration


def test_discovery_stays_on_the_host_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(configuration.DISCOVERY_VARIABLE, raising=False)
    monkeypatch.setenv("ROS_STATIC_PEERS", "10.0.0.7;robot.local")
    assert "127.0.0.1" in configuration.configuration()
    assert "robot.local" in configuration.configuration()
    monkeypatch.setenv(configuration.DISCOVERY_VARIABLE, "SUBNET")
    assert "127.0.0.1" not in configuration.configuration()
    monkeypatch.setenv(configuration.DISCOVERY_VARIABLE, "EVERYWHERE")
    with pytest.raises(configuration.DdsConfigurationError, match="EVERYWHERE"):
        configuration.configuration()
