"""The built-in runtime under rclpy's name, for the examples where there is no rclpy.

python test/support/rclpy_stand_in.py examples/ask.py "is the door open?" yes no
"""

from __future__ import annotations

import runpy
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from vljepa_ros import ros

ROOT = Path(__file__).parents[2]
PARTS = ("action", "duration", "event_handler", "qos")


def interfaces(kind: str) -> ModuleType:
    """`vljepa_ros.msg`, `.srv` or `.action`, which only a colcon build has."""
    made = ModuleType(f"vljepa_ros.{kind}")
    for path in (ROOT / kind).iterdir():
        setattr(made, path.stem, ros.interface(f"vljepa_ros/{kind}/{path.stem}"))
    return made


def modules() -> dict[str, ModuleType]:
    """What an example may import of rclpy and of the package's interfaces."""
    executor: list[Any] = []

    class Executor(ros.SingleThreadedExecutor):
        def create_task(self, callback: Any, *arguments: Any) -> Any:
            return super().create_task(partial(callback, *arguments))

    def global_executor() -> Any:
        executor[:] = executor or [Executor()]
        return executor[0]

    def spin_until(node: Any, future: Any, timeout_sec: float) -> None:
        end = time.monotonic() + timeout_sec
        global_executor().add_node(node)
        while not future.done() and time.monotonic() < end:
            global_executor().spin_once(timeout_sec=0.05)

    made = ModuleType("rclpy")
    vars(made).update(
        vars(ros),
        create_node=ros.Node,
        get_global_executor=global_executor,
        spin_until_future_complete=spin_until,
        SubscriptionEventCallbacks=lambda deadline: ros.endpoint_events(deadline_missed=deadline),
    )
    found = {"rclpy": made} | {f"rclpy.{part}": made for part in PARTS}
    return found | {f"vljepa_ros.{kind}": interfaces(kind) for kind in ("msg", "srv", "action")}


def wait_for_service(client: Any, timeout_sec: float) -> bool:
    """As rclpy's clients have it."""
    end = time.monotonic() + timeout_sec
    while not client.service_is_ready() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(client.service_is_ready())


if __name__ == "__main__":
    if ros.RUNTIME == "builtin":
        sys.modules.update(modules())
        from vljepa_ros.ros.builtin.service import Client

        Client.wait_for_service = wait_for_service
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
