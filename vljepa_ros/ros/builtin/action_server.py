"""Action servers: goals that take time, with feedback, a result, and a way to cancel them.

An action is three services and two topics below `<name>/_action`, so the server consists of them.
"""

from __future__ import annotations

import enum
import time
import traceback
from collections.abc import Callable
from typing import Any

from vljepa_ros.ros.builtin.future import Callback, Future, ReentrantCallbackGroup, outcome
from vljepa_ros.ros.builtin.message import ActionType, Message, message_class
from vljepa_ros.ros.builtin.node import Node
from vljepa_ros.ros.builtin.qos import QoSProfile, action_status_qos, services_qos

GoalStatus: Any = message_class("action_msgs/msg/GoalStatus")
_GoalInfo = message_class("action_msgs/msg/GoalInfo")


class GoalResponse(enum.Enum):
    """Whether a goal is accepted."""

    REJECT = 1
    ACCEPT = 2


class CancelResponse(enum.Enum):
    """Whether a goal may be canceled."""

    REJECT = 1
    ACCEPT = 2


_ACTIVE = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)
# The states that each state may be reached from; rcl's state machine.
_FROM = {
    GoalStatus.STATUS_EXECUTING: _ACTIVE[:1],
    GoalStatus.STATUS_CANCELING: _ACTIVE[:2],
    GoalStatus.STATUS_SUCCEEDED: _ACTIVE[1:],
    GoalStatus.STATUS_ABORTED: _ACTIVE[1:],
    GoalStatus.STATUS_CANCELED: _ACTIVE[2:],
}


class ServerGoalHandle:
    """A goal that was accepted. To be used in the executor's thread, `publish_feedback` anywhere.

    Attributes:
        request: The goal.
        goal_id: Its `unique_identifier_msgs/msg/UUID`.
        status: A constant of `GoalStatus`.
    """

    def __init__(
        self, server: ActionServer, goal_id: Message, request: Message, stamp: Message
    ) -> None:
        self._server = server
        self.goal_id, self.request, self.stamp = goal_id, request, stamp
        self.status: int = GoalStatus.STATUS_ACCEPTED
        self.result = Future()  # of a GetResult response
        self.ended: float | None = None  # monotonic seconds

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in _ACTIVE

    @property
    def is_cancel_requested(self) -> bool:
        """Whether cancelling was requested and it has not ended."""
        return self.status == GoalStatus.STATUS_CANCELING

    @property
    def can_be_canceled(self) -> bool:
        """Whether a request to cancel it makes sense now."""
        return self.status in _FROM[GoalStatus.STATUS_CANCELING]

    @property
    def info(self) -> Message:
        """As `action_msgs/msg/GoalInfo`."""
        return _GoalInfo(goal_id=self.goal_id, stamp=self.stamp)

    def enter(self, status: int) -> None:
        """Change to a state. Raises RuntimeError if the present state does not allow it."""
        if self.status == GoalStatus.STATUS_UNKNOWN:
            return  # the server was destroyed
        if self.status not in _FROM[status]:
            raise RuntimeError(f"a goal in state {self.status} cannot go to state {status}")
        self.status = status
        if not self.is_active:
            self.ended = time.monotonic()
        self._server.publish_status()

    def execute(self, execute_callback: Callback | None = None) -> None:
        """Have the executor run a callback (default: the server's) that ends the goal."""
        if not self.is_cancel_requested:
            self.enter(GoalStatus.STATUS_EXECUTING)
        self._server.start(self, execute_callback)

    def publish_feedback(self, feedback: Message) -> None:
        """Send a feedback to all clients. Raises TypeError if it is of another type."""
        if self.status != GoalStatus.STATUS_UNKNOWN:
            self._server.publish_feedback(self.goal_id, feedback)

    def succeed(self) -> None:
        """End as SUCCEEDED. Raises RuntimeError if it is not executing or canceling."""
        self.enter(GoalStatus.STATUS_SUCCEEDED)

    def abort(self) -> None:
        """End as ABORTED. Raises RuntimeError if it is not executing or canceling."""
        self.enter(GoalStatus.STATUS_ABORTED)

    def canceled(self) -> None:
        """End as CANCELED. Raises RuntimeError if that was not requested."""
        self.enter(GoalStatus.STATUS_CANCELED)


