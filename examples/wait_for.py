"""Wait until one of some texts is true of what the cameras see.

python examples/wait_for.py 30 "the door is open"
"""

from __future__ import annotations

import sys

import rclpy
from rclpy.action import ActionClient
from rclpy.duration import Duration
from vljepa_ros.action import WaitFor


async def wait_for(client: ActionClient, texts: list[str], seconds: float) -> WaitFor.Result:
    """The result, whose `outcome` says how it ended. It never comes if trigger_node dies."""
    goal = WaitFor.Goal(
        texts=texts,
        timeout=Duration(seconds=seconds).to_msg(),
        unknown_after=Duration(seconds=5.0).to_msg(),  # without a camera, waiting is pointless
    )
    handle = await client.send_goal_async(goal)  # every goal is accepted
    return (await handle.get_result_async()).result


def main() -> None:
    """Wait, with a time limit of the client."""
    rclpy.init()
    node, seconds = rclpy.create_node("waiter"), float(sys.argv[1])
    client = ActionClient(node, WaitFor, "/vljepa/wait_for")
    if not client.wait_for_server(timeout_sec=5.0):
        sys.exit("trigger_node is not there")
    task = rclpy.get_global_executor().create_task(wait_for, client, sys.argv[2:], seconds)
    rclpy.spin_until_future_complete(node, task, timeout_sec=seconds + 5.0)
    if not task.done():
        sys.exit("trigger_node is gone")
    result = task.result()
    if result.outcome == result.OUTCOME_TRUE:
        print("true since", result.when.sec)
    elif result.outcome == result.OUTCOME_TIMEOUT:
        print("not true")
    else:  # UNKNOWN: not checked; REFUSED: the goal is wrong
        sys.exit(result.result.message)


if __name__ == "__main__":
    main()
