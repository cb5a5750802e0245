"""Base of the lifecycle nodes that load a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, TypeVar

from vljepa_ros.allocator import return_freed_blocks
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.engines.select import ENGINE_NAMES
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.diagnostics import OK, WARN, Part
from vljepa_ros.nodes.lifecycle_node import LifecycleNode, LifecycleParameters
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.pipeline import PerceptionError
from vljepa_ros.perception.vocabulary import VocabularyError
from vljepa_ros.resources import EVERYDAY, model_dir


@dataclass(frozen=True)
class ModelParameters(LifecycleParameters):
    """Parameters shared by all nodes that load a model."""

    model: str = read_only(
        EVERYDAY,
        "Model: a name that `vljepa models` lists, a folder, or a hub id; the same for all nodes. "
        "everyday is for real cameras, nano for the simulated world.",
    )
    engine: str = read_only(
        "auto",
        f"Engine, as ENGINE[:PRECISION][@DEVICE]; engines: {', '.join(ENGINE_NAMES)}.",
    )
    threads: int = read_only(0, "Threads of the engine; 0: the engine decides.", 0, 256)
    always_on: bool = live(False, "Work even while nothing subscribes to the results.")


M = TypeVar("M", bound=ModelParameters)


class ModelNode(LifecycleNode[M]):
    """A node with a model; subclasses implement `prepare`, `start`, `stop` and `free`.

    Attributes:
        model_parts: Parts of the model that the subclass needs.
        engine: The loaded model, from `configure` to `cleanup`.
    """

    subject = "model"
    codes: ClassVar[dict[type[Exception], str]] = LifecycleNode.codes | {
        FrameError: "BAD_REQUEST",
        ModelError: "UNSUPPORTED",
        PerceptionError: "STALE",
        VocabularyError: "BAD_REQUEST",
    }
    model_parts: ClassVar[frozenset[str]] = frozenset()
    engine: Engine | None = None

    def prepare(self, engine: Engine) -> Callable[[], float | None]:
        """Create what needs the engine, at `configure`. It may raise what is in `codes`.

        Returns:
            The continuous work, see `Worker.start`.
        """
        raise NotImplementedError

    def free(self) -> None:
        """Free what `prepare` made, completely or in part; the worker has ended."""

    def open(self) -> Callable[[], float | None]:
        """Load the model."""
        p = self.settings
        self.engine = load_engine(model_dir(p.model), p.engine, p.threads, self.model_parts)
        return_freed_blocks()
        engine, info = self.engine, self.engine.info
        step = self.prepare(engine)
        self.get_logger().info(
            f"model {engine.config.model_id} on {info.engine}, {info.device}, {info.precision}"
        )
        return step

    def close(self) -> None:
        """Free the model."""
        self.free()
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def which_camera(self, name: str) -> str:
        """The camera that a request names; empty: the only one.

        Raises:
            PerceptionError: The name is unknown, or empty although there are several.
        """
        known = ", ".join(self.cameras)
        if name and name not in self.cameras:
            raise PerceptionError(f"unknown camera '{name}', allowed: {known}", "UNKNOWN_CAMERA")
        if not name and len(self.cameras) != 1:
            raise PerceptionError(f"camera is empty, allowed: one of {known}", "UNKNOWN_CAMERA")
        return name or self.cameras[0]

    def parts(self) -> Sequence[Part]:
        """State of the model for the diagnostics; subclasses add more."""
        if self.engine is None:
            return []
        config, info = self.engine.config, self.engine.info
        values = {
            "model_id": config.model_id,
            **asdict(info),
            "failures": self.failures,
        }
        if not self.active:
            return [Part("model", WARN, "loaded, not active", values)]
        return [Part("model", OK, f"{config.model_id} on {info.engine}, {info.device}", values)]
