"""The context: one DDS participant per process, and what `init` and `shutdown` do with it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence

from vljepa_ros.allocator import keep_freed_blocks
from vljepa_ros.ros.builtin import arguments, logging
from vljepa_ros.ros.builtin.configuration import receive_buffer_limit
from vljepa_ros.ros.builtin.dds import Participant
from vljepa_ros.ros.builtin.graph import Graph, GraphNode

_TWO_FRAMES = 2 * 640 * 480 * 3  # bytes of two 640x480 rgb8 images


class InvalidHandle(RuntimeError):  # noqa: N818 - rclpy's name, as the next
    """The entity was destroyed, or the context was shut down."""


class NotInitializedException(RuntimeError):  # noqa: N818
    """`init` was not called, or `shutdown` was."""


class Context:
    """Everything between `init` and `shutdown`."""

    def __init__(self, args: Sequence[str] | None, domain_id: int | None) -> None:
        self.arguments = arguments.parse(sys.argv[1:] if args is None else args)
        for name, level in self.arguments.log_levels.items():
            logging.set_logger_level(name, level)
        logging.enable_output(self.arguments.stdout_logs)
        keep_freed_blocks()
        self.domain_id = _domain_from_environment() if domain_id is None else domain_id
        self.participant = Participant(self.domain_id, b"enclave=/;")
        self.graph = Graph(self.participant)
        self.lock = threading.RLock()
        self.nodes: list[GraphNode] = []
        self._valid = True
        self._on_shutdown: list[Callable[[], None]] = []
        self._buffer_checked = False

    def ok(self) -> bool:
        """Whether `shutdown` was not called yet."""
        return self._valid

    def on_shutdown(self, callback: Callable[[], None]) -> None:
        """Call `callback` at `shutdown`."""
        self._on_shutdown.append(callback)

    def check_receive_buffer(self) -> None:
        """Warn, once, if the kernel's receive buffer is too small for images."""
        limit = receive_buffer_limit()
        if not self._buffer_checked and limit is not None and limit < _TWO_FRAMES:
            logging.get_logger("vljepa_ros").warning(
                f"the kernel grants a socket {limit} bytes of receive buffer: less than two images"
                " of 640x480, so images will be lost; allow more with"
                " 'sysctl -w net.core.rmem_max=8388608'"
            )
        self._buffer_checked = True

    def publish_graph(self) -> None:
        """Publish the list of present nodes."""
        with self.lock:
            if self._valid:
                self.graph.publish(self.nodes)

    def shutdown(self) -> None:
        """Delete everything; nodes that were not destroyed are unusable afterwards."""
        with self.lock:
            if not self._valid:
                return
            self._valid = False
            callbacks, self._on_shutdown = self._on_shutdown, []
        for callback in callbacks:
            callback()
        self.participant.close()


def _domain_from_environment() -> int:
    text = os.environ.get("ROS_DOMAIN_ID", "") or "0"
    try:
        domain = int(text)
    except ValueError:
        domain = -1
    if not 0 <= domain <= 232:
        raise ValueError(f"ROS_DOMAIN_ID={text!r}: allowed are the integers 0 to 232")
    return domain


_default: Context | None = None


def init(args: Sequence[str] | None = None, *, domain_id: int | None = None) -> None:
    """Join the ROS graph; `args` None takes `sys.argv`.

    Raises RuntimeError if that was done before, RosArgumentError for arguments that cannot be
    read, DdsError if there is no network or no free participant.
    """
    global _default
    if ok():
        raise RuntimeError("Context.init() must only be called once")
    _default = Context(args, domain_id)


def default_context() -> Context:
    """The context that `init` made. Raises NotInitializedException."""
    if _default is None or not _default.ok():
        raise NotInitializedException("rclpy-like init() has not been called, or shutdown() has")
    return _default


def ok() -> bool:
    """Whether `init` was called and `shutdown` was not."""
    return _default is not None and _default.ok()


def shutdown() -> None:
    """Leave the ROS graph; does nothing if that was done."""
    if _default is not None:
        _default.shutdown()
