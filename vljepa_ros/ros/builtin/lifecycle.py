"""Lifecycle nodes: the ROS 2 state machine, its callbacks and services."""

from __future__ import annotations

import enum
import time
import traceback
from typing import Any, NamedTuple

from vljepa_ros.ros.builtin.message import Message, interface
from vljepa_ros.ros.builtin.node import Node

_StateMessage = interface("lifecycle_msgs/msg/State")
_TransitionMessage = interface("lifecycle_msgs/msg/Transition")
_Description = interface("lifecycle_msgs/msg/TransitionDescription")
_Event = interface("lifecycle_msgs/msg/TransitionEvent")


class TransitionCallbackReturn(enum.IntEnum):
    """What a transition callback returns."""

    SUCCESS = 97
    FAILURE = 98
    ERROR = 99


class LifecycleState(NamedTuple):
    """A state, as transition callbacks get it."""

    label: str
    state_id: int


# Transition state: label, callback, the states that its success and its failure lead to, and the id
# of the first of its three outcomes.
_STEPS = {
    10: ("configuring", "on_configure", 2, 1, 10),
    11: ("cleaningup", "on_cleanup", 1, 2, 20),
    12: ("shuttingdown", "on_shutdown", 4, 4, 50),
    13: ("activating", "on_activate", 3, 2, 30),
    14: ("deactivating", "on_deactivate", 2, 3, 40),
    15: ("errorprocessing", "on_error", 1, 4, 60),
}
STATES = dict(enumerate(("unknown", "unconfigured", "inactive", "active", "finalized")))
STATES |= {state: step[0] for state, step in _STEPS.items()}


def _state_message(state: int) -> Message:
    return _StateMessage(id=state, label=STATES[state])


class Transition(NamedTuple):
    """A transition of the state machine."""

    transition_id: int
    label: str
    start: int
    goal: int

    def messages(self) -> dict[str, Message]:
        """Fields of a `lifecycle_msgs/msg/TransitionDescription`, and of an event."""
        return {
            "transition": _TransitionMessage(id=self.transition_id, label=self.label),
            "start_state": _state_message(self.start),
            "goal_state": _state_message(self.goal),
        }


_STARTS = [
    Transition(1, "configure", 1, 10),
    Transition(2, "cleanup", 2, 11),
    Transition(3, "activate", 2, 13),
    Transition(4, "deactivate", 3, 14),
    Transition(5, "shutdown", 1, 12),
    Transition(6, "shutdown", 2, 12),
    Transition(7, "shutdown", 3, 12),
]


def _outcomes(state: int) -> list[Transition]:
    _, _, success, failure, first_id = _STEPS[state]
    error = failure if state == 15 else 15
    return [
        Transition(first_id, "transition_success", state, success),
        Transition(first_id + 1, "transition_failure", state, failure),
        Transition(first_id + 2, "transition_error", state, error),
    ]


TRANSITIONS = [
    transition
    for state in (10, 11, 13, 14, 12, 15)
    for transition in (*(start for start in _STARTS if start.goal == state), *_outcomes(state))
]


class LifecycleNode(Node):
    """A node with states. Override `on_configure` and the others."""

    def __init__(self, node_name: str, **options: Any) -> None:
        self._state = 1
        super().__init__(node_name, **options)
        self._transition_publisher = self.create_publisher(_Event, "~/transition_event", 10)
        for kind, name, callback in (
            ("ChangeState", "change_state", self._serve_change_state),
            ("GetState", "get_state", self._serve_state),
            ("GetAvailableStates", "get_available_states", self._serve_states),
            ("GetAvailableTransitions", "get_available_transitions", self._serve_transitions),
            ("GetAvailableTransitions", "get_transition_graph", self._serve_graph),
        ):
            self.create_service(interface(f"lifecycle_msgs/srv/{kind}"), f"~/{name}", callback)

    # ---- transitions

    def _possible(self) -> list[Transition]:
        """Transitions that start in the present state."""
        return [transition for transition in TRANSITIONS if transition.start == self._state]

    def _go(self, transition: Transition) -> None:
        if self.context.ok():
            self._transition_publisher.publish(
                _Event(timestamp=time.time_ns(), **transition.messages())
            )
        self._state = transition.goal

    def _call(self, before: LifecycleState) -> TransitionCallbackReturn:
        name = _STEPS[self._state][1]
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
        label = f"transition_{outcome.name.lower()}"
        self._go(next(t for t in self._possible() if t.label == label))

    def _change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """Make a transition, callbacks and all; ERROR, and a log line, if it is not possible."""
        before = LifecycleState(STATES[self._state], self._state)
        possible = self._possible()
        transition = next((t for t in possible if t.transition_id == transition_id), None)
        if transition is None or transition_id >= 10:
            self.get_logger().error(
                f"unable to start transition {transition_id} from state {before.label}; possible:"
                f" {', '.join(t.label for t in possible) or 'none'}"
            )
            return TransitionCallbackReturn.ERROR
        self._go(transition)
        outcome = self._call(before)
        self._finish(outcome)
        if outcome == TransitionCallbackReturn.ERROR:
            self._finish(self._call(before))
        return outcome

    def trigger_configure(self) -> TransitionCallbackReturn:
        """Unconfigured to inactive."""
        return self._change_state(1)

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        """Inactive to unconfigured."""
        return self._change_state(2)

    def trigger_activate(self) -> TransitionCallbackReturn:
        """Inactive to active."""
        return self._change_state(3)

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        """Active to inactive."""
        return self._change_state(4)

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """To finalized, from any main state. Raises RuntimeError in any other."""
        if self._state not in (1, 2, 3):
            raise RuntimeError(f"shutdown is not possible in state {STATES[self._state]}")
        return self._change_state(4 + self._state)

    # ---- callbacks, to be overridden; each gets the state it came from

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Do nothing; of `on_error`, SUCCESS leads to unconfigured, anything else to finalized."""
        return TransitionCallbackReturn.SUCCESS

    on_cleanup = on_activate = on_deactivate = on_shutdown = on_error = on_configure

    # ---- services

    def _serve_change_state(self, request: Message, response: Message) -> Message:
        transition_id = request.transition.id
        if request.transition.label:
            ids = [t.transition_id for t in self._possible() if t.label == request.transition.label]
            if not ids:
                response.success = False
                return response
            transition_id = ids[0]
        outcome = self._change_state(transition_id)
        response.success = outcome == TransitionCallbackReturn.SUCCESS
        return response

    def _serve_state(self, request: Message, response: Message) -> Message:
        response.current_state = _state_message(self._state)
        return response

    def _serve_states(self, request: Message, response: Message) -> Message:
        response.available_states = [_state_message(state) for state in STATES]
        return response

    def _serve_transitions(self, request: Message, response: Message) -> Message:
        response.available_transitions = [_Description(**t.messages()) for t in self._possible()]
        return response

    def _serve_graph(self, request: Message, response: Message) -> Message:
        response.available_transitions = [_Description(**t.messages()) for t in TRANSITIONS]
        return response
