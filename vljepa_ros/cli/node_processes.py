"""Each node in a process of its own: started together, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vljepa_ros.cli.failure import CliError
from vljepa_ros.ros.run import StopFlag

PATIENCE = 30.0  # seconds that a node may take to end


def run_processes(commands: Mapping[str, Sequence[str]]) -> int:
    """Run the command lines until Ctrl-C, then end them; 0 after Ctrl-C.

    Children stand in sessions of their own: a Ctrl-C in the terminal reaches this process alone,
    which passes it on once.

    :param commands: node -> command line.
    :raises CliError: a node ended by itself; the others are ended too.
    """
    stop = StopFlag()
    stop.watch()
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    running = {
        name: subprocess.Popen(
            command, start_new_session=True, env={**os.environ, "PYTHONPATH": path}
        )
        for name, command in commands.items()
    }
    ended: tuple[str, int] | None = None
    while not stop.raised and ended is None:
        time.sleep(0.1)
        for name, process in running.items():
            code = process.poll()
            if code is not None:
                ended = (name, code)
    failed = _end(running)
    if ended is not None:
        raise CliError(f"the {ended[0]} node ended by itself with exit code {ended[1]}")
    if failed:
        print(f"vljepa up: did not end cleanly: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _end(running: Mapping[str, subprocess.Popen[bytes]]) -> list[str]:
    """End all of them; the names of those that did not return 0."""
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    failed = []
    for name, process in running.items():
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code != 0:
            failed.append(f"{name} ({code})")
    return failed
