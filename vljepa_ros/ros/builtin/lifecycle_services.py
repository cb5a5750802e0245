"""The five services by which others see and change the state of a lifecycle node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .message import interface

if TYPE_CHECKING:
    from .lifecycle import LifecycleNode, TransitionRow

_State = interface("lifecycle_msgs/msg/State")
_Transition = interface("lifecycle_msgs/msg/Transition")
_Description = interface("lifecycle_msgs/msg/TransitionDescription")


class LifecycleServices:
    """Answers ``~/change_state`` and the four others."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        for kind, name, callback in (
            ("ChangeState", "change_state", self._change_state),
            ("GetState", "get_state", self._get_state),
            ("GetAvailableStates", "get_available_states", self._states),
            ("GetAvailableTransitions", "get_available_transitions", self._available),
            ("GetAvailableTransitions", "get_transition_graph", self._graph),
        ):
            node.create_service(interface(f"lifecycle_msgs/srv/{kind}"), f"~/{name}", callback)

    def _change_state(self, request: Any, response: Any) -> Any:
        wanted = request.transition.id
        if request.transition.label:
            named = [r for r in self._node.possible() if r.label == request.transition.label]
            if not named:
                response.success = False
                return response
            wanted = named[0].transition_id
        response.success = self._node.change_state(wanted).name == "SUCCESS"
        return response

    def _get_state(self, request: Any, response: Any) -> Any:
        state = self._node.lifecycle_state
        response.current_state = _State(id=state.state_id, label=state.label)
        return response

    def _states(self, request: Any, response: Any) -> Any:
        from .lifecycle import STATES

        response.available_states = [_State(id=i, label=label) for i, label in STATES.items()]
        return response

    def _available(self, request: Any, response: Any) -> Any:
        response.available_transitions = self._describe(self._node.possible())
        return response

    def _graph(self, request: Any, response: Any) -> Any:
        from .lifecycle import TRANSITIONS

        response.available_transitions = self._describe(TRANSITIONS)
        return response

    @staticmethod
    def _describe(rows: list[TransitionRow]) -> list[Any]:
        from .lifecycle import STATES

        return [
            _Description(
                transition=_Transition(id=row.transition_id, label=row.label),
                start_state=_State(id=row.start, label=STATES[row.start]),
                goal_state=_State(id=row.goal, label=STATES[row.goal]),
            )
            for row in rows
        ]
