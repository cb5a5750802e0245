"""The engines of a model under their names, for measuring them beside each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import which

from vljepa_ros.engines.choose import parse_request
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.paper_config import paper_parts
from vljepa_ros.resources import model_dir

INT8 = "onnxruntime:int8"
_ALL = frozenset({"vision", "predictor", "text"})


def loader(
    model: str, random_weights: bool, tiny: bool, threads: int, int8: Path | None = None
) -> tuple[ModelConfig, Callable[[str], Engine]]:
    """Configuration of a model, and what loads it on an engine.

    :param random_weights: `model` is `full`: the paper's sizes without a checkpoint.
    :param int8: the same model's folder in int8, which runs as `onnxruntime:int8`.
    :raises ModelError: no such model, or options that do not go together.
    """
    if not random_weights:
        if tiny:
            raise ModelError("--tiny goes with --random-weights only")
        folder = model_dir(model)

        def load(engine: str) -> Engine:
            own = int8 if int8 is not None and engine == INT8 else folder
            return load_engine(own, engine, threads)

        return load_config(folder), load
    if model != "full":
        raise ModelError(f"random weights are for --model full only, not {model!r}")
    from vljepa_lab.convert.full_random import random_config

    config = random_config(tiny=tiny)
    return config, lambda engine: _random(config, engine, threads)


def engines_here(config: ModelConfig, int8: Path | None = None) -> tuple[str, ...]:
    """Names worth measuring on this machine; what cannot run is reported by the benchmark."""
    import torch

    random = config.folder.name == "random"
    if torch.cuda.is_available():
        found = ["torch:bf16", "torch-compiled:bf16", "torch-graphs:bf16"]
        if not random:
            found += ["onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt"]
        return tuple(found)
    found = ["torch:bf16"] if random else ["onnxruntime", "torch:bf16"]
    if which("g++") or which("clang++"):
        found.append("torch-compiled:fp32")
    if int8 is not None:
        found.append(INT8)
    return tuple(found)


def _random(config: ModelConfig, engine: str, threads: int) -> Engine:
    """The full size with random weights on torch; the same weights every time."""
    import torch

    from vljepa_lab.convert.full_random import random_table
    from vljepa_ros.engines.full_vl_jepa_engine import FullVlJepaEngine
    from vljepa_ros.engines.load_family import check_precision, warm_up
    from vljepa_ros.engines.torch_runner import TorchRunner
    from vljepa_ros.models.vl_jepa.paper_model import build_modules, with_pixel_input

    request = parse_request(engine)
    if not request.engine.startswith("torch"):
        raise ModelError(f"random weights run on torch only, not on '{engine}'")
    check_precision(config, request.precision)
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    parts = paper_parts(config)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        modules = with_pixel_input(config, build_modules(config, _ALL))
    runner = TorchRunner(
        parts,
        modules,
        device=request.device or "auto",
        precision=request.precision or "fp32",
        compiled=request.engine == "torch-compiled",
        cuda_graphs=request.engine == "torch-graphs",
    )
    loaded = FullVlJepaEngine(config, runner, _ALL, random_table(config))
    warm_up(loaded)
    return loaded
