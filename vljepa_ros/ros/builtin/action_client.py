"""Action clients: send goals, follow them, cancel them, and get their results."""

from __future__ import annotations

import math
import time
import uuid
import weakref
from typing import Any

import numpy as np

from vljepa_ros.ros.builtin.future import Callback, Future
from vljepa_ros.ros.builtin.message import ActionType, Message, message_class
from vljepa_ros.ros.builtin.node import Node
from vljepa_ros.ros.builtin.qos import QoSProfile, action_status_qos, services_qos

_UUID = message_class("unique_identifier_msgs/msg/UUID")
_POLL_S = 0.02  # seconds between two checks for a server


class ClientGoalHandle:
    """A goal that a server has accepted or refused.

    Attributes:
        goal_id: Its `unique_identifier_msgs/msg/UUID`.
        accepted: Whether the server accepted it.
        stamp: Time of acceptance by the server's clock.
        status: A constant of `GoalStatus`, the last one received.
    """

    def __init__(self, client: ActionClient, goal_id: Message, response: Message) -> None:
        self._client = client
        self.goal_id, self.accepted, self.stamp = goal_id, response.accepted, response.stamp
        self.status = 0

    def cancel_goal_async(self) -> Future:
        """Ask the server to cancel it: a future of an `action_msgs/srv/CancelGoal` response."""
        return self._client.cancel(self.goal_id)

    def get_result_async(self) -> Future:
        """A future of the response with `status` and `result`; done when the goal has ended.

        It is never done if the server dies, so wait for it with a time limit.
        """
        return self._client.get_result(self.goal_id)


class ActionClient:
    """Sends goals to an action server.

    Args:
        node: The node that gets the clients and subscriptions.
        action_type: As `interface("vljepa_ros/action/WaitFor")`.
        action_name: Its name, relative to the node's namespace.
        goal_service_qos_profile: The depth of the queue of replies; by default all are kept.
        result_service_qos_profile: As for goals.
        cancel_service_qos_profile: As for goals.
    """

    def __init__(
        self,
        node: Node,
        action_type: type[ActionType],
        action_name: str,
        *,
        goal_service_qos_profile: QoSProfile = services_qos,
        result_service_qos_profile: QoSProfile = services_qos,
        cancel_service_qos_profile: QoSProfile = services_qos,
    ) -> None:
        self._node, self._type = node, action_type
        self._feedback_callbacks: dict[bytes, Callback] = {}
        self._handles: weakref.WeakValueDictionary[bytes, ClientGoalHandle] = (
            weakref.WeakValueDictionary()
        )
        impl, base = action_type.Impl, f"{action_name}/_action"
        self._goals, self._cancels, self._results = self._clients = [
            node.create_client(kind, f"{base}/{name}", qos_profile=qos)
            for kind, name, qos in (
                (impl.SendGoalService, "send_goal", goal_service_qos_profile),
                (impl.CancelGoalService, "cancel_goal", cancel_service_qos_profile),
                (impl.GetResultService, "get_result", result_service_qos_profile),
            )
        ]
        self._subscriptions = [
            node.create_subscription(kind, f"{base}/{name}", call, qos)
            for kind, name, call, qos in (
                (impl.FeedbackMessage, "feedback", self._on_feedback, 10),
                (impl.GoalStatusMessage, "status", self._on_status, action_status_qos),
            )
        ]

    def destroy(self) -> None:
        """Leave the graph; what is pending never completes."""
        for client in self._clients:
            self._node.destroy_client(client)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def server_is_ready(self) -> bool:
        """Whether a server is there, with all its services and topics."""
        topics = all(s.reader is not None and s.reader.matched() for s in self._subscriptions)
        return topics and all(client.service_is_ready() for client in self._clients)

    def wait_for_server(self, timeout_sec: float | None = None) -> bool:
        """Whether a server is there within `timeout_sec` (None: no limit)."""
        deadline = time.monotonic() + (math.inf if timeout_sec is None else timeout_sec)
        while not self.server_is_ready():
            if time.monotonic() >= deadline or not self._node.context.ok():
                return False
            time.sleep(_POLL_S)
        return True

    def send_goal_async(
        self,
        goal: Message,
        feedback_callback: Callback | None = None,
    ) -> Future:
        """Send a goal.

        Args:
            goal: An `action_type.Goal`.
            feedback_callback: Gets each feedback message of this goal (`message.feedback`).

        Returns:
            A future of a ClientGoalHandle.

        Raises:
            TypeError: `goal` is of another type.
            InvalidHandle: The client was destroyed.
        """
        if not isinstance(goal, self._type.Goal):
            raise TypeError(f"expected a {self._type.__name__}.Goal, got {type(goal).__name__}")
        goal_id = _UUID(uuid=np.frombuffer(uuid.uuid4().bytes, np.uint8))
        key, handle = bytes(goal_id.uuid), Future()
        if feedback_callback is not None:
            self._feedback_callbacks[key] = feedback_callback

        def on_reply(reply: Future) -> None:
            made = ClientGoalHandle(self, goal_id, reply.result())
            if made.accepted:
                self._handles[key] = made
            else:
                self._feedback_callbacks.pop(key, None)
            handle.set_result(made)

        request = self._type.Impl.SendGoalService.Request(goal_id=goal_id, goal=goal)
        self._goals.call_async(request).add_done_callback(on_reply)
        return handle

    def cancel(self, goal_id: Message) -> Future:
        """Ask the server to cancel a goal: a future of its reply."""
        request = self._type.Impl.CancelGoalService.Request()
        request.goal_info.goal_id = goal_id
        return self._cancels.call_async(request)

    def get_result(self, goal_id: Message) -> Future:
        """A future of the result of a goal; no feedback follows it."""
        request = self._type.Impl.GetResultService.Request(goal_id=goal_id)
        result, key = self._results.call_async(request), bytes(goal_id.uuid)
        result.add_done_callback(lambda _: self._feedback_callbacks.pop(key, None))
        return result

    def _on_feedback(self, message: Message) -> Any:
        callback = self._feedback_callbacks.get(bytes(message.goal_id.uuid))
        return None if callback is None else callback(message)

    def _on_status(self, message: Message) -> None:
        for item in message.status_list:
            handle = self._handles.get(bytes(item.goal_info.goal_id.uuid))
            if handle is not None:
                handle.status = item.status
