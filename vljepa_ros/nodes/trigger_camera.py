"""Evaluates the triggers for one camera: embeddings and labels in, events and states out."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedTexts
from vljepa_ros.nodes.diagnostics import OK, Part
from vljepa_ros.nodes.embedding_subscription import EmbeddingSubscription
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.topics import REPEATED, Endpoints, age_of, to_nanoseconds, to_stamp
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.trigger_board import Reason, State, StateChange, TriggerBoard
from vljepa_ros.perception.triggers import Trigger
from vljepa_ros.perception.vocabulary import groups_for

Groups = Mapping[str, frozenset[str]]
"""Prompt -> labels."""
TURN_TAIL_S = 0.5  # a turn has effects for this long after the clip: its stamps may be late


class TriggerCamera(Endpoints):
    """Publishes triggers from creation until `close`; subscribes while `listen(True)`.

    Args:
        node: A lifecycle node.
        camera: Name of the camera.
        events: Publisher of the TriggerEvents of all cameras.
        on_change: Called with the owners whose triggers have changed.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        camera: str,
        events: Any,
        on_change: Callable[[frozenset[str]], None],
    ) -> None:
        super().__init__(node, node.warn)
        self.board = TriggerBoard()
        self._camera = camera
        self._events = events
        self._on_change = on_change
        self._event_kind = ros.interface("vljepa_ros/msg/TriggerEvent")
        self._status_kind = ros.interface("vljepa_ros/msg/TriggerStatus")
        self._states = self.publisher(
            "vljepa_ros/msg/TriggerState", f"{camera}/trigger_state", REPEATED
        )
        self._state = ros.interface("vljepa_ros/msg/TriggerState")(camera=camera)
        self._topic = EmbeddingSubscription(node, camera, self._on_embedding)
        self._labels = Endpoints(node, self._topic.warn)
        self._labels_arrived = 0.0
        self._groups: Groups = {}
        self._filled = False  # whether the statuses are those of the board
        self._places: dict[str, list[int]] = {}  # owner -> indices of its triggers
        self._header: Any = ros.interface("std_msgs/msg/Header")()
        self._span = 0.0  # seconds of the newest clip
        self._guard = TurnGuard(TurnGuardConfig())

    def use(self, triggers: Sequence[Trigger], texts: EncodedTexts, groups: Groups) -> None:
        """Replace the triggers; see TriggerBoard.

        Args:
            triggers: Triggers of this camera.
            texts: Their texts, as far as they are encoded.
            groups: The vocabulary of this camera.
        """
        now = self._now()
        self._topic.dim = next((one.vector.size for one in texts.texts.values()), 0)
        mine = {text for trigger in triggers for text in trigger.texts}
        self._groups = {prompt: labels & mine for prompt, labels in groups.items()}
        labels = frozenset().union(*self._groups.values())
        board = TriggerBoard(triggers, texts, labels, now)
        gone, replaced = board.carry_over(self.board, now)
        self._publish(gone)
        self.board = board
        self._state.triggers = [
            self._status_kind(
                owner=trigger.owner,
                id=trigger.id,
                camera=self._camera,
                threshold=float(trigger.threshold),
            )
            for trigger in triggers
        ]
        self._filled = False
        self._places = {}
        for index, trigger in enumerate(triggers):
            self._places.setdefault(trigger.owner, []).append(index)
        self._publish(replaced)
        self.publish_state()

    def listen(self, on: bool) -> None:
        """Subscribe if there are triggers, or unsubscribe.

        Labels are subscribed to only if a trigger depends on them: they cost the model more.
        """
        on = on and bool(self.board.triggers)
        self._topic.listen(on)
        if not on or not self.board.by_label.any():
            self._labels.close()
        elif not self._labels.is_open:
            self._labels_arrived = time.monotonic()
            topic = f"{self._camera}/labels"
            self._labels.subscribe("vljepa_ros/msg/SceneLabels", topic, self._on_labels)

    def watch(self, timeout: float) -> None:
        """Set triggers to UNKNOWN if perception is gone or silent for `timeout` seconds."""
        self._topic.watch()
        if not self._topic.is_open:
            return
        silent = time.monotonic() - self._topic.arrived > timeout
        if self._topic.perception_missing or (silent and not self._topic.perception_lives):
            self.forget(Reason.MODEL_GONE)
        elif silent:
            self.forget(Reason.CAMERA_STOPPED)
        elif self._labels_silence > timeout:
            self._apply(self.board.forget(Reason.CAMERA_STOPPED, self._now(), self.board.by_label))

    def forget(self, reason: Reason) -> None:
        """Set all triggers to UNKNOWN."""
        before = self.board.reason.tobytes()
        changes = self.board.forget(reason, self._now())
        if changes or self.board.reason.tobytes() != before:  # called repeatedly
            self._apply(changes)

    def turn(self, stamp: float, rate: float, limit: float) -> None:
        """Take a turn rate, rad/s, at `stamp` seconds; limit: rate from which the robot turns."""
        self._guard.config = TurnGuardConfig(limit, hold=self._span + TURN_TAIL_S)
        self._guard.turn(stamp, rate)

    def statuses(self, owner: str) -> list[ros.Message]:
        """The present msg/TriggerStatus of each trigger of an owner."""
        own = self._places.get(owner, [])
        self._fill(own)
        return [self._state.triggers[index] for index in own]

    def publish_state(self) -> None:
        """Publish the present state of all triggers."""
        if not self._filled:
            self._fill(range(len(self.board.triggers)))
            self._filled = True
        self._state.header.stamp = self._node.get_clock().now().to_msg()
        self._state.header.frame_id = self._header.frame_id
        self._state.model_id = self.board.model_id
        self._states.publish(self._state)

    def part(self) -> Part:
        """State for the diagnostics."""
        counts = np.bincount(self.board.state, minlength=len(State)).tolist()
        values: dict[str, object] = {
            "triggers": len(self.board.triggers),
            **{state.name.lower(): counts[state] for state in State},
        }
        topic, silence = f"{self._camera}/labels", self._labels_silence
        lacking = ""
        if silence > self._node.settings.camera_timeout:
            lacking = f"no labels on '{self._node.resolve_topic_name(topic)}' for {silence:.0f} s"
        return self._topic.part(values, (OK, "no triggers"), lacking)

    @property
    def _labels_silence(self) -> float:
        """Seconds without the labels that triggers need; 0: they need none."""
        return time.monotonic() - self._labels_arrived if self._labels.is_open else 0.0

    def _on_embedding(self, message: ros.Message) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        self._span = max(0.0, (stamp - to_nanoseconds(message.clip_start)) / 1e9)
        if self._fits(message, stamp):
            vector = np.array(message.vector, np.float32)
            self._apply(self.board.observe(stamp, vector))

    def _on_labels(self, message: ros.Message) -> None:
        self._labels_arrived = time.monotonic()
        stamp = to_nanoseconds(message.header.stamp)
        if self._fits(message, stamp):
            scores: dict[str, float] = {}
            for group in message.groups:
                for text, score in self._scores_of(group).items():
                    scores[text] = max(score, scores.get(text, 0.0))  # it may be in two groups
            self._apply(self.board.observe_labels(stamp, scores))

    def _scores_of(self, group: ros.Message) -> dict[str, float]:
        """Scores of the triggers' texts in a LabelGroup.

        A label that is not among the published ones gets the rest of the probability.
        """
        mine = self._groups.get(group.prompt, frozenset())
        found = {label.text: label.score for label in group.labels if label.text in mine}
        if len(found) < len(mine):
            rest = 1.0 - group.none_score - sum(label.score for label in group.labels)
            found = dict.fromkeys(mine, max(0.0, rest)) | found
        return found

    def _fits(self, message: ros.Message, stamp: int) -> bool:
        """Whether a result can be compared; also sets triggers to UNKNOWN during turns."""
        board = self.board
        if stamp < 0:
            self._topic.refuse("a message of labels", "its stamp is negative")
            return False
        self._header = message.header
        if board.model_id and message.model_id != board.model_id:
            self._topic.warn(
                f"results of camera '{self._camera}' come from model {message.model_id}, the "
                f"triggers' texts were encoded by {board.model_id}: start both with the same model"
            )
            self.forget(Reason.MODEL_CHANGED)
            return False
        self._topic.trouble = ""
        if not message.in_domain:
            self.forget(Reason.OUT_OF_DOMAIN)
            return False
        turning = self._guard.factor(stamp / 1e9) > 1
        self._apply(board.turn(turning, self._now()))
        return True

    def _apply(self, changes: Sequence[StateChange]) -> None:
        self._filled = False
        if changes:
            self._publish(changes)
            self.publish_state()

    def _publish(self, changes: Sequence[StateChange]) -> None:
        if not changes:
            return
        stamp = to_nanoseconds(self._header.stamp)
        for change in changes:
            self._fill([change.index])
            status = self._state.triggers[change.index]
            scored = status.state != State.UNKNOWN
            self._events.publish(
                self._event_kind(
                    header=self._header,
                    event_id=uuid.uuid4().hex,
                    model_id=self.board.model_id,
                    previous_state=int(change.previous),
                    trigger=status,
                    latency=max(0.0, age_of(self._node, stamp)) if scored else 0.0,
                )
            )
        self._on_change(frozenset(self.board.triggers[change.index].owner for change in changes))

    def _fill(self, indices: Sequence[int]) -> None:
        """Update the statuses of some triggers."""
        board, stamp = self.board, cache(to_stamp)  # most stamps are the same
        rows = board.state, board.reason, board.score, board.since, board.evaluated
        values = zip(*(row[indices].tolist() for row in rows), strict=True)
        for index, (state, reason, score, since, evaluated) in zip(indices, values, strict=True):
            status = self._state.triggers[index]
            status.state, status.reason = state, reason
            status.text = board.best_text(index) if state else ""
            status.score = score if state else math.nan
            status.since, status.evaluated = stamp(since), stamp(evaluated)

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def groups_of(camera: str, vocabulary: ros.Message) -> Groups:
    """The labels of a camera in a msg/Vocabulary."""
    return {g.prompt: frozenset(g.labels) for g in groups_for(camera, vocabulary.groups)}
