"""A lifecycle node that owns one model: loads it, lends it to requests, says what is wrong with
it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.diagnostics import OK, WARN, Part
from vljepa_ros.nodes.parameters import fixed, live
from vljepa_ros.nodes.worker_node import WorkerNode, WorkerParameters
from vljepa_ros.perception.frames import FrameError
from vljepa_ros.perception.pipeline import PerceptionError
from vljepa_ros.perception.vocabulary import VocabularyError
from vljepa_ros.resources import model_dir


@dataclass(frozen=True)
class ModelParameters(WorkerParameters):
    """What every node with a model is told."""

    engine: str = fixed(
        "auto",
        "ENGINE[:PRECISION][@DEVICE]: auto, onnxruntime, onnxruntime-cuda, onnxruntime-tensorrt,"
        " torch, torch-compiled, torch-graphs or tensorrt.",
    )
    threads: int = fixed(0, "Threads of the engine; 0: chosen by it.", 0, 256)
    always_on: bool = live(False, "Work even while nobody listens to the results.")


class ModelNode(WorkerNode):
    """Subclasses say which parts they need, and give `prepare`, `start`, `stop`, `free`, `step`."""

    subject = "model"
    known = (*WorkerNode.known, FrameError, ModelError, PerceptionError, VocabularyError)
    model_parts: frozenset[str] = frozenset()
    engine: Engine | None = None

    def prepare(self, engine: Engine) -> None:
        """Configure: make what needs the engine. It may raise what is `known`."""
        raise NotImplementedError

    def free(self) -> None:
        """Clean up what `prepare` made; the worker has ended."""
        raise NotImplementedError

    def open(self) -> None:
        """Load the model."""
        settings = self.main.value
        assert isinstance(settings, ModelParameters)
        folder = model_dir(settings.model)
        engine = load_engine(folder, settings.engine, settings.threads, self.model_parts)
        try:
            self.prepare(engine)
        except self.known:
            engine.close()
            raise
        self.engine = engine

    def ready(self) -> None:
        """Say what runs."""
        assert self.engine is not None
        info = self.engine.info
        self.get_logger().info(
            f"model {self.engine.config.model_id} on {info.engine}, {info.device}, {info.precision}"
        )

    def close(self) -> None:
        """Free the model."""
        assert self.engine is not None
        self.free()
        self.engine.close()
        self.engine = None

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

    def parts(self) -> Sequence[Part]:
        """State of this node's parts for the diagnostics; subclasses add theirs."""
        if self.engine is None:
            return []
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
