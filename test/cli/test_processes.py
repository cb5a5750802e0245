from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from vljepa_ros.cli.processes import PackageProcess, ProcessFailed, run_nodes_until_stopped


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


def test_no_node_outlives_one_that_cannot_be_started(monkeypatch):
    started, popen = [], subprocess.Popen

    def start(*arguments, **options):
        if started:
            raise OSError("no more processes")
        started.append(popen(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    server = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with pytest.raises(OSError, match="no more processes"):
        run_nodes_until_stopped({"one": server, "two": server})
    assert started[0].poll() is not None
