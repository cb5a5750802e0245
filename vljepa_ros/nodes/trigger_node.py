"""The trigger node: publishes which triggers of its clients are true of each camera."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.lifecycle_node import LifecycleNode, LifecycleParameters
from vljepa_ros.nodes.parameters import live
from vljepa_ros.nodes.topics import LATCHED, REPEAT_S, Endpoints, to_nanoseconds
from vljepa_ros.nodes.trigger_camera import Groups, TriggerCamera, groups_of
from vljepa_ros.nodes.trigger_texts import TriggerTexts
from vljepa_ros.nodes.turn_input import TurnInput, TurnParameters
from vljepa_ros.nodes.wait_for import WaitFor
from vljepa_ros.perception.trigger_board import Reason
from vljepa_ros.perception.triggers import (
    NO_LEASE,
    PARAMETER,
    Owners,
    Trigger,
    TriggerError,
    checked_owner,
    checked_seconds,
    checked_trigger,
    parse_triggers,
)
from vljepa_ros.perception.vocabulary import VocabularyError

EVENTS = ros.QoSProfile(
    depth=1000, reliability=ros.ReliabilityPolicy.RELIABLE
)  # all may change at once


@dataclass(frozen=True)
class TriggerParameters(TurnParameters, LifecycleParameters):
    """Parameters in addition to the common ones."""

    triggers: tuple[str, ...] = live(
        [""],
        "Triggers in addition to those of clients, each as 'text' or 'text | threshold'; a single "
        "empty text: none.",
    )
    threshold: float = live(
        0.5,
        "Default threshold: calibrated score from which a trigger becomes true.",
        0.001,
        0.999,
    )
    release: float = live(
        0.8,
        "Default release: share of its threshold below which a trigger becomes false.",
        0.01,
        1.0,
    )
    settle: float = live(
        0.3,
        "Default hold: seconds for which a score must stay beyond its limit.",
        0.0,
        3600.0,
    )
    camera_timeout: float = live(
        5.0,
        "Seconds without an embedding after which a camera's triggers are unknown.",
        0.2,
        3600.0,
    )


class TriggerNode(LifecycleNode[TriggerParameters]):
    """Loads no model: texts are encoded by the perception node. Options go to the ROS node."""

    subject = "triggers"
    codes = LifecycleNode.codes | {TriggerError: "BAD_REQUEST", VocabularyError: "BAD_REQUEST"}
    _texts: TriggerTexts
    _turn: TurnInput | None = None

    def __init__(self, **options: object) -> None:
        self.owners = Owners()
        self._labels: dict[str, Groups] = {}  # of each camera, once they are known
        self._cameras: dict[str, TriggerCamera] = {}
        super().__init__("trigger_node", TriggerParameters, **options)
        self._events = Endpoints(self, self.warn)
        self._vocabulary = Endpoints(self)
        self.serve("AddTriggers", "add_triggers", self._add_triggers)
        self.serve("RemoveTriggers", "remove_triggers", self._remove_triggers)
        self._waits = WaitFor(self)
        self._heartbeat = self.create_timer(
            REPEAT_S, self._publish_states, clock=ros.steady_clock()
        )

    def check_parameters(self, value: object) -> None:
        """Refuse a list of triggers that cannot be used."""
        if isinstance(value, TriggerParameters):
            self.owners.check_number(PARAMETER, len(parse_triggers(value.triggers)))

    def apply(self) -> None:
        """Take over parameters that have changed."""
        if self.opened:
            self.owners.replace(PARAMETER, parse_triggers(self.settings.triggers))
            self.renew()

    def open(self) -> None:
        """Create the cameras and have the texts encoded; all work is done by the executor."""
        self.owners.replace(PARAMETER, parse_triggers(self.settings.triggers))
        self._texts = TriggerTexts(self, self.renew, lambda: self._forget(Reason.MODEL_CHANGED))
        events = self._events.publisher("vljepa_ros/msg/TriggerEvent", "triggers", EVENTS)
        self._cameras = {
            camera: TriggerCamera(self, camera, events, self._waits.watch)
            for camera in self.cameras
        }
        self._vocabulary.subscribe(
            "vljepa_ros/msg/Vocabulary", "vocabulary", self._on_vocabulary, LATCHED
        )

    def start(self) -> None:
        """Subscribe and evaluate, if there are triggers."""
        p = self.settings
        if p.turn_topic:
            self._turn = TurnInput(self, p.turn_topic, p.turn_type, self._on_turn_rate)
        self._forget(Reason.NOT_SCORED)
        self._use()

    def stop(self) -> None:
        """Publish all triggers as UNKNOWN and unsubscribe."""
        if self._turn is not None:
            self._turn.close()
            self._turn = None
        self._waits.refuse_all("the node is no longer active")
        self._forget(Reason.REMOVED)
        for camera in self._cameras.values():
            camera.publish_state()
            camera.listen(False)

    def close(self) -> None:
        """Forget all triggers and the texts' embeddings."""
        if (texts := vars(self).pop("_texts", None)) is not None:
            texts.close()
        self._vocabulary.close()
        for camera in self._cameras.values():
            camera.close()
        self._events.close()
        self.owners, self._cameras, self._labels = Owners(), {}, {}

    def destroy_node(self) -> None:
        """Free everything, the action server first."""
        self._waits.destroy()
        super().destroy_node()

    def statuses(self, owner: str) -> list[ros.Message]:
        """The present msg/TriggerStatus of each trigger of an owner and each camera."""
        return [status for camera in self._cameras.values() for status in camera.statuses(owner)]

    def parts(self) -> Sequence[Part]:
        """Triggers, cameras and turns for the diagnostics."""
        triggers = self.owners.triggers
        owners = {trigger.owner for trigger in triggers}
        values = {
            "triggers": len(triggers),
            "owners": ", ".join(sorted(owners)),
            "model_id": self._texts.model_id,
        }
        why, passing = self._why_unscored(triggers)
        if not self.active:
            state = WARN, "not active"
        elif why:
            state = WARN if passing else ERROR, f"some triggers are not watched: {why}"
        else:
            state = OK, f"{len(triggers)} triggers of {len(owners)} owners"
        turn = [] if self._turn is None else [self._turn.part()]
        cameras = [camera.part() for camera in self._cameras.values()]
        return [Part("triggers", *state, values), *cameras, *turn]

    async def _add_triggers(self, request: ros.Message, response: ros.Message) -> None:
        owner = checked_owner(request.owner)
        lease = checked_seconds(to_nanoseconds(request.lease), "lease") / 1e9
        wanted = [checked_trigger(_trigger(owner, m), self.cameras) for m in request.triggers]
        ids = [trigger.id for trigger in wanted]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise TriggerError(f"ids appear twice: {twice[:5]}, allowed: each id once")
        self.owners.check_number(owner, len({*self.owners.of(owner), *ids}))
        await self.prepare(wanted)
        end = time.monotonic() + lease if lease else NO_LEASE
        if self.owners.add(owner, wanted, end):
            self.renew()
        response.total = len(self.owners.of(owner))
        why = "the node is not active" if not self.active else self._why_unscored(wanted)[0]
        if why:
            response.result = self.result("PENDING", f"accepted, but not watched yet: {why}")

    async def _remove_triggers(self, request: ros.Message, response: ros.Message) -> None:
        response.removed = self.owners.remove(checked_owner(request.owner), request.ids)
        self.renew()

    async def prepare(self, triggers: Sequence[Trigger], timeout: float = 0.0) -> None:
        """Have the texts of triggers encoded, if that is possible now.

        Args:
            triggers: To be added.
            timeout: Seconds; 0, and at most: the parameter `request_timeout`.

        Raises:
            TriggerError: The model cannot judge them, or the node is being closed.
        """
        texts = list(dict.fromkeys(text for trigger in triggers for text in trigger.texts))
        longest = self.settings.request_timeout
        await self._texts.encode(texts, min(timeout or longest, longest))
        if not self.opened:
            raise TriggerError("the node is being shut down", "NOT_ACTIVE")
        refusal = self._texts.refusal(self._no_labels(triggers))
        if refusal and self._labels:
            raise refusal

    def _why_unscored(self, triggers: Sequence[Trigger]) -> tuple[str, bool]:
        """Why some of these are not evaluated (or ""), and whether that is only temporary."""
        texts = self._no_labels(triggers)
        passing = bool(self._texts.missing(texts)) and not self._texts.trouble
        return self._texts.why_unscored(texts), passing

    def _no_labels(self, triggers: Sequence[Trigger]) -> set[str]:
        """Texts that are not labels of a camera that they are evaluated for."""
        found = set()
        for camera in self.cameras:
            own = {t for trigger in triggers if trigger.watches(camera) for t in trigger.texts}
            found |= own.difference(*self._labels.get(camera, {}).values())
        return found

    def watch(self) -> None:
        """Handle expired leases and stopped cameras, and have missing texts encoded."""
        if not self.opened:
            return
        if self.owners.expire(time.monotonic()):
            self.renew()
        self._texts.request_missing(self.settings.request_timeout)
        if self.active:
            for camera in self._cameras.values():
                camera.watch(self.settings.camera_timeout)
            self._waits.watch()

    def _publish_states(self) -> None:
        """Publish all states once a second, which is also the heartbeat of this node."""
        if self._turn is not None:
            self._turn.try_subscribe()
        if self.active:
            for camera in self._cameras.values():
                camera.publish_state()

    def renew(self) -> None:
        """Use the present triggers, texts and labels."""
        if self.opened:
            self._texts.keep(text for t in self.owners.triggers for text in t.texts)
        if self.active:
            self._use()

    def _use(self) -> None:
        p, texts = self.settings, self._texts.encoded
        triggers = [
            trigger.with_defaults(p.threshold, p.release, round(p.settle * 1e9))
            for trigger in self.owners.triggers
        ]
        for name, camera in self._cameras.items():
            own = [trigger for trigger in triggers if trigger.watches(name)]
            camera.use(own, texts, self._labels.get(name, {}))
            camera.listen(True)

    def _forget(self, reason: Reason) -> None:
        for camera in self._cameras.values():
            camera.forget(reason)

    def _on_vocabulary(self, message: ros.Message) -> None:
        found = {name: groups_of(name, message) for name in self.cameras}
        if found != self._labels:
            self._labels = found
            self.renew()

    def _on_turn_rate(self, stamp: float, rate: float) -> None:
        for camera in self._cameras.values():
            camera.turn(stamp, rate, self.settings.turn_rate)


def _trigger(owner: str, message: ros.Message) -> Trigger:
    """Convert a message to a Trigger."""
    return Trigger(
        owner,
        message.id,
        tuple(message.texts),
        tuple(message.cameras),
        message.threshold,
        message.release,
        to_nanoseconds(message.hold),
        to_nanoseconds(message.cooldown),
        message.unknown_while_turning,
    )