class _Following(ReentrantCallbackGroup):
    """Callbacks begin when those of another group may, but do not hold that group while they wait.

    A request for the result waits for the goal's end, and no other callback waits for it.
    """

    def __init__(self, group: ReentrantCallbackGroup) -> None:
        self._group = group

    def may_begin(self) -> bool:
        """Whether another callback may begin."""
        return self._group.may_begin()


class ActionServer:
    """Serves the goals of an action, any number at once.

    Args:
        node: The node that gets the services and publishers.
        action_type: As `interface("vljepa_ros/action/WaitFor")`.
        action_name: Its name, relative to the node's namespace.
        execute_callback: Gets a ServerGoalHandle, ends the goal (else it is aborted) and returns
            the result. It may be `async`, and does not hold a callback group while it awaits.
        goal_callback: Gets the goal, returns a GoalResponse.
        handle_accepted_callback: Gets the ServerGoalHandle when the client has its reply; by
            default it executes the goal. A callback that does not must call `execute` later.
        cancel_callback: Gets the ServerGoalHandle, returns a CancelResponse. The goal is in state
            CANCELING after that, and still has to end.
        goal_service_qos_profile: The depth of the queue of goals; by default all are kept.
        result_service_qos_profile: As for goals.
        cancel_service_qos_profile: As for goals.
        result_timeout: Seconds for which a goal and its result are kept after its end.
    """

    def __init__(
        self,
        node: Node,
        action_type: type[ActionType],
        action_name: str,
        execute_callback: Callback,
        *,
        goal_callback: Callback = lambda goal: GoalResponse.ACCEPT,
        handle_accepted_callback: Callback = ServerGoalHandle.execute,
        cancel_callback: Callback = lambda handle: CancelResponse.REJECT,
        goal_service_qos_profile: QoSProfile = services_qos,
        result_service_qos_profile: QoSProfile = services_qos,
        cancel_service_qos_profile: QoSProfile = services_qos,
        result_timeout: float = 10.0,
    ) -> None:
        self._node, self._type, self._result_timeout = node, action_type, result_timeout
        self._on_goal, self._on_accepted = goal_callback, handle_accepted_callback
        self._on_cancel, self._on_execute = cancel_callback, execute_callback
        self._goals: dict[bytes, ServerGoalHandle] = {}
        impl, base = action_type.Impl, f"{action_name}/_action"
        group = node.default_callback_group
        self._feedback = node.create_publisher(impl.FeedbackMessage, f"{base}/feedback", 10)
        self._status = node.create_publisher(
            impl.GoalStatusMessage, f"{base}/status", action_status_qos
        )
        self._services = [
            node.create_service(kind, f"{base}/{name}", serve, qos_profile=qos, callback_group=held)
            for kind, name, serve, qos, held in (
                (
                    impl.SendGoalService,
                    "send_goal",
                    self._send_goal,
                    goal_service_qos_profile,
                    group,
                ),
                (
                    impl.CancelGoalService,
                    "cancel_goal",
                    self._cancel_goal,
                    cancel_service_qos_profile,
                    group,
                ),
                (
                    impl.GetResultService,
                    "get_result",
                    self._get_result,
                    result_service_qos_profile,
                    _Following(group),
                ),
            )
        ]

    def destroy(self) -> None:
        """Leave the graph. Goals that have not ended get no result; their calls are ignored."""
        for goal in self._goals.values():
            goal.status = GoalStatus.STATUS_UNKNOWN
        for service in self._services:
            self._node.destroy_service(service)
        self._node.destroy_publisher(self._feedback)
        self._node.destroy_publisher(self._status)

    # ---- what clients ask

    def _forget_old_goals(self) -> None:
        oldest = time.monotonic() - self._result_timeout
        ended = [key for key, goal in self._goals.items() if goal.ended and goal.ended < oldest]
        for key in ended:
            del self._goals[key]

    async def _send_goal(self, request: Message, response: Message) -> Message:
        self._forget_old_goals()
        key = bytes(request.goal_id.uuid)
        if key in self._goals or await outcome(self._on_goal, request.goal) != GoalResponse.ACCEPT:
            return response
        response.accepted, response.stamp = True, self._node.get_clock().now().to_msg()
        goal = ServerGoalHandle(self, request.goal_id, request.goal, response.stamp)
        self._goals[key] = goal
        self._run(lambda: self._on_accepted(goal))  # after the reply
        return response

    async def _cancel_goal(self, request: Message, response: Message) -> Message:
        self._forget_old_goals()
        response.return_code, goals = self._goals_to_cancel(request.goal_info)
        for goal in goals:
            accepted = await outcome(self._on_cancel, goal) == CancelResponse.ACCEPT
            if accepted and goal.can_be_canceled:  # the callback may have ended it
                goal.enter(GoalStatus.STATUS_CANCELING)
                response.goals_canceling.append(goal.info)
        if goals and not response.goals_canceling:
            response.return_code = response.ERROR_REJECTED
        return response

    def _goals_to_cancel(self, info: Message) -> tuple[int, list[ServerGoalHandle]]:
        """Return code and goals that a request to cancel means: by id, by time, or all."""
        codes = self._type.Impl.CancelGoalService.Response
        key, until = bytes(info.goal_id.uuid), (info.stamp.sec, info.stamp.nanosec)
        named = self._goals.get(key)
        if any(key) and until == (0, 0):
            if named is None:
                return codes.ERROR_UNKNOWN_GOAL_ID, []
            if not named.can_be_canceled:
                return codes.ERROR_GOAL_TERMINATED, []
            return codes.ERROR_NONE, [named]
        return codes.ERROR_NONE, [
            goal
            for goal in self._goals.values()
            if goal.can_be_canceled
            and (goal is named or until == (0, 0) or (goal.stamp.sec, goal.stamp.nanosec) <= until)
        ]

    async def _get_result(self, request: Message, response: Message) -> Message:
        self._forget_old_goals()
        goal = self._goals.get(bytes(request.goal_id.uuid))
        return response if goal is None else await goal.result  # its status is UNKNOWN

    # ---- what goals ask

    def _run(self, callback: Callable[[], object]) -> None:
        executor = self._node.executor
        if executor is None:
            raise RuntimeError(f"no executor spins node {self._node.get_name()}")
        executor.create_task(callback)

    def start(self, goal: ServerGoalHandle, callback: Callback | None) -> None:
        """Have the executor run the callback of a goal."""
        self._run(lambda: self._execute(goal, callback or self._on_execute))

    async def _execute(self, goal: ServerGoalHandle, callback: Callback) -> None:
        log, name = self._node.get_logger(), self._feedback.topic_name.partition("/_action")[0]
        try:
            result = await outcome(callback, goal)
            if not isinstance(result, self._type.Result):
                raise TypeError(f"expected a {self._type.__name__}.Result, got {result!r}")
        except Exception:
            log.error(f"action {name}: a goal has no result:\n{traceback.format_exc()}")
            result = self._type.Result()
        if goal.is_active:
            log.warning(f"action {name}: a goal is aborted, as its callback did not end it")
            goal.abort()
        goal.result.set_result(
            self._type.Impl.GetResultService.Response(status=goal.status, result=result)
        )

    def publish_status(self) -> None:
        """Publish the state of every goal."""
        message = self._type.Impl.GoalStatusMessage()
        message.status_list = [
            GoalStatus(goal_info=goal.info, status=goal.status) for goal in self._goals.values()
        ]
        self._status.publish(message)

    def publish_feedback(self, goal_id: Message, feedback: Message) -> None:
        """Send the feedback of a goal."""
        if not isinstance(feedback, self._type.Feedback):
            raise TypeError(f"expected a {self._type.__name__}.Feedback, got {feedback!r}")
        self._feedback.publish(self._type.Impl.FeedbackMessage(goal_id=goal_id, feedback=feedback))
