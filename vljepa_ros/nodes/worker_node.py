"""A lifecycle node of one or more cameras, mostly with a worker thread: parameters, states,
refusals.

What a subclass opens at `configure` it closes at `cleanup`, `shutdown`, an error, or the node's
end, whichever comes first; between, the worker's thread calls `step` and serves requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import ERROR, WARN, Diagnostics, Part
from vljepa_ros.nodes.lending import lend
from vljepa_ros.nodes.parameters import Declared, ParameterTable, fixed, live
from vljepa_ros.perception.worker import DeadlineError, QueueFullError, Request, Worker

NAMESPACE = "vljepa"
_CAMERA = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
Return = ros.TransitionCallbackReturn


@dataclass(frozen=True)
class WorkerParameters:
    """What every such node is told."""

    model: str = fixed("nano", "Model: the name of a folder in models/, or a path to one.")
    cameras: tuple[str, ...] = fixed(
        ["front"], "Names of the cameras; each begins with a letter and has letters, digits, _."
    )
    autostart: bool = fixed(True, "Configure and activate without being asked.")
    request_timeout: float = live(
        10.0, "Seconds after which a service request is answered with an error.", 0.1, 600.0
    )


class WorkerNode(ros.LifecycleNode):
    """Subclasses give `open`, `start`, `stop`, `close` and `parts`; with a worker, `step`.

    :param kind: dataclass of the parameters, a WorkerParameters.
    """

    subject: ClassVar[str]
    """What it opens, as diagnostics name it: the model, the memory."""
    known: ClassVar[tuple[type[Exception], ...]] = (QueueFullError, DeadlineError)
    """Exceptions whose text is an answer to the user as it is."""
    works: ClassVar[bool] = True
    """Whether it has a worker thread; else all its work is done in the executor's."""

    def __init__(self, name: str, kind: type[WorkerParameters], **options: Any) -> None:
        super().__init__(name, **{"namespace": NAMESPACE, **options})
        self.worker: Worker | None = None
        self.opened = self.active = False
        self.why = ""
        self.failures = 0
        self.main = Declared(self, kind)
        self.declared: list[Declared[Any]] = [self.main]
        names = self.main.value.cameras
        bad = [name for name in names if not _CAMERA.fullmatch(name)]
        if bad or not names or len(set(names)) < len(names):
            self.main.problems["cameras"] = (
                f"cameras is {list(names)}, allowed: one or more different names, each with a "
                "letter first, then letters, digits and _"
            )
        self.cameras = tuple(dict.fromkeys(name for name in names if name not in bad))
        self.declare_more()
        self.table = ParameterTable(self, self.declared, self.check_parameters, self.apply)
        self._waiting_services = ros.ReentrantCallbackGroup()
        self._expiry = self.create_timer(0.1, self.expire, clock=ros.steady_clock())
        self.diagnostics = Diagnostics(self, self.all_parts)

    def declare_more(self) -> None:
        """Declare further parameters by appending to `declared`."""

    def check_parameters(self, value: Any) -> None:
        """Raise ValueError for a dataclass of parameters that cannot be used."""

    def apply(self) -> None:
        """Take over parameters that have changed."""

    def open(self) -> None:
        """Configure; what it made must not stay where it raises. It may raise what is `known`."""
        raise NotImplementedError

    def ready(self) -> None:
        """Opened, and the worker runs, if there is one."""

    def start(self) -> None:
        """Activate."""
        raise NotImplementedError

    def stop(self) -> None:
        """Deactivate."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what `open` made; the worker has ended."""
        raise NotImplementedError

    def step(self) -> float | None:
        """Continuous work in the worker's thread; see Worker."""
        raise NotImplementedError

    def parts(self) -> Sequence[Part]:
        """State of an opened node for the diagnostics."""
        raise NotImplementedError

    def serve(self, kind: str, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Offer a service whose callback may await.

        It stands in a group of its own: with rclpy, a callback that awaits keeps all others of its
        group from running, the one that brings what it awaits among them.
        """
        interface = ros.interface(f"vljepa_ros/srv/{kind}")
        self.create_service(interface, name, callback, callback_group=self._waiting_services)

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if self.main.value.autostart and self.trigger_configure() == Return.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: Any) -> Any:
        """Check parameters and files, open, start the worker."""
        if self.table.problems:
            return self._fail("; ".join(self.table.problems.values()))
        try:
            self.open()
        except self.known as error:
            return self._fail(str(error))
        self.opened, self.why = True, ""
        if self.works:
            self.worker = Worker(self._step_failed)
            self.worker.start(self.step, self.get_name())
        self.ready()
        return super().on_configure(state)

    def on_activate(self, state: Any) -> Any:
        """Begin to work."""
        result = super().on_activate(state)
        self.start()
        self.active = True
        return result

    def on_deactivate(self, state: Any) -> Any:
        """Stop work, keep what is open."""
        self._pause()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> Any:
        """Free everything."""
        self.release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: Any) -> Any:
        """Free everything."""
        self.release()
        return super().on_shutdown(state)

    def on_error(self, state: Any) -> Any:
        """Free everything and go back to unconfigured, so that it can be tried again."""
        self.release()
        self.why = self.why or "a transition failed; the log has the reason"
        return Return.SUCCESS

    def release(self) -> None:
        """End the worker and free everything, in whatever state."""
        self._pause()
        if self.worker is not None:
            self.worker.stop()
            self.worker = None
        if self.opened:
            self.opened = False
            self.close()

    def destroy_node(self) -> Any:
        """Free everything, then the node."""
        self.release()
        return super().destroy_node()

    async def lend(self, run: Callable[[Request[Any]], Any]) -> Any:
        """Run something in the worker's thread and await its result.

        :raises Exception: what it raised; QueueFullError, DeadlineError.
        """
        if self.worker is None:
            raise QueueFullError("the node is being shut down")
        return await lend(self, self.worker, run, self.main.value.request_timeout)

    def refusal(self, active: bool) -> str:
        """Why a request cannot be served in this state, or an empty text.

        :param active: whether the active state is needed, or a configured node is enough.
        """
        name = self.get_fully_qualified_name()
        if not self.opened:
            why = f" ({self.why})" if self.why else ""
            return f"{name} is not configured{why}; try: ros2 lifecycle set {name} configure"
        if active and not self.active:
            return f"{name} is not active; try: ros2 lifecycle set {name} activate"
        return ""

    def explain(self, error: Exception) -> str:
        """The message of a reply to a request that failed; what nobody expected is logged too."""
        if isinstance(error, self.known):
            return str(error)
        self.get_logger().error(f"a request failed: {type(error).__name__}: {error}")
        return f"internal error: {type(error).__name__}: {error}"

    def all_parts(self) -> Sequence[Part]:
        """State for the diagnostics, in whatever state."""
        if not self.opened:
            return [Part(self.subject, ERROR if self.why else WARN, self.why or "not configured")]
        return self.parts()

    def expire(self) -> None:
        """Ten times a second: answer requests whose time is over."""
        if self.worker is not None:
            self.worker.expire()

    def wake_worker(self) -> None:
        """There is something to do for `step`."""
        if self.worker is not None:
            self.worker.wake()

    def warn(self, text: str) -> None:
        """Log a warning, not more than one in ten seconds."""
        self.get_logger().warning(text, throttle_duration_sec=10.0)

    def _pause(self) -> None:
        if self.active:
            self.active = False
            self.stop()

    def _fail(self, why: str) -> Any:
        self.why = why
        self.get_logger().error(f"cannot configure: {why}")
        return Return.FAILURE

    def _step_failed(self, error: Exception) -> None:
        self.failures += 1
        self.get_logger().error(
            f"the {self.subject}'s worker goes on after {type(error).__name__}: {error}",
            throttle_duration_sec=5.0,
        )


def run_node(make: Callable[[], WorkerNode], args: Sequence[str]) -> int:
    """Run one node until Ctrl-C; the exit code."""

    def made() -> list[WorkerNode]:
        node = make()
        node.autostart()
        return [node]

    return int(ros.run(made, list(args)))
