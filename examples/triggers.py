"""A client's own triggers: kept alive by a lease, read from the repeated state.

python examples/triggers.py visitor "a person enters the room"
"""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile
from vljepa_ros.msg import Trigger, TriggerState, TriggerStatus
from vljepa_ros.srv import AddTriggers

LEASE_S = 6.0


class Triggers:
    """Some triggers of one owner, on one camera.

    Args:
        node: A ROS node that is spun.
        owner: A name that no other client uses.
        triggers: What to watch for.
        camera: Name of the camera.
    """

    def __init__(self, node: Any, owner: str, triggers: list[Trigger], camera: str) -> None:
        self.node, self.owner, self.triggers = node, owner, triggers
        self.added = False
        self.states: dict[str, int] = {}
        self.client = node.create_client(AddTriggers, "/vljepa/add_triggers")
        self.timer = node.create_timer(LEASE_S / 3, self.renew)
        heartbeat = QoSProfile(
            depth=1,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
            deadline=Duration(seconds=1.5),
        )
        node.create_subscription(
            TriggerState,
            f"/vljepa/{camera}/trigger_state",
            self.on_state,
            heartbeat,
            event_callbacks=SubscriptionEventCallbacks(deadline=lambda _: self.states.clear()),
        )

    def state(self, name: str) -> int:
        """STATE_TRUE, STATE_FALSE or STATE_UNKNOWN; STATE_UNKNOWN if trigger_node is gone."""
        return self.states.get(name, TriggerStatus.STATE_UNKNOWN)

    def renew(self) -> None:
        """Renew the lease; add the triggers if they were never added or are gone."""
        if self.client.service_is_ready():
            request = AddTriggers.Request(
                owner=self.owner,
                lease=Duration(seconds=LEASE_S).to_msg(),
                triggers=[] if self.added else self.triggers,
            )
            self.client.call_async(request).add_done_callback(self.on_reply)

    def on_reply(self, future: Any) -> None:
        """OK and PENDING: they exist; after any other code they are sent again."""
        result = future.result().result
        before, self.added = self.added, result.code in (result.OK, result.PENDING)
        if before and result.code == result.UNKNOWN_ID:  # lease expired, or node restarted
            self.renew()
        elif not self.added:
            self.node.get_logger().error(f"add_triggers: {result.message}")

    def on_state(self, message: TriggerState) -> None:
        """Called at each change, and once a second."""
        own = [status for status in message.triggers if status.owner == self.owner]
        self.states = {status.id: status.state for status in own}


def main() -> None:
    """Print once a second whether to go on: only if the trigger is known to be FALSE."""
    rclpy.init()
    node, (name, *texts) = rclpy.create_node("planner"), sys.argv[1:]
    triggers = Triggers(node, "planner", [Trigger(id=name, texts=texts)], "front")
    words = {TriggerStatus.STATE_FALSE: "go on", TriggerStatus.STATE_TRUE: f"stop: {name}"}
    say = lambda: print(words.get(triggers.state(name), "stop: not known"), flush=True)  # noqa: E731
    node.create_timer(1.0, say)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
