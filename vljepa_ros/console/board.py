"""What the pages are sent: the newest of everything at once, then each message as it comes."""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

_MOST_NAMES = 1000  # of messages that are kept; nodes may come and go under ever new names
_MOST_WAITING = 2000  # messages that a page may be behind; a slower one has to connect again
LINGER_S = 5.0  # a page that is loaded again is back within that time


class Board:
    """Keeps messages by name and hands them to all pages that follow; usable from any thread.

    Args:
        on_page: Called when a page begins to follow, in its thread.
    """

    def __init__(self, on_page: Callable[[], object] = lambda: None) -> None:
        self._on_page = on_page
        self._lock = threading.Lock()
        self._kept: dict[str, deque[str]] = {}
        self._pages: list[queue.SimpleQueue[str | None]] = []
        self._looked = -math.inf

    @property
    def is_watched(self) -> bool:
        """Whether a page follows, or did a moment ago."""
        with self._lock:
            return bool(self._pages) or time.monotonic() - self._looked < LINGER_S

    def put(self, name: str, value: object, keep: int = 1) -> None:
        """Send a message.

        Args:
            name: What it is about, such as `front/labels`.
            value: For `json.dumps`.
            keep: So many of that name are sent to a page that comes later.
        """
        text = json.dumps({"name": name, "value": value}, allow_nan=False)
        with self._lock:
            self._kept.setdefault(name, deque(maxlen=keep)).append(text)
            if len(self._kept) > _MOST_NAMES:
                del self._kept[next(iter(self._kept))]
            for page in list(self._pages):
                page.put(text)
                if page.qsize() > _MOST_WAITING:
                    self._leave(page)

    def forget(self, but: Collection[str] = ()) -> None:
        """Drop what was kept, except under these names: it is no longer current."""
        with self._lock:
            self._kept = {name: kept for name, kept in self._kept.items() if name in but}

    @contextmanager
    def follow(self) -> Iterator[queue.SimpleQueue[str | None]]:
        """A queue of JSON texts; None: the end, for the board was closed or the page is slow."""
        page: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with self._lock:
            for kept in self._kept.values():
                for text in kept:
                    page.put(text)
            self._pages.append(page)
        try:
            self._on_page()
            yield page
        finally:
            with self._lock:
                self._leave(page)
                self._looked = time.monotonic()

    def close(self) -> None:
        """Send all pages away."""
        with self._lock:
            for page in list(self._pages):
                self._leave(page)

    def _leave(self, page: queue.SimpleQueue[str | None]) -> None:
        if page in self._pages:
            self._pages.remove(page)
            page.put(None)
