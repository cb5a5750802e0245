"""Base of the lifecycle nodes: parameters, states, services, a worker thread.

What a subclass opens at `configure` it closes at `cleanup`, `shutdown`, an error, or the node's
end, whichever comes first; meanwhile the worker's thread does its work and serves requests.
"""

from __future__ import annotations

import math
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import ERROR, WARN, Diagnostics, Part, Warnings
from vljepa_ros.nodes.parameters import NodeParameters, ParameterGroup, live, read_only
from vljepa_ros.nodes.pending import Pending
from vljepa_ros.nodes.program import missing_package
from vljepa_ros.perception.worker import (
    LONGEST_STEP_S,
    DeadlineError,
    QueueFullError,
    Request,
    Worker,
)

NAMESPACE = "vljepa"
WATCH_S = 0.2
"""Period of `watch`. One timer for everything periodic: each timer that wakes the executor costs as
much as a message."""
FAILING_S = 2.0
"""For how long an error of the worker is reported, which continues after one second."""
_CAMERA = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,99}")
Return = ros.TransitionCallbackReturn


class _ParameterError(Exception):
    """Parameters given at the start cannot be used."""


@dataclass(frozen=True)
class LifecycleParameters:
    """Parameters shared by all nodes with a lifecycle."""

    cameras: tuple[str, ...] = read_only(
        ["front"], "Names of the cameras: a letter, then letters, digits and _."
    )
    autostart: bool = read_only(
        True, "Configure and activate at startup; false: a lifecycle manager does it."
    )
    request_timeout: float = live(
        10.0, "Seconds after which a service request is answered with an error.", 0.1, 600.0
    )


P = TypeVar("P", bound=LifecycleParameters)


