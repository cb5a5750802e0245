"""A short-lived ROS node through which a command talks to running nodes."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

from vljepa_ros import ros
from vljepa_ros.cli.options import CliError


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

    def __exit__(self, *error: object) -> None:
        self._executor.remove_node(self._node)
        self._node.destroy_node()
        ros.shutdown()

    @property
    def graph(self) -> str:
        """Namespace and domain, for messages."""
        domain = os.environ.get("ROS_DOMAIN_ID", "0") if self._domain is None else self._domain
        return f"{self.namespace} (ROS domain {domain})"

    def subscribe(
        self,
        interface: str,
        topic: str,
        callback: Callable[[ros.Message], None],
        qos: ros.QoSProfile,
    ) -> None:
        """Call `callback` with each message of a topic while this client spins."""
        self._node.create_subscription(ros.interface(interface), topic, callback, qos)

    def spin(self, until: Callable[[], bool], timeout: float | None = None) -> bool:
        """Spin until `until()` is true; returns False after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while not until():
            left = 0.2 if end is None else min(0.2, end - time.monotonic())
            if left <= 0.0:
                return False
            self._executor.spin_once(timeout_sec=left)
        return True

    def connect(self, interface: str, service: str, timeout: float) -> ros.Client:
        """Return a client of a service, once it is available.

        Raises:
            CliError: The service is not available within `timeout` seconds.
        """
        client = self._node.create_client(ros.interface(interface), service)
        if not self.spin(client.service_is_ready, timeout):
            raise CliError(
                f"no node serves {service} in {self.graph} after {timeout:g} s; start the nodes "
                "with `vljepa up` or `ros2 launch vljepa_ros perception.launch.py`, or choose "
                "another --namespace or --domain"
            )
        return client

    def call(self, client: ros.Client, request: ros.Message, timeout: float) -> ros.Message:
        """Return the reply of a service.

        Raises:
            CliError: No reply within `timeout` seconds.
        """
        future = client.call_async(request)
        if not self.spin(future.done, timeout):
            client.remove_pending_request(future)
            raise CliError(
                f"no reply from {client.srv_name} after {timeout:g} s; is the node active? "
                "To wait longer: --timeout"
            )
        return future.result()


def call_service(
    args: argparse.Namespace, interface: str, service: str, **fields: object
) -> tuple[ros.Message, float]:
    """Send a request to the nodes selected by the options.

    Args:
        args: With the options of `add_service_options`.
        interface: The service's type.
        service: Its name in the nodes' namespace.
        **fields: Fields of the request.

    Returns:
        The reply, and how many seconds it took.

    Raises:
        CliError: The service was not found, did not reply in time, or refused the request.
    """
    with GraphClient(args.namespace, args.domain) as graph:
        client = graph.connect(interface, service, args.timeout)
        request = ros.interface(interface).Request(**fields)
        start = time.perf_counter()
        reply = graph.call(client, request, args.timeout)
        seconds = time.perf_counter() - start
    result = reply.result
    if result.code not in (result.OK, result.PENDING):
        raise CliError(result.message)
    return reply, seconds
