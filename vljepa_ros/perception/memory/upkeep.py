"""Background work on the store: forget, compact, build the index. Never on the writer's thread."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

from vljepa_ros.perception.memory.failure import MemoryStoreError
from vljepa_ros.perception.memory.retention import Retention, forget
from vljepa_ros.perception.memory.store import MemoryStore


def tidy(store: MemoryStore, retention: Retention, keep_versions: float = 300.0) -> int:
    """One round: merge small files, forget, build the index if it pays now.

    Compaction comes first, so that space given up in the round before does not count as used.

    :param keep_versions: seconds for which other processes may read an old version of the store.
    :return: rows forgotten.
    """
    keep = datetime.timedelta(seconds=keep_versions)
    failed = None
    try:
        store.compact(keep)
    except MemoryStoreError as error:  # a full disk has no room for it: forgetting makes some
        failed = error
    forgotten = forget(store, retention)
    if failed is not None and not forgotten:
        raise failed
    if forgotten:
        store.compact(keep)
    store.build_index()
    return forgotten


def compact_and_index(store: MemoryStore, keep_versions: float = 300.0) -> None:
    """Merge small files and build the index if it pays; nothing is forgotten."""
    store.compact(datetime.timedelta(seconds=keep_versions))
    store.build_index()


class Upkeep:
    """Calls `work` every `period` seconds on a thread of its own.

    What it raises is passed on to `on_problem` (empty text: it works again); the next round comes.
    """

    def __init__(
        self,
        work: Callable[[], object],
        period: float,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        if period <= 0.0:
            raise ValueError(f"period is {period} s, allowed: above 0")
        self._work = work
        self._period = period
        self._on_problem = on_problem
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-upkeep", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> bool:
        """End the thread after the round in progress; False: it is still at work."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        problem = ""
        while not self._stop.wait(self._period):
            try:
                self._work()
                now = ""
            except Exception as error:  # a disk may fail in any way; the next round may work
                now = " ".join(str(error).split()) or type(error).__name__
            if now != problem and self._on_problem is not None:
                self._on_problem(now)
            problem = now
