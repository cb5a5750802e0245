"""Starts other processes of the package, keeps what they print, ends them as Ctrl-C would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType


class ProcessFailed(RuntimeError):  # noqa: N818  (it reads as what happened)
    """A process ended by itself, or with an error; the message holds the end of what it printed."""


class PackageProcess:
    """`python -m MODULE ARGUMENTS...`, ended when the context is left.

    Its output goes to a temporary file, never to a pipe that could fill up.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._name = " ".join([module.rsplit(".", 1)[-1], *arguments[:1]])
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        self._environment = {**os.environ, "PYTHONPATH": path, **(environment or {})}

    def __enter__(self) -> PackageProcess:
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on once
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._output.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def output(self) -> str:
        """Return what it printed so far, standard output and error together."""
        self._output.flush()
        return os.pread(self._output.fileno(), 1 << 20, 0).decode("utf-8", "replace")

    def ended(self) -> bool:
        """Whether it is over."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raise if it has ended.

        :raises ProcessFailed: with its exit code and its last lines.
        """
        code = self._process.poll()
        if code is not None:
            raise self._failure(f"ended by itself with exit code {code}")

    def stop(self, patience: float = 60.0) -> int:
        """End it with SIGINT, after `patience` seconds with SIGKILL, and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        return self._process.returncode

    def finish(self, timeout: float) -> str:
        """Wait until it ends and return what it printed.

        :raises ProcessFailed: it took longer than `timeout` seconds or did not return 0.
        """
        end = time.monotonic() + timeout
        while self._process.poll() is None:
            if time.monotonic() > end:
                self.stop()
                raise self._failure(f"did not end within {timeout:g} s")
            time.sleep(0.02)
        if self._process.returncode != 0:
            raise self._failure(f"ended with exit code {self._process.returncode}")
        return self.output()

    def _failure(self, what: str) -> ProcessFailed:
        last = " | ".join(line.strip() for line in self.output().splitlines()[-4:] if line.strip())
        return ProcessFailed(f"{self._name} {what}: {last or 'it printed nothing'}")


def resident_mib(pid: int) -> float | None:
    """Return the resident memory of a process in MiB, None where /proc does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None
