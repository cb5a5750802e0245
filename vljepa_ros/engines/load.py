"""A model folder to a running engine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vljepa_ros.engines.onnxruntime_engine import PARTS, OnnxRuntimeEngine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelConfig, ModelError, load_config
from vljepa_ros.models.vl_jepa.full_sizes import is_full

__all__ = ["ENGINES", "PARTS", "load_engine"]

ENGINES = ("auto", "onnxruntime", "torch", "torch-compiled")


def load_engine(
    folder: Path, engine: str = "auto", threads: int = 0, parts: frozenset[str] | None = None
) -> Engine:
    """Check the folder's files against their hashes and load the model.

    engine: auto, onnxruntime, torch or torch-compiled, the latter two as
    `ENGINE[:PRECISION][@DEVICE]`; for other families see `load_family`. threads: 0 chooses (at
    most 2). parts: of vision, predictor, text, decoder; None loads all.

    :raises ModelError: unknown engine, part or family; missing, damaged or unusable file.
    """
    config = load_config(Path(folder))
    if config.family != "vl_jepa" or is_full(config):
        from vljepa_ros.engines.load_family import load_family

        config.verify()
        return load_family(config, engine, threads, parts)
    if engine.startswith("torch"):
        config.verify()
        return _torch_nano(config, engine, threads, parts)
    if engine not in ENGINES:
        raise ModelError(f"unknown engine '{engine}'; allowed: {', '.join(ENGINES)}")
    config.verify()
    return OnnxRuntimeEngine(config, threads, PARTS if parts is None else parts)


def _torch_nano(
    config: ModelConfig, engine: str, threads: int, parts: frozenset[str] | None
) -> Engine:
    from vljepa_ros.engines.choose import parse_request

    request = parse_request(engine)
    if request.engine not in ENGINES:
        raise ModelError(f"unknown engine '{engine}'; allowed: {', '.join(ENGINES)}")
    try:
        from vljepa_ros.engines.torch_nano_sessions import TorchNanoSessions
    except ImportError as error:
        raise ModelError(
            f"engine '{engine}' needs torch, which is not installed: pip install torch"
        ) from error

    def sessions(own: ModelConfig, names: Iterable[str], count: int) -> Any:
        return TorchNanoSessions(
            own,
            names,
            count,
            device=request.device or "auto",
            precision=request.precision or "fp32",
            compiled=request.engine == "torch-compiled",
        )

    return OnnxRuntimeEngine(config, threads, PARTS if parts is None else parts, sessions)
