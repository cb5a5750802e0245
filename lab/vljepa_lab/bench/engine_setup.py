"""The engines of a model by name, and what they cost: operations, share of the peak, memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from shutil import which

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from vljepa_lab.bench.samples import note, resident_mib
from vljepa_lab.convert.full_random import random_config, random_table
from vljepa_ros.engines.export import export_parts
from vljepa_ros.engines.load import check_precision, engine_profiles, load_engine, warm_up
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner, provider_list
from vljepa_ros.engines.paper_engine import PaperEngine
from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.engines.select import Request, onnxruntime_providers, parse_request
from vljepa_ros.engines.tensorrt_build import build_engines
from vljepa_ros.engines.tensorrt_runner import TensorRtRunner, import_builder
from vljepa_ros.engines.torch_runner import TorchRunner, torch_device
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.paper_config import paper_parts
from vljepa_ros.models.vl_jepa.paper_model import build_modules, with_pixel_input
from vljepa_ros.resources import model_dir

_ALL = frozenset({"vision", "predictor", "text"})


def loader(
    model: str, random_weights: bool, tiny: bool, threads: int
) -> tuple[ModelConfig, Callable[[str], Engine]]:
    """Return the configuration of a model, and a function that loads it on an engine.

    Args:
        model: Name or folder of the model.
        random_weights: `model` is `full`: the paper's sizes without a checkpoint.
        tiny: Small sizes; goes with `random_weights`.
        threads: CPU threads; 0: chosen by the engine.

    Raises:
        ModelError: No such model, or options that do not go together.
    """
    if not random_weights:
        if tiny:
            raise ModelError("--tiny goes with --random-weights only")
        folder = model_dir(model)
        return load_config(folder), lambda engine: load_engine(folder, engine, threads)
    if model != "full":
        raise ModelError(f"random weights are for --model full only, not {model!r}")
    config = random_config(tiny=tiny)
    return config, lambda engine: _random(config, engine, threads)


def engines_here(config: ModelConfig) -> tuple[str, ...]:
    """Names worth measuring on this machine; what cannot run is reported by the benchmark."""
    random = config.folder.name == "random"
    if torch.cuda.is_available():
        found = ["torch:bf16", "torch-compiled:bf16", "torch-graphs:bf16"]
        if not random:
            found += ["onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt"]
        return tuple(found)
    found = ["torch:bf16"] if random else ["onnxruntime", "torch:bf16"]
    if which("g++") or which("clang++"):
        found.append("torch-compiled:fp32")
    return tuple(found)


def _random(config: ModelConfig, engine: str, threads: int) -> Engine:
    """The full size with random weights; the same weights every time."""
    request = parse_request(engine)
    check_precision(config, request.precision)
    if threads:
        torch.set_num_threads(threads)
    on_torch = request.engine.startswith("torch")
    if not on_torch:
        _check_libraries(request.engine)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        modules = with_pixel_input(config, build_modules(config, _ALL))
    if on_torch:
        runner: PartRunner = TorchRunner(
            paper_parts(config),
            modules,
            device=request.device or "auto",
            precision=request.precision or "fp32",
            compiled=request.engine == "torch-compiled",
            cuda_graphs=request.engine == "torch-graphs",
        )
    else:
        runner = _exported(config, request, modules)
    loaded = PaperEngine(config, runner, _ALL, random_table(config))
    warm_up(loaded)
    return loaded


def _provider(engine: str) -> str:
    """The device of an engine of ONNX Runtime: `cpu`, `cuda` or `tensorrt`."""
    return engine.removeprefix("onnxruntime").removeprefix("-") or "cpu"


def _check_libraries(engine: str) -> None:
    """Raise ModelError if what runs the graphs is missing: exporting them takes minutes."""
    if engine == "tensorrt":
        torch_device("cuda")
        import_builder()
    else:
        provider_list(_provider(engine), sorted(onnxruntime_providers()))


def _exported(
    config: ModelConfig, request: Request, modules: Mapping[str, torch.nn.Module]
) -> PartRunner:
    """The modules as ONNX graphs, for TensorRT built, in a folder that is gone once they run."""
    parts, precision = paper_parts(config), request.precision or "fp32"
    profiles = engine_profiles(config, parts)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        best = {axis: size for found in profiles.values() for axis, (_, size, _) in found[-1].axes}
        sizes = best | {"batch": 2}
        graphs = export_parts(
            parts, modules, place, precision=precision, sizes=sizes, progress=note
        )
        if request.engine == "tensorrt":
            timing = place / "timing"
            plans = build_engines(
                parts, graphs, profiles, place, timing_cache=timing, progress=note
            )
            return TensorRtRunner(parts, plans, profiles, precision=precision)
        device = _provider(request.engine)
        shapes = profiles if device == "tensorrt" else None
        return OnnxRuntimeRunner(
            parts, graphs, precision=precision, device=device, profiles=shapes, cache=place
        )


def count_flops(engine: Engine, frames: int) -> dict[str, int]:
    """Count the operations of one clip through `encode` and of one query through `embed`.

    A multiply-add counts as two. torch counts while the torch engine runs: attention, matrix
    products and convolutions.
    """
    config = engine.config
    size = config.input_size
    clip = Clip(np.zeros((frames, size, size, 3), np.uint8), tuple(range(frames)))
    (query,) = sample_queries(config, 1)
    with FlopCounterMode(display=False) as first:
        tokens = engine.encode([clip], [None])[0].tokens
    with FlopCounterMode(display=False) as second:
        engine.embed([tokens], query)
    return {"encode": int(first.get_total_flops()), "embed": int(second.get_total_flops())}


def peak_flops(device: str, precision: str) -> float:
    """Measure operations per second, the best of several square matrix products."""
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    on_gpu = device.startswith("cuda")
    dtype = types.get(precision, torch.float32)
    best = 0.0
    # A CPU without units for half precision is faster in fp32: the peak is the better of both.
    for kind in {dtype, torch.float32}:
        for size in (4096, 8192) if on_gpu else (384, 768):
            a = torch.randn(size, size, device=device).to(kind)
            for _ in range(8):
                if on_gpu:
                    torch.cuda.synchronize()
                begin = time.perf_counter()
                a @ a
                if on_gpu:
                    torch.cuda.synchronize()
                best = max(best, 2.0 * size**3 / (time.perf_counter() - begin))
    return best


def held_mib() -> float:
    """Bytes in use: of the GPU all that is not free, without a GPU the resident set.

    TensorRT and ONNX Runtime allocate past torch, so torch's own figures do not count them.
    """
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return float(total - free) / 2**20
    return resident_mib()


def start_peak() -> float:
    """Forget the peak; returns what is held now, in the unit and place of `peak_mib`."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated()) / 2**20
    # Not allowed in every container: then the peak is that of the whole run.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident_mib()


def peak_mib() -> float:
    """The most that was held since `start_peak`; on a GPU, by torch."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    # psutil does not know the peak.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return peaks[0] / 1024 if peaks else 0.0


def sample_queries(config: ModelConfig, count: int) -> list[str]:
    """Different queries; token ids where the model has no tokenizer."""
    default = config.default_query
    if "query_tokenizer" not in config.files and config.architecture.get("form") == "full":
        return [f"ids: {' '.join(str(1 + (i + j) % 50) for j in range(8))}" for i in range(count)]
    return [default if i == 0 else f"{default} {i}" for i in range(count)]
