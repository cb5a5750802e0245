"""A client of the action `wait_for`: one goal, sent, and how it ends."""

from __future__ import annotations

from typing import Any

from graph import Graph

from vljepa_ros import ros

WAIT = ros.interface("vljepa_ros/action/WaitFor")
ENDS = {
    ros.GoalStatus.STATUS_SUCCEEDED: "SUCCEEDED",
    ros.GoalStatus.STATUS_CANCELED: "CANCELED",
    ros.GoalStatus.STATUS_ABORTED: "ABORTED",
}
OUTCOMES = ("TRUE", "TIMEOUT", "UNKNOWN", "CANCELED", "REFUSED")


class Waiting:
    """One goal, sent."""

    def __init__(self, client: Any, graph: Graph, *texts: str, **fields: Any) -> None:
        self.graph, self.feedback = graph, list[Any]()
        for name in ("hold", "timeout", "unknown_after"):
            fields[name] = ros.Duration(seconds=fields.get(name, 0.0)).to_msg()
        goal = WAIT.Goal(texts=list(texts), **fields)
        sent = client.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))
        assert graph.spin(sent.done)
        self.handle = sent.result()
        assert self.handle.accepted, "every goal is"
        self.future = self.handle.get_result_async()
        assert graph.spin(lambda: self.feedback or self.future.done()), "it begins"

    def ends(self) -> tuple[str, str]:
        """Its status, its outcome, and `result` from then on."""
        assert self.graph.spin(self.future.done, 10.0), "it goes on"
        reply = self.future.result()
        self.result = reply.result
        return ENDS[reply.status], OUTCOMES[reply.result.outcome]

    @property
    def code(self) -> int:
        return int(self.result.result.code)


def action_client(graph: Graph) -> Any:
    """Of a server that is there; many goals may end at once, and rclpy keeps ten results."""
    results = ros.QoSProfile(depth=100)
    client = ros.ActionClient(graph.client, WAIT, "wait_for", result_service_qos_profile=results)
    assert graph.spin(client.server_is_ready)
    return client
