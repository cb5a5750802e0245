"""Behaviours for py_trees: a condition that reads a trigger, an action that waits."""

from __future__ import annotations

import time
from typing import Any

from py_trees.behaviour import Behaviour
from py_trees.common import Status
from rclpy.duration import Duration
from triggers import Triggers
from vljepa_ros.action import WaitFor
from vljepa_ros.msg import TriggerStatus


class TriggerIsTrue(Behaviour):
    """SUCCESS, FAILURE, or RUNNING while it is not known. Never waits."""

    def __init__(self, triggers: Triggers, trigger: str) -> None:
        super().__init__(trigger)
        self.triggers, self.trigger = triggers, trigger

    def update(self) -> Status:
        """What is known now."""
        known = {
            TriggerStatus.STATE_TRUE: Status.SUCCESS,
            TriggerStatus.STATE_FALSE: Status.FAILURE,
        }
        return known.get(self.triggers.state(self.trigger), Status.RUNNING)


class WaitForText(Behaviour):
    """SUCCESS once a text is true; FAILURE at the time limit, also if trigger_node is gone.

    Args:
        client: An ActionClient of `wait_for`.
        text: What to wait for.
        seconds: For how long.
    """

    def __init__(self, client: Any, text: str, seconds: float) -> None:
        super().__init__(text)
        self.client, self.text, self.seconds = client, text, seconds
        self.handle: Any = None
        self.result: Any = None

    def initialise(self) -> None:
        """Send a goal; its result arrives while the node is spun between two ticks."""
        self.client.wait_for_server(timeout_sec=2.0)  # else the goal may be lost
        self.handle, self.result, self.end = None, None, time.monotonic() + self.seconds + 5.0
        timeout = Duration(seconds=self.seconds).to_msg()
        goal = WaitFor.Goal(texts=[self.text], timeout=timeout)
        self.sent = self.client.send_goal_async(goal)
        self.sent.add_done_callback(self.on_accepted)

    def on_accepted(self, sent: Any) -> None:
        """Ask for the result, or cancel a goal that is no longer wanted."""
        if sent is self.sent:
            self.handle = sent.result()
            self.result = self.handle.get_result_async()
        else:
            sent.result().cancel_goal_async()

    def update(self) -> Status:
        """Whether it has ended."""
        if self.result is not None and self.result.done():
            result = self.result.result().result
            self.feedback_message = result.result.message
            return Status.SUCCESS if result.outcome == result.OUTCOME_TRUE else Status.FAILURE
        return Status.RUNNING if time.monotonic() < self.end else Status.FAILURE

    def terminate(self, new_status: Status) -> None:
        """Cancel the goal when the tree moves on, or the time limit is reached."""
        self.sent = None
        if self.handle is not None and not self.result.done():
            self.handle.cancel_goal_async()
