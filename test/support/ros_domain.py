"""What all tests share: a ROS domain that nobody else on the host talks in, a home for ROS."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# 0 is what robots use, 73 is the demo's and 74 the benchmark's; above 101 ports may be taken.
_DOMAINS = [number for number in range(1, 102) if number not in (73, 74)]
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_turn = itertools.count(os.getpid() + _WORKER * len(_DOMAINS) // 2)


@pytest.fixture(scope="session", autouse=True)
def ros_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What nodes keep for their next start goes with the test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_HOME", str(tmp_path_factory.mktemp("ros_home")))
        yield


@contextmanager
def own_domain() -> Iterator[int]:
    """A free domain, in ROS_DOMAIN_ID too, so that what is started inherits it.

    A lock on a file keeps other test runs and other workers out of it. Those that follow take
    others: a process that was killed haunts its domain for ten seconds.
    """
    for _ in _DOMAINS:
        number = _DOMAINS[next(_turn) % len(_DOMAINS)]
        path = Path(tempfile.gettempdir()) / f"vljepa_ros_test_domain_{number}"
        try:
            lock = path.open("a")
        except OSError:  # another user's
            continue
        with lock, pytest.MonkeyPatch.context() as patch:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            patch.setenv("ROS_DOMAIN_ID", str(number))
            yield number
            return
    raise RuntimeError("every ROS domain from 1 to 101 is in use by tests on this host")


@pytest.fixture(scope="module")
def domain() -> Iterator[int]:
    """A domain for one test module."""
    with own_domain() as number:
        yield number
