"""Starts other processes of the package and ends them with SIGINT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from vljepa_ros.cli.options import CliError
from vljepa_ros.ros import StopFlag

NODE_STOP_TIMEOUT_S = 30.0  # a node frees its model within seconds


class ProcessFailed(RuntimeError):  # noqa: N818  (it reads as what happened)
    """A process ended unexpectedly or failed; the message has the end of its output."""


class PackageProcess:
    """Runs `python -m MODULE ARGUMENTS...` and ends it when the context is left.

    Its output goes to a temporary file, as a pipe could fill up, or with `show_output` to the
    output of this process.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        show_output: bool = False,
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._name = " ".join([module.rsplit(".", 1)[-1], *arguments[:1]])
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        self._environment = {**os.environ, "PYTHONPATH": path, **(environment or {})}
        self._show_output = show_output
        self._interrupted = False

    def __enter__(self) -> PackageProcess:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=None if self._show_output else self._output,
            stderr=None if self._show_output else subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C reaches this process only, which passes it on once
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._output.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def output(self) -> str:
        """Its output so far, stdout and stderr together."""
        self._output.flush()
        return os.pread(self._output.fileno(), 1 << 20, 0).decode("utf-8", "replace")

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raise if it has ended.

        Raises:
            ProcessFailed: With its exit code and its last lines.
        """
        code = self._process.poll()
        if code is not None:
            raise self._failure(f"ended by itself with exit code {code}")

    def interrupt(self) -> None:
        """Send SIGINT once, without waiting."""
        if not self._interrupted and not self.ended():
            self._process.send_signal(signal.SIGINT)
            self._interrupted = True

    def stop(self, timeout: float = 60.0) -> int:
        """End it with SIGINT, after `timeout` seconds with SIGKILL, and return its exit code."""
        self.interrupt()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()

    def finish(self, timeout: float) -> str:
        """Wait until it ends and return its output.

        Raises:
            ProcessFailed: It took longer than `timeout` seconds or did not return 0.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise self._failure(f"did not end within {timeout:g} s") from None
        if code != 0:
            raise self._failure(f"ended with exit code {code}")
        return self.output()

    def _failure(self, what: str) -> ProcessFailed:
        last = " | ".join(line.strip() for line in self.output().splitlines()[-4:] if line.strip())
        return ProcessFailed(f"{self._name} {what}: {last or 'it printed nothing'}")


def run_nodes_until_stopped(commands: Mapping[str, Sequence[str]]) -> int:
    """Run each node in a process of its own until Ctrl-C; returns 0.

    Args:
        commands: Node -> command line, `python -m MODULE ARGUMENTS...`.

    Raises:
        CliError: A node ended by itself; the others are ended, too.
    """
    stop = StopFlag()
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(PackageProcess(command[2], command[3:], show_output=True))
            for name, command in commands.items()
        }
        ended: dict[str, int] = {}
        while not stop.raised and not ended:
            time.sleep(0.1)
            ended = {name: node.stop() for name, node in running.items() if node.ended()}
        for node in running.values():
            node.interrupt()
        codes = {name: node.stop(NODE_STOP_TIMEOUT_S) for name, node in running.items()}
    if ended:
        name, code = ended.popitem()
        raise CliError(f"the {name} node ended by itself with exit code {code}")
    failed = [f"{name} ({code})" for name, code in codes.items() if code != 0]
    if failed:
        print(f"vljepa up: did not end cleanly: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0