class LifecycleNode(ros.LifecycleNode, Generic[P]):
    """A lifecycle node; subclasses implement `open`, `start`, `stop`, `close` and `parts`.

    Args:
        name: Name of the node.
        kind: Dataclass of its parameters.
        options: Options of the ROS node.
    """

    subject: ClassVar[str]
    """What it opens, as named in the diagnostics: the model, the memory."""
    codes: ClassVar[dict[type[Exception], str]] = {
        QueueFullError: "BUSY",
        DeadlineError: "TIMEOUT",
    }
    """Exceptions whose text is meant for the user -> constant of msg/Result. An attribute `code` of
    the exception takes precedence."""
    camera_kind: ClassVar[Any] = None
    """Dataclass of the parameters of each camera, if there are any."""

    def __init__(self, name: str, kind: type[P], **options: object) -> None:
        super().__init__(name, **{"namespace": NAMESPACE, **options})
        self.warn = Warnings(self).warn
        self.worker = Worker(self._on_step_error)
        self.pending = Pending(self)
        self.opened = self.active = self.shut_down = False
        self._break_bond: Callable[[], None] = lambda: None
        self.why = ""
        self.failures = 0
        self._failing, self._failed_at = "", -math.inf
        self.main = ParameterGroup(self, kind)
        names = self.settings.cameras
        bad = [name for name in names if not _CAMERA.fullmatch(name)]
        if bad or not names or len(set(names)) < len(names):
            self.main.problems["cameras"] = (
                f"cameras is {list(names)}, allowed: one or more different names, each with a "
                "letter first, then letters, digits and _, at most 100 characters"
            )
        self.cameras = tuple(dict.fromkeys(name for name in names if name not in bad))
        self.camera_parameters: dict[str, ParameterGroup[Any]] = {
            name: ParameterGroup(self, self.camera_kind, f"{name}.")
            for name in (self.cameras if self.camera_kind else ())
        }
        groups = [self.main, *self.camera_parameters.values()]
        self.table = NodeParameters(self, groups, self.check_parameters, self.apply)
        self._waiting_services = ros.ReentrantCallbackGroup()
        self._pulse = self.create_timer(WATCH_S, self._on_pulse, clock=ros.steady_clock())
        self.diagnostics = Diagnostics(self, self._all_parts)

    @property
    def settings(self) -> P:
        """The present values of the parameters."""
        return self.main.value

    def check_parameters(self, value: object) -> None:
        """Raise ValueError for parameters that cannot be used."""

    def apply(self) -> None:
        """Take over parameters that have changed."""

    def open(self) -> Callable[[], float | None] | None:
        """Configure. It may raise what is in `codes`; `close` is called in that case, too.

        Returns:
            The continuous work, see `Worker.start`; None if it needs no worker's thread.
        """
        raise NotImplementedError

    def ready(self) -> None:
        """Called after `open`, when the worker is running."""

    def start(self) -> None:
        """Activate."""

    def stop(self) -> None:
        """Deactivate."""

    def close(self) -> None:
        """Free what `open` made, completely or in part; the worker has ended."""

    def watch(self) -> None:
        """Do what is due; called every WATCH_S seconds, in every lifecycle state."""

    def parts(self) -> Sequence[Part]:
        """State of an opened node for the diagnostics."""
        raise NotImplementedError

    def serve(
        self,
        kind: str,
        name: str,
        callback: Callable[[Any, Any], Awaitable[None]],
        needs_active: Callable[[Any], bool] = lambda request: False,
    ) -> None:
        """Offer a service.

        It is in a separate callback group: with rclpy, a callback that awaits blocks the others of
        its group, including the one that it waits for.

        Args:
            kind: Name of the interface in `srv/`.
            name: Name of the service.
            callback: Fills the response to a request, or raises. It may await.
            needs_active: Whether a request needs an active node, or a configured one is enough.
        """

        async def answer(request: ros.Message, response: ros.Message) -> ros.Message:
            refusal = self.refusal(needs_active(request))
            try:
                if refusal:
                    response.result = self.result("NOT_ACTIVE", refusal)
                else:
                    await callback(request, response)
            except Exception as error:
                response.result = self.result_of(error)
            return response

        interface = ros.interface(f"vljepa_ros/srv/{kind}")
        self.create_service(
            interface,
            name,
            answer,
            qos_profile=ros.services_qos,
            callback_group=self._waiting_services,
        )

    def result(self, code: str, message: str = "") -> ros.Message:
        """A msg/Result; code: name of one of its constants."""
        kind = ros.interface("vljepa_ros/msg/Result")
        return kind(code=getattr(kind, code), message=message)

    def result_of(self, error: Exception) -> ros.Message:
        """The msg/Result of a failed request; exceptions that are not in `codes` are logged."""
        codes = [code for kind, code in self.codes.items() if isinstance(error, kind)]
        if codes:
            return self.result(getattr(error, "code", codes[-1]), str(error))
        text = "".join(traceback.format_exception(error))
        self.get_logger().error(f"a request failed: {text}")
        return self.result("FAILED", f"internal error: {type(error).__name__}: {error}")

    async def run_in_worker(self, run: Callable[[Request[Any]], Any], wait: float = 0.0) -> Any:
        """Run something in the worker's thread and await its result in the executor's.

        Args:
            run: Returns the result, or a CooperativeTask that does.
            wait: Seconds that it may wait for input, in addition to `request_timeout`.

        Raises:
            QueueFullError: The worker takes no request now.
            DeadlineError: No result within the parameter `request_timeout`.
            Exception: What `run` raised.
        """
        if not self.opened:
            raise QueueFullError("the node is being shut down")
        future = ros.Future()
        timeout = self.settings.request_timeout + wait
        self.worker.submit(Request(run, lambda *done: ros.complete(self, future, done), timeout))
        result, error = await future
        if error is not None:
            raise error
        return result

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if self.settings.autostart and self.trigger_configure() == Return.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: object) -> ros.TransitionCallbackReturn:
        """Check parameters and files, open, start the worker."""
        return self._transit("configure", self._configure, self._undo_configure)

    def on_activate(self, state: object) -> ros.TransitionCallbackReturn:
        """Start the work."""
        return self._transit("activate", self._activate, self._undo_activate)

    def on_deactivate(self, state: object) -> ros.TransitionCallbackReturn:
        """Stop the work, keep what is open."""
        return self._transit("deactivate", self._pause)

    def on_cleanup(self, state: object) -> ros.TransitionCallbackReturn:
        """Free everything."""
        return self._transit("clean up", self._release)

    def on_shutdown(self, state: object) -> ros.TransitionCallbackReturn:
        """Free everything; afterwards the process must be restarted."""
        self.shut_down = self._transit("shut down", self._release) == Return.SUCCESS
        return Return.SUCCESS if self.shut_down else Return.ERROR

    def on_error(self, state: object) -> ros.TransitionCallbackReturn:
        """Free everything and go back to unconfigured, so that it can be tried again."""
        why = self.why
        result = self._transit("recover", self._release)
        self.why = self.why or why
        return result

    def destroy_node(self) -> None:
        """Free everything, then destroy the node."""
        self._release()
        super().destroy_node()

    def refusal(self, needs_active: bool) -> str:
        """Why a request cannot be served in this state, or an empty text."""
        name = self.get_fully_qualified_name()
        why = f" ({self.why})" if self.why else ""
        if self.shut_down:
            return f"{name} was shut down and cannot be configured again; restart its process"
        if not self.opened:
            return f"{name} is not configured{why}; try: ros2 lifecycle set {name} configure"
        if needs_active and not self.active:
            return f"{name} is not active{why}; try: ros2 lifecycle set {name} activate"
        return ""

    def _all_parts(self) -> Sequence[Part]:
        """State for the diagnostics, in every lifecycle state."""
        if not self.opened:
            why = "shut down" if self.shut_down else self.why
            return [Part(self.subject, ERROR if self.why else WARN, why or "not configured")]
        if not (trouble := self._trouble):
            return self.parts()
        state = Part(self.subject, ERROR, trouble)
        return [state, *(part for part in self.parts() if part.name != self.subject)]

    @property
    def _trouble(self) -> str:
        """Why an opened node does not do its work; empty: it does."""
        if self.why:
            return f"not active: {self.why}"
        if (busy := self.worker.busy_for) > LONGEST_STEP_S:
            return f"the {self.subject}'s worker hangs: its current step has taken {busy:.0f} s"
        return self._failing if time.monotonic() - self._failed_at < FAILING_S else ""

    def _on_pulse(self) -> None:
        self.worker.expire()
        self.pending.expire()
        self.watch()

    def _pause(self) -> None:
        if self.active:
            self.active = False
            self._break_bond()
            self.stop()

    def _release(self) -> None:
        """End the worker and free everything, in any lifecycle state."""
        self._pause()
        if not self.worker.stop():
            self.get_logger().error("the worker hangs in its current step and is left behind")
        if self.opened:
            self.opened = False
            self.close()
        self.pending.complete(None)

    def _configure(self) -> None:
        if self.table.problems:
            raise _ParameterError("; ".join(self.table.problems.values()))
        step = self.open()
        self.opened = True
        if step is not None:
            self.worker.start(step, self.get_name())
        self.ready()

    def _undo_configure(self) -> None:
        self.opened = True  # possibly in part, which `close` frees as well
        self._release()

    def _activate(self) -> None:
        self.start()
        self.active = True
        if not self.settings.autostart:  # a manager did it, and may want to watch this node
            self._break_bond = ros.form_bond(self)

    def _undo_activate(self) -> None:
        self.active = False
        self.stop()

    def _transit(
        self, doing: str, run: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> ros.TransitionCallbackReturn:
        """Run a transition; an exception is logged here, as rclpy does not, and kept in `why`.

        Args:
            doing: Name of the transition.
            run: Performs it.
            undo: Called if it fails: the state stays as it was. Without it `on_error` follows.
        """
        before = [entity for _, entity in ros.endpoints(self)]
        try:
            run()
        except Exception as error:
            self.why = self._reason(f"cannot {doing}", error)
        else:
            self.why = ""
            return Return.SUCCESS
        if undo is None:
            return Return.ERROR
        try:
            undo()
        except Exception as error:
            self._reason(f"cannot undo the transition {doing}", error)
        for destroy, entity in ros.endpoints(self):
            if not any(entity is one for one in before):
                destroy(entity)
        return Return.FAILURE

    def _reason(self, what: str, error: Exception) -> str:
        """Log an error, with its traceback unless its text is meant for users; returns the text."""
        trace = ""
        if isinstance(error, ImportError):
            reason = missing_package(error)
        elif isinstance(error, (_ParameterError, *self.codes)):
            reason = str(error)
        else:
            reason = f"{type(error).__name__}: {error}"
            trace = "\n" + "".join(traceback.format_exception(error))
        self.get_logger().error(f"{what}: {reason}{trace}")
        return reason

    def _on_step_error(self, error: Exception) -> None:
        self.failures += 1
        name, self._failed_at = type(error).__name__, time.monotonic()
        self._failing = f"the {self.subject}'s worker continues after {name}: {error}"
        self.get_logger().error(self._failing, throttle_duration_sec=5.0)
