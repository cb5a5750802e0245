"""The taught labels of the perception node: kept on the disk, learned, and in use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.models.config import Calibration
from vljepa_ros.nodes.diagnostics import Part, checked
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.perception.lesson import Lesson, embedded_again
from vljepa_ros.perception.pipeline import Pipeline
from vljepa_ros.perception.taught_store import TaughtStore, taught_folder
from vljepa_ros.perception.worker import CooperativeTask, QueueFullError, Request

LONGEST_LEARNING_S = 3600.0  # again, for another model, beside the work of the cameras


class TaughtLabels:
    """From `configure` to `cleanup`. What waits for the disk is done in threads of its own.

    Args:
        node: Its name names the folder.
        pipeline: Of the model that the labels are for.
        on_change: Given name -> label when they are others; one that cannot be used scores 0.
    """

    def __init__(
        self,
        node: ModelNode[Any],
        pipeline: Pipeline,
        on_change: Callable[[dict[str, EncodedText]], None],
    ) -> None:
        self._node = node
        self._engine = pipeline.engine
        self._on_change = on_change
        self._lock = threading.Lock()  # of the store
        self._changed = self._learning = False
        self._again_at = 0.0
        self.trouble = ""
        self.store = TaughtStore(taught_folder(node.get_fully_qualified_name()))
        self._refresh()
        self._use()

    def watch(self) -> None:
        """Once a second: notice files that changed, learn again for this model."""
        if self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()
        if self._changed:
            self._use()
        self._learn_again()

    def part(self) -> Part:
        """State for the diagnostics."""
        lessons = list(self.store.lessons.values())
        bad = [f"'{one.name}' cannot be used: {one.message}" for one in lessons if one.message]
        trouble = "; ".join(filter(None, [self.trouble, *self.store.problems.values(), *bad]))
        values = {"folder": str(self.store.folder), "usable": len(lessons) - len(bad)}
        return checked("taught labels", trouble, f"{len(lessons)} labels", values)

    def put(self, lesson: Lesson) -> Lesson:
        """Learn and keep; under the lock."""
        learned = lesson.learned(self._engine.config.visual_dim)
        try:
            self.store.put(learned)
            self.trouble = ""
        except OSError as error:
            self.trouble = (
                f"'{lesson.name}' is lost with the next restart, for it cannot be kept in "
                f"'{self.store.folder}': {error}"
            )
            self._node.warn(self.trouble)
        self._changed = True
        return learned

    def put_now(self, lesson: Lesson) -> None:
        """`put`, in the caller's thread."""
        with self._lock:
            self.put(lesson)

    async def aside(self, work: Callable[[], Any]) -> Any:
        """Have something done to the store in a thread of its own, and use what comes of it."""
        future = ros.Future()

        def run() -> None:
            with self._lock:
                done: tuple[Any, Exception | None]
                try:
                    done = work(), None
                except Exception as error:
                    done = None, error
            ros.complete(self._node, future, done)

        threading.Thread(target=run, name="teach", daemon=True).start()
        result, error = await future
        if self._node.opened:
            self._use()
        if error is not None:
            raise error
        return result

    def _refresh(self) -> None:
        known = dict(self.store.problems)
        try:
            self._changed |= self.store.refresh(self._engine.config)
        except OSError as error:
            self.store.problems["folder"] = f"'{self.store.folder}' cannot be read: {error}"
        for file in self.store.problems.keys() - known.keys():
            self._node.get_logger().error(
                f"a taught label is left out: {self.store.problems[file]}"
            )

    def _use(self) -> None:
        """Let the labels count as they are now."""
        self._changed = False
        # A name that is taught and cannot be used now is no text either.
        unusable = EncodedText(np.zeros(self._engine.config.dim, np.float32), Calibration())
        lessons = list(self.store.lessons.values())
        self._on_change({one.name: one.label or unusable for one in lessons})

    def _learn_again(self) -> None:
        """Have the next label embedded again whose frames are of another model."""
        if self._learning or time.monotonic() < self._again_at:
            return
        engine, lessons = self._engine, list(self.store.lessons.values())
        stale = [one for one in lessons if one.model_id != engine.config.model_id]
        if not stale or "embed" not in engine.capabilities:
            return

        def again(_: Any) -> CooperativeTask[None]:
            lesson = yield from embedded_again(stale[0], engine)
            threading.Thread(target=self._learned_again, args=(lesson,), daemon=True).start()

        def done(_: None, error: Exception | None) -> None:
            if error is not None:
                self._learning, self._again_at = False, time.monotonic() + 10.0
                self._node.warn(f"'{stale[0].name}' could not be learned again: {error}")

        self._learning = True
        try:
            self._node.worker.submit(Request(again, done, LONGEST_LEARNING_S))
        except QueueFullError:
            self._learning = False

    def _learned_again(self, lesson: Lesson) -> None:
        """Use what was learned for this model; the file stays if too few frames were kept."""
        with self._lock:
            if lesson.name not in self.store.lessons:
                pass  # forgotten meanwhile
            elif lesson.too_little:
                self.store.lessons[lesson.name] = lesson.learned(self._engine.config.visual_dim)
                self._changed = True
            else:
                self.put(lesson)
        self._learning = False
