"""Lifecycle nodes: the ROS 2 state machine, its callbacks, services and publishers."""

from __future__ import annotations

import enum
import time
import traceback
from typing import Any, NamedTuple

from .endpoints import Publisher
from .lifecycle_services import LifecycleServices
from .message import interface
from .node import Node

_State = interface("lifecycle_msgs/msg/State")
_Transition = interface("lifecycle_msgs/msg/Transition")


class TransitionCallbackReturn(enum.IntEnum):
    """What a transition callback returns."""

    SUCCESS = 97
    FAILURE = 98
    ERROR = 99

    def to_label(self) -> str:
        """Label of the transition that it causes."""
        return f"transition_{self.name.lower()}"


class LifecycleState(NamedTuple):
    """A state, as transition callbacks get it."""

    label: str
    state_id: int


STATES = {
    0: "unknown",
    1: "unconfigured",
    2: "inactive",
    3: "active",
    4: "finalized",
    10: "configuring",
    11: "cleaningup",
    12: "shuttingdown",
    13: "activating",
    14: "deactivating",
    15: "errorprocessing",
}


class TransitionRow(NamedTuple):
    """A transition of the state machine."""

    transition_id: int
    label: str
    start: int
    goal: int


def _outcomes(state: int, success: int, failure: int, first_id: int) -> list[TransitionRow]:
    return [
        TransitionRow(first_id, "transition_success", state, success),
        TransitionRow(first_id + 1, "transition_failure", state, failure),
        TransitionRow(first_id + 2, "transition_error", state, 15),
    ]


TRANSITIONS = [
    TransitionRow(1, "configure", 1, 10),
    *_outcomes(10, 2, 1, 10),
    TransitionRow(2, "cleanup", 2, 11),
    *_outcomes(11, 1, 2, 20),
    TransitionRow(3, "activate", 2, 13),
    *_outcomes(13, 3, 2, 30),
    TransitionRow(4, "deactivate", 3, 14),
    *_outcomes(14, 2, 3, 40),
    TransitionRow(5, "shutdown", 1, 12),
    TransitionRow(6, "shutdown", 2, 12),
    TransitionRow(7, "shutdown", 3, 12),
    *_outcomes(12, 4, 4, 50),
    TransitionRow(60, "transition_success", 15, 1),
    TransitionRow(61, "transition_failure", 15, 4),
    TransitionRow(62, "transition_error", 15, 4),
]
_CALLBACKS = {
    10: "on_configure",
    11: "on_cleanup",
    12: "on_shutdown",
    13: "on_activate",
    14: "on_deactivate",
    15: "on_error",
}


class LifecyclePublisher(Publisher):
    """A publisher that drops what is published while its node is not active."""

    _enabled = False

    @property
    def is_activated(self) -> bool:
        """Whether messages go out."""
        return self._enabled

    def publish(self, msg: Any) -> None:
        """Publish, while active."""
        if self._enabled:
            super().publish(msg)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let messages out."""
        self._enabled = True
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold messages back."""
        self._enabled = False
        return TransitionCallbackReturn.SUCCESS


