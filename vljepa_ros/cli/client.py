"""A short-lived ROS node through which a command talks to running nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from vljepa_ros import ros
from vljepa_ros.cli.failure import CliError


def seconds_of(stamp: Any) -> float:
    """Seconds of a builtin_interfaces/Time."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


class GraphClient:
    """A node in the namespace of the robot's `vljepa` nodes; use it as a context manager.

    Topic and service names given to it are relative to that namespace, e.g. `answer_question`.
    """

    def __init__(self, namespace: str = "", domain: int | None = None) -> None:
        self.namespace = f"/{namespace}/vljepa" if namespace else "/vljepa"
        self._domain = domain
        self._node: Any = None

    def __enter__(self) -> GraphClient:
        ros.init(args=[], domain_id=self._domain)
        try:
            self._node = ros.Node(f"vljepa_cli_{os.getpid()}", namespace=self.namespace)
            self._executor = ros.SingleThreadedExecutor()
            self._executor.add_node(self._node)
        except BaseException:
            ros.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.remove_node(self._node)
        self._node.destroy_node()
        ros.shutdown()

    @property
    def node(self) -> Any:
        """The node itself."""
        return self._node

    @property
    def graph(self) -> str:
        """Where it looks, for messages: namespace and domain."""
        domain = os.environ.get("ROS_DOMAIN_ID", "0") if self._domain is None else self._domain
        return f"{self.namespace} (ROS domain {domain})"

    def subscribe(
        self, interface: str, topic: str, callback: Callable[[Any], None], qos: Any
    ) -> None:
        """Call `callback` with each message of a topic while this client spins."""
        self._node.create_subscription(ros.interface(interface), topic, callback, qos)

    def spin(self, until: Callable[[], bool], timeout: float | None = None) -> bool:
        """Work until `until()` holds; False when `timeout` seconds passed first."""
        end = None if timeout is None else time.monotonic() + timeout
        while not until():
            left = 0.2 if end is None else min(0.2, end - time.monotonic())
            if left <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=left)
        return True

    def connect(self, interface: str, service: str, timeout: float) -> Any:
        """Return a client of a service that has been found.

        :raises CliError: nobody serves it within `timeout` seconds.
        """
        client = self._node.create_client(ros.interface(interface), service)
        if not self.spin(client.service_is_ready, timeout):
            raise CliError(
                f"nobody serves {service} in {self.graph} after {timeout:g} s; start the nodes "
                "with "
                "`vljepa up` or `ros2 launch vljepa_ros perception.launch.py`, or choose another "
                "--namespace or --domain"
            )
        return client

    def call(self, client: Any, request: Any, timeout: float) -> Any:
        """Return the reply of a service.

        :raises CliError: no reply within `timeout` seconds.
        """
        future = client.call_async(request)
        if not self.spin(future.done, timeout):
            client.remove_pending_request(future)
            raise CliError(
                f"no reply from {client.srv_name} after {timeout:g} s; is the node active? "
                "A longer wait: --timeout"
            )
        return future.result()
