"""What all tests share: a ROS domain that no other process of the host uses, a home for ROS."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

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

    The address of a socket, which does not depend on TMPDIR as a file would, keeps other test runs
    and other workers out of it. Those that follow take others: a process that was killed haunts its
    domain for ten seconds.
    """
    for _ in _DOMAINS:
        number = _DOMAINS[next(_turn) % len(_DOMAINS)]
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with lock, pytest.MonkeyPatch.context() as patch:
            try:
                lock.bind(f"\0vljepa_ros_test_domain_{number}")  # abstract: ends with the process
            except OSError:
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
