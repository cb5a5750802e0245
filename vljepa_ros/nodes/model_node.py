"""A lifecycle node that owns one model: loads it, lends it to requests, says what is wrong with
it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vljepa_ros import ros
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from vljepa_ros.nodes.lending import lend
from vljepa_ros.nodes.parameters import Declared, ParameterTable, fixed, live
from vljepa_ros.perception.frames import FrameError
from vljepa_ros.perception.pipeline import PerceptionError
from vljepa_ros.perception.vocabulary import VocabularyError
from vljepa_ros.perception.worker import Busy, DeadlineError, Request, Worker
from vljepa_ros.resources import model_dir

__all__ = ["NAMESPACE", "ModelNode", "ModelParameters"]

NAMESPACE = "vljepa"
_KNOWN = (Busy, DeadlineError, FrameError, ModelError, PerceptionError, VocabularyError)
_CAMERA = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
T = TypeVar("T")
Return = ros.TransitionCallbackReturn


@dataclass(frozen=True)
class ModelParameters:
    """What every node with a model is told."""

    model: str = fixed("nano", "Model: the name of a folder in models/, or a path to one.")
    engine: str = fixed("auto", "Engine that runs the model: auto or onnxruntime.")
    threads: int = fixed(0, "Threads of the engine; 0: chosen by it.", 0, 256)
    cameras: tuple[str, ...] = fixed(
        ["front"], "Names of the cameras; each begins with a letter and has letters, digits, _."
    )
    autostart: bool = fixed(True, "Configure and activate without being asked.")
    always_on: bool = live(False, "Work even while nobody listens to the results.")
    request_timeout: float = live(
        10.0, "Seconds after which a service request is answered with an error.", 0.1, 600.0
    )


class ModelNode(ros.LifecycleNode):
    """Subclasses say which parts they need, and give `prepare`, `start`, `stop`, `free`, `step`.

    :param kind: dataclass of the parameters, a ModelParameters.
    """

    model_parts: frozenset[str] = frozenset()

    def __init__(self, name: str, kind: type[ModelParameters], **options: Any) -> None:
        super().__init__(name, **{"namespace": NAMESPACE, **options})
        self.engine: Engine | None = None
        self.worker: Worker | None = None
        self.active = False
        self.why = ""
        self.failures = 0
        self.main = Declared(self, kind)
        self.declared: list[Declared[Any]] = [self.main]
        bad = [c for c in self.main.value.cameras if not _CAMERA.fullmatch(c)]
        names = self.main.value.cameras
        if bad or not names or len(set(names)) < len(names):
            self.main.problems["cameras"] = (
                f"cameras is {list(names)}, allowed: one or more different names, each with a "
                "letter first, then letters, digits and _"
            )
        self.cameras = tuple(dict.fromkeys(c for c in names if c not in bad))
        self.declare_more()
        self.table = ParameterTable(self, self.declared, self.check_parameters, self.apply)
        self._expiry = self.create_timer(0.1, self._expire, clock=ros.steady_clock())
        self.diagnostics = Diagnostics(self, self.parts)

    def declare_more(self) -> None:
        """Declare further parameters by appending to `declared`."""

    def check_parameters(self, value: Any) -> None:
        """Raise ValueError for a dataclass of parameters that cannot be used."""

    def apply(self) -> None:
        """Take over parameters that have changed."""

    def prepare(self, engine: Engine) -> None:
        """Configure: make what needs the engine. It may raise what `explain` knows."""
        raise NotImplementedError

    def start(self) -> None:
        """Activate."""
        raise NotImplementedError

    def stop(self) -> None:
        """Deactivate."""
        raise NotImplementedError

    def free(self) -> None:
        """Clean up what `prepare` made; the worker has ended."""
        raise NotImplementedError

    def step(self) -> float | None:
        """Continuous work in the worker's thread; see Worker."""
        raise NotImplementedError

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if self.main.value.autostart and self.trigger_configure() == Return.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: Any) -> Any:
        """Check parameters and files, load the model, start the worker."""
        if self.table.problems:
            return self._fail("; ".join(self.table.problems.values()))
        settings = self.main.value
        engine = None
        try:
            folder = model_dir(settings.model)
            engine = load_engine(folder, settings.engine, settings.threads, self.model_parts)
            self.prepare(engine)
        except _KNOWN as error:
            if engine is not None:
                engine.close()
            return self._fail(str(error))
        self.engine, self.why = engine, ""
        self.worker = Worker(self.step, self._step_failed)
        self.worker.start(self.get_name())
        info = engine.info
        self.get_logger().info(
            f"model {engine.config.model_id} on {info.engine}, {info.device}, {info.precision}"
        )
        return super().on_configure(state)

    def on_activate(self, state: Any) -> Any:
        """Begin to work."""
        result = super().on_activate(state)
        self.start()
        self.active = True
        return result

    def on_deactivate(self, state: Any) -> Any:
        """Stop work, keep the model."""
        self.active = False
        self.stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> Any:
        """Free the model."""
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
        """End the worker and free the model, in whatever state."""
        if self.active:
            self.active = False
            self.stop()
        if self.worker is not None:
            self.worker.stop()
            self.worker = None
        if self.engine is not None:
            self.free()
            self.engine.close()
            self.engine = None

    def destroy_node(self) -> Any:
        """Free everything, then the node."""
        self.release()
        return super().destroy_node()

    async def lend(self, run: Callable[[Request[T]], T]) -> T:
        """Run something in the worker's thread, with the model, and await its result.

        :raises Exception: what it raised; Busy, DeadlineError.
        """
        assert self.worker is not None
        return await lend(self, self.worker, run, self.main.value.request_timeout)

    def refusal(self, active: bool) -> str:
        """Why a request cannot be served in this state, or an empty text.

        :param active: whether the active state is needed, or a loaded model is enough.
        """
        name = self.get_fully_qualified_name()
        if self.engine is None:
            why = f" ({self.why})" if self.why else ""
            return f"{name} is not configured{why}; try: ros2 lifecycle set {name} configure"
        if active and not self.active:
            return f"{name} is not active; try: ros2 lifecycle set {name} activate"
        return ""

    def which_camera(self, asked: str) -> str:
        """The camera a request means.

        :raises PerceptionError: an unknown name, or none where there are several.
        """
        known = ", ".join(self.cameras)
        if asked and asked not in self.cameras:
            raise PerceptionError(f"unknown camera '{asked}', allowed: {known}")
        if not asked and len(self.cameras) != 1:
            raise PerceptionError(f"camera is empty, allowed: one of {known}")
        return asked or self.cameras[0]

    def explain(self, error: Exception) -> str:
        """The message of a reply to a request that failed; what nobody expected is logged too."""
        if isinstance(error, _KNOWN):
            return str(error)
        self.get_logger().error(f"a request failed: {type(error).__name__}: {error}")
        return f"internal error: {type(error).__name__}: {error}"

    def parts(self) -> Sequence[Part]:
        """State of this node's parts for the diagnostics; subclasses add theirs."""
        if self.engine is None:
            return [Part("model", ERROR if self.why else WARN, self.why or "not configured")]
        config, info = self.engine.config, self.engine.info
        values = {
            "model_id": config.model_id,
            "engine": info.engine,
            "device": info.device,
            "precision": info.precision,
            "failures": self.failures,
        }
        if not self.active:
            return [Part("model", WARN, "loaded, not active", values)]
        return [Part("model", OK, f"{config.model_id} on {info.engine}, {info.device}", values)]

    def _fail(self, why: str) -> Any:
        self.why = why
        self.get_logger().error(f"cannot configure: {why}")
        return Return.FAILURE

    def _expire(self) -> None:
        if self.worker is not None:
            self.worker.expire()

    def _step_failed(self, error: Exception) -> None:
        self.failures += 1
        self.get_logger().error(
            f"the model's worker goes on after {type(error).__name__}: {error}",
            throttle_duration_sec=5.0,
        )
