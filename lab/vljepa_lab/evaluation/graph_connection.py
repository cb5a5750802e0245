"""What a benchmark needs of a connection to running nodes; `vljepa bench` provides it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class GraphConnection(Protocol):
    """A node in the namespace of the `vljepa` nodes under test."""

    @property
    def node(self) -> Any:
        """The node itself."""

    def subscribe(
        self, interface: str, topic: str, callback: Callable[[Any], None], qos: Any
    ) -> None:
        """Call `callback` with each message while the connection spins."""

    def spin(self, until: Callable[[], bool], timeout: float | None = None) -> bool:
        """Work until `until()` holds; False when `timeout` seconds passed first."""

    def connect(self, interface: str, service: str, timeout: float) -> Any:
        """Return a client of a service that has been found."""

    def call(self, client: Any, request: Any, timeout: float) -> Any:
        """Return the reply of a service."""