class LifecycleNode(Node):
    """A node with states. Override ``on_configure`` and the others; call ``super()`` in them."""

    def __init__(
        self, node_name: str, *, enable_communication_interface: bool = True, **options: Any
    ) -> None:
        self._state = 1
        self._managed: list[Any] = []
        self._transition_events: Publisher | None = None
        super().__init__(node_name, **options)
        if enable_communication_interface:
            self._transition_events = self.create_publisher(
                interface("lifecycle_msgs/msg/TransitionEvent"), "~/transition_event", 10
            )
            LifecycleServices(self)

    # ---- states

    @property
    def lifecycle_state(self) -> LifecycleState:
        """The present state."""
        return LifecycleState(STATES[self._state], self._state)

    def possible(self) -> list[TransitionRow]:
        """Transitions that start in the present state."""
        return [row for row in TRANSITIONS if row.start == self._state]

    def _go(self, row: TransitionRow) -> None:
        if self._transition_events is not None and self.context.ok():
            event = self._transition_events.msg_type(
                timestamp=time.time_ns(),
                transition=_Transition(id=row.transition_id, label=row.label),
                start_state=_State(id=row.start, label=STATES[row.start]),
                goal_state=_State(id=row.goal, label=STATES[row.goal]),
            )
            self._transition_events.publish(event)
        self._state = row.goal

    def _call(self, before: LifecycleState) -> TransitionCallbackReturn:
        name = _CALLBACKS[self._state]
        try:
            result = getattr(self, name)(before)
        except Exception:
            self.get_logger().error(f"{name} raised an exception:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        if not isinstance(result, TransitionCallbackReturn):
            self.get_logger().error(
                f"{name} returned {result!r}; expected a TransitionCallbackReturn"
            )
            return TransitionCallbackReturn.ERROR
        return result

    def _finish(self, outcome: TransitionCallbackReturn) -> None:
        self._go(next(row for row in self.possible() if row.label == outcome.to_label()))

    def change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """Make a transition, callbacks and all; ERROR, and a log line, where that cannot be."""
        before = self.lifecycle_state
        row = next((r for r in self.possible() if r.transition_id == transition_id), None)
        if row is None or transition_id >= 10:
            self.get_logger().error(
                f"unable to start transition {transition_id} from state {before.label}; possible:"
                f" {', '.join(r.label for r in self.possible()) or 'none'}"
            )
            return TransitionCallbackReturn.ERROR
        self._go(row)
        outcome = self._call(before)
        self._finish(outcome)
        if outcome == TransitionCallbackReturn.ERROR:
            self._finish(self._call(before))
        return outcome

    def trigger_configure(self) -> TransitionCallbackReturn:
        """Unconfigured to inactive."""
        return self.change_state(1)

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        """Inactive to unconfigured."""
        return self.change_state(2)

    def trigger_activate(self) -> TransitionCallbackReturn:
        """Inactive to active."""
        return self.change_state(3)

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        """Active to inactive."""
        return self.change_state(4)

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """To finalized, from any main state. Raises RuntimeError in any other."""
        if self._state not in (1, 2, 3):
            raise RuntimeError(f"shutdown is not possible in state {STATES[self._state]}")
        return self.change_state(4 + self._state)

    # ---- callbacks, to be overridden; each gets the state it came from

    def _managed_do(self, name: str, state: LifecycleState) -> TransitionCallbackReturn:
        for entity in self._managed:
            callback = getattr(entity, name, None)
            result = callback(state) if callback else TransitionCallbackReturn.SUCCESS
            if result != TransitionCallbackReturn.SUCCESS:
                return result
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure the managed entities."""
        return self._managed_do("on_configure", state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Clean up the managed entities."""
        return self._managed_do("on_cleanup", state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate the managed entities: lifecycle publishers begin to publish."""
        return self._managed_do("on_activate", state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate the managed entities."""
        return self._managed_do("on_deactivate", state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Shut the managed entities down."""
        return self._managed_do("on_shutdown", state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """SUCCESS leads to unconfigured, anything else to finalized."""
        return self._managed_do("on_error", state)

    # ---- managed entities

    def add_managed_entity(self, entity: Any) -> None:
        """Have an object's ``on_activate`` and the others called with the node's own."""
        self._managed.append(entity)

    def create_lifecycle_publisher(
        self, msg_type: Any, topic: str, qos_profile: Any, **options: Any
    ) -> Publisher:
        """As create_publisher; silent while the node is not active."""
        publisher = self.create_publisher(
            msg_type, topic, qos_profile, publisher_class=LifecyclePublisher, **options
        )
        self._managed.append(publisher)
        return publisher

    def destroy_lifecycle_publisher(self, publisher: Publisher) -> bool:
        """Destroy what create_lifecycle_publisher made."""
        self._managed = [entity for entity in self._managed if entity is not publisher]
        return self.destroy_publisher(publisher)
