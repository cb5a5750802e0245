"""Service callbacks that wait for a condition, each with its own deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from vljepa_ros import ros


class Pending:
    """Pending requests, each of which is completed exactly once; thread-safe.

    Args:
        node: The node whose executor runs the waiting callbacks.
    """

    def __init__(self, node: ros.Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._waiting: list[tuple[Any, float, Callable[[Any], None]]] = []

    @property
    def keys(self) -> set[Any]:
        """The keys of all pending requests."""
        with self._lock:
            return {key for key, _, _ in self._waiting}

    def wait(self, key: object, timeout: float) -> ros.Future:
        """A future to await in a callback of the node.

        Args:
            key: Identifies the condition.
            timeout: Seconds.

        Returns:
            Its result is what is passed to `complete`, or None after the timeout.
        """
        future = ros.Future()
        self.add(key, timeout, lambda result: ros.complete(self._node, future, result))
        return future

    def add(self, key: object, timeout: float, on_done: Callable[[Any], None]) -> None:
        """As `wait`, with a function that is called with the result."""
        with self._lock:
            self._waiting.append((key, time.monotonic() + timeout, on_done))

    def complete(self, result: object, of: Callable[[Any], bool] = lambda key: True) -> None:
        """Complete the pending requests whose key meets a condition."""
        self._answer(result, lambda key, _: of(key))

    def expire(self) -> None:
        """Complete requests after their timeout with None; call it a few times a second."""
        now = time.monotonic()
        self._answer(None, lambda _, deadline: now > deadline)

    def _answer(self, result: object, chosen: Callable[[Any, float], bool]) -> None:
        with self._lock:
            done = [entry for entry in self._waiting if chosen(entry[0], entry[1])]
            self._waiting = [entry for entry in self._waiting if entry not in done]
        for _, _, on_done in done:
            on_done(result)
