from __future__ import annotations

import pytest

from vljepa_ros.cli.processes import PackageProcess, ProcessFailed


def test_finish_returns_what_was_printed():
    with PackageProcess("platform", []) as process:
        assert process.finish(20).strip()


def test_failure_says_how_and_what_was_said_last():
    with PackageProcess("vljepa_ros.cli.main", ["fly"]) as process:
        with pytest.raises(ProcessFailed, match=r"exit code 2: vljepa: .*'fly'"):
            process.finish(20)
        with pytest.raises(ProcessFailed, match="ended by itself"):
            process.check()


def test_too_slow_is_ended_and_named():
    with PackageProcess("http.server", ["0", "--bind", "127.0.0.1"]) as process:
        with pytest.raises(ProcessFailed, match=r"did not end within 0\.5 s"):
            process.finish(0.5)
        assert process.ended()
