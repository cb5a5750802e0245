"""A model folder to a running engine."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vljepa_ros.engines.choose import (
    Available,
    Choice,
    choose,
    parse_request,
    provider_device,
)
from vljepa_ros.engines.engine_cache import default_cache_root
from vljepa_ros.engines.machine import has_gpu, packages, providers
from vljepa_ros.engines.onnxruntime_engine import PARTS, OnnxRuntimeEngine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.paper_config import is_paper

ENGINES = (
    "auto",
    "onnxruntime",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "torch",
    "torch-compiled",
)
"""Those of nano's form."""

_GPU_PROVIDERS = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})
_LOG = logging.getLogger("vljepa_ros.engines")


def load_engine(
    folder: Path, engine: str = "auto", threads: int = 0, parts: frozenset[str] | None = None
) -> Engine:
    """Check the folder's files against their hashes and load the model.

    What was chosen, and why, goes to the log `vljepa_ros.engines`.

    engine: `ENGINE[:PRECISION][@DEVICE]`, see `parse_request`. threads: 0 chooses (at most 2).
    parts: of vision, predictor, text, decoder; None loads all.

    :raises ModelError: unknown engine, part or family; missing, damaged or unusable file.
    """
    config = load_config(Path(folder))
    if config.family != "vl_jepa" or is_paper(config):
        from vljepa_ros.engines.load_family import load_family

        config.verify()
        return load_family(config, engine, threads, parts)
    request = parse_request(engine, config.device)
    choice = choose(request, _available(config, request.engine, request.device), str(folder))
    _LOG.info("model '%s' on %s", config.name, choice.reason)
    config.verify()
    wanted = PARTS if parts is None else parts
    if choice.engine.startswith("torch"):
        return _torch_nano(config, choice, threads, wanted)

    def sessions(own: ModelConfig, names: Iterable[str], count: int) -> Any:
        from vljepa_ros.engines.sessions import GraphSessions

        kind, index = provider_device(choice)
        return GraphSessions(
            own, names, count, device=kind, index=index, cache=default_cache_root() / "onnxruntime"
        )

    return OnnxRuntimeEngine(config, threads, wanted, sessions)


def _available(config: ModelConfig, engine: str, device: str) -> Available:
    """Of nano's form: its graphs lie in the folder, torch needs no transformers."""
    found = providers()
    # torch is not imported to find out that a CPU-only ONNX Runtime has no use for a GPU.
    gpu = not device.startswith("cpu") and (
        bool(found & _GPU_PROVIDERS) or engine.startswith("torch")
    )
    precisions = ("fp32", "bf16", "fp16") if engine.startswith("torch") else (config.precision,)
    return Available(
        packages(),
        gpu and has_gpu(),
        onnx="",
        engines=frozenset(ENGINES),
        providers=found,
        torch_needs=("torch",),
        precisions=precisions,
    )


def _torch_nano(
    config: ModelConfig, choice: Choice, threads: int, parts: frozenset[str]
) -> OnnxRuntimeEngine:
    if "weights" not in config.files:
        raise ModelError(
            f"model '{config.name}' holds graphs only ({config.precision}); allowed: onnxruntime"
        )
    from vljepa_ros.engines.torch_nano_sessions import TorchNanoSessions

    def sessions(own: ModelConfig, names: Iterable[str], count: int) -> Any:
        return TorchNanoSessions(
            own,
            names,
            count,
            device=choice.device,
            precision=choice.precision,
            compiled=choice.engine == "torch-compiled",
        )

    return OnnxRuntimeEngine(config, threads, parts, sessions)
