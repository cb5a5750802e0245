"""Loads a model folder into the engine that suits it best."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.engines.cache import CacheKey, EngineCache, cache_key_of
from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.engines.select import (
    ENGINE_NAMES,
    Available,
    Choice,
    Request,
    choose,
    gpu_index,
    has_gpu,
    installed_packages,
    onnxruntime_providers,
    parse_request,
    provider_device,
)
from vljepa_ros.engines.shapes import Profile, default_profiles
from vljepa_ros.engines.text_embeddings import EmbeddingEngine
from vljepa_ros.engines.vl_jepa_engine import NanoEngine
from vljepa_ros.models.config import ModelConfig, ModelError, form_of
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.parts import Part
from vljepa_ros.models.vl_jepa.nano_config import GRAPHS
from vljepa_ros.resources import default_cache_root

PARTS = frozenset(GRAPHS)
"""Parts that can be loaded separately; a family ignores those that it does not have."""

NANO_THREADS = 2
"""More threads do not speed up models of this size, and take cores from the rest of the robot."""

_GPU_PROVIDERS = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})
_EXPORTER = "onnx opset 18"
_LOG = logging.getLogger("vljepa_ros.engines")


def load_engine(
    folder: Path, engine: str = "auto", threads: int = 0, parts: frozenset[str] | None = None
) -> Engine:
    """Check the folder's files against their hashes and load the model.

    The choice and its reason are logged to `vljepa_ros.engines`.

    Args:
        folder: The model folder.
        engine: `ENGINE[:PRECISION][@DEVICE]`, see `parse_request`.
        threads: CPU threads; 0: at most `NANO_THREADS` for nano, else all cores.
        parts: Parts to load, from `PARTS`; None: all.

    Raises:
        ModelError: Unknown engine, part or family; missing, damaged or unusable file.
    """
    config = load_config(Path(folder))
    wanted = PARTS if parts is None else parts
    unknown = wanted - PARTS
    if unknown or not wanted:
        raise ModelError(
            f"unknown part {', '.join(sorted(unknown)) or '(none given)'}; "
            f"allowed: {', '.join(sorted(PARTS))}"
        )
    if threads < 0:
        raise ModelError(f"threads must be 0 (automatic) or more, not {threads}")
    try:
        return _load(config, engine, threads, wanted)
    except ModelError:
        raise
    except (
        *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    ) as error:
        raise ModelError(
            f"'{folder}' does not run with the values in its files: {type(error).__name__}: {error}"
        ) from error


def _load(config: ModelConfig, engine: str, threads: int, wanted: frozenset[str]) -> Engine:
    cache = EngineCache(default_cache_root())
    request = parse_request(engine, config.device)
    choice = choose(request, _available(config, request, cache), str(config.folder))
    _LOG.info("model '%s' on %s", config.name, choice.reason)
    if choice.remedy:
        _LOG.warning("model '%s' would run faster after: %s", config.name, choice.remedy)
    config.verify()
    if config.family == "token_vlm":
        from vljepa_ros.engines.token_vlm_engine import TokenVlmEngine

        answering = TokenVlmEngine.load(config, choice.device, choice.precision, threads)
        warm_up(answering, wanted)
        return answering
    check_precision(config, choice.precision)
    runner = _runner(config, choice, _needed_graphs(config, wanted), threads, cache)
    if choice.device.startswith("cuda") and find_spec("torch") is not None:
        # Cameras' images are resized where the model runs (`preprocessing.preprocess`).
        config = replace(config, preprocessing={**config.preprocessing, "device": choice.device})
    loaded: Any = engine_class(config)(config, runner, wanted)
    warm_up(loaded, wanted)
    return loaded


def engine_class(config: ModelConfig) -> type[EmbeddingEngine]:
    """The engine class of a model; classes other than nano's are imported on demand.

    Raises:
        ModelError: The family has no engine that runs graphs.
    """
    form = form_of(config)
    if form == "nano":
        return NanoEngine
    if form == "paper":
        from vljepa_ros.engines.paper_engine import PaperEngine

        return PaperEngine
    if form == "dual_encoder":
        from vljepa_ros.engines.dual_encoder_engine import DualEncoderEngine

        return DualEncoderEngine
    raise ModelError(
        f"model '{config.name}' (family '{config.family}') cannot be exported part by part; "
        "allowed: dual_encoder, vl_jepa"
    )


def ships_graphs(config: ModelConfig) -> bool:
    """Whether the model folder contains graphs, in one precision.

    Those of nano do, and those whose configuration names graphs.
    """
    return form_of(config) == "nano" or {"vision", "text"} <= set(config.files)


def shipped_graphs(config: ModelConfig, parts: Sequence[Part]) -> dict[str, Path]:
    """Part -> ONNX file in the model folder; empty if they must be exported."""
    if not ships_graphs(config):
        return {}
    return {part.name: config.path(part.name) for part in parts}


def check_precision(config: ModelConfig, precision: str) -> None:
    """Refuse precisions that are known to overflow.

    Raises:
        ModelError: fp16 for a model with EmbeddingGemma.
    """
    if precision == "fp16" and engine_class(config).overflows_in_fp16:
        raise ModelError(
            f"model '{config.name}' cannot run in fp16: EmbeddingGemma's activations "
            "overflow to NaN; allowed: fp32, bf16"
        )


def engine_profiles(config: ModelConfig, parts: Sequence[Part]) -> dict[str, tuple[Profile, ...]]:
    """Shapes to build an engine for: batch 1, and up to 8; clips of the model's length."""
    ranges, batches = engine_class(config).shape_ranges(config)
    return {
        part.name: default_profiles(part, ranges, batches.get(part.name, (1, 8))) for part in parts
    }


def cache_key(config: ModelConfig, kind: str, precision: str) -> CacheKey:
    """Key of the model's exported graphs (`onnx`) or built engine (`tensorrt`) on this machine."""
    parts = engine_class(config).parts_of(config)
    version, device = _EXPORTER, "any"
    shapes = "; ".join(
        f"{p.name}: {', '.join(f'{t.name} {t.dims}' for t in p.inputs)}" for p in parts
    )
    if kind == "tensorrt":
        import torch

        from vljepa_ros.engines.tensorrt_runner import import_runtime

        version = str(import_runtime().__version__)
        major, minor = torch.cuda.get_device_capability()
        device = f"{torch.cuda.get_device_name()} sm{major}{minor}"
        profiles = engine_profiles(config, parts)
        shapes = "; ".join(f"{n}: {' | '.join(map(str, p))}" for n, p in profiles.items())
    return cache_key_of(config, kind, shapes, precision, version, device)


def warm_up(engine: Engine, parts: frozenset[str] = PARTS) -> None:
    """Compile, record and allocate at `configure` instead of at the first image.

    This also shows whether a model from the hub runs with the values in its files. It runs one
    clip, the default query and one text, the shapes of a robot with one camera; other batches are
    prepared when they are first needed.

    Args:
        engine: The engine. Nothing is done for nano on a CPU without compilation.
        parts: The loaded parts.
    """
    config = engine.config
    prepared = engine.info.device.startswith("cuda") or "compiled" in engine.info.engine
    if form_of(config) == "nano" and not prepared:
        return
    if "vision" in parts:
        frames = np.zeros((config.clip_frames, config.input_size, config.input_size, 3), np.uint8)
        tokens = engine.encode([Clip(frames, tuple(range(len(frames))))], [None])[0].tokens
        has_words = form_of(config) != "paper" or "query_tokenizer" in config.files
        if "embed" in engine.capabilities and has_words:
            engine.embed([tokens], config.default_query)
        elif "embed" not in engine.capabilities:
            engine.score(tokens, config.default_query, ["yes"])
    has_texts = form_of(config) != "paper" or "text_tokenizer" in config.files
    if "encode_text" in engine.capabilities and has_texts:
        engine.encode_text(["a warm-up"])


def _needed_graphs(config: ModelConfig, wanted: frozenset[str]) -> list[Part]:
    names = wanted
    if form_of(config) == "nano":
        names = frozenset(graph for part in wanted for graph in GRAPHS[part])
    return [part for part in engine_class(config).parts_of(config) if part.name in names]


def _available(config: ModelConfig, request: Request, cache: EngineCache) -> Available:
    packages, providers = installed_packages(), onnxruntime_providers()

    def tensorrt_obstacle(cuda: bool) -> str:
        if cuda and {"tensorrt", "torch"} <= packages:
            return cache.explain(cache_key(config, "tensorrt", request.precision or "bf16"))
        return "no GPU"

    if config.family == "token_vlm":
        return Available(packages, has_gpu(), engines=frozenset({"auto", "torch"}))
    needs = engine_class(config).torch_needs(config)
    engines = frozenset(ENGINE_NAMES)
    if not ships_graphs(config):
        cuda = has_gpu()
        onnx = cache.explain(cache_key(config, "onnx", request.precision or "fp32"))
        tensorrt = tensorrt_obstacle(cuda)
        return Available(packages, cuda, onnx, tensorrt, engines, providers, torch_needs=needs)
    if form_of(config) != "nano":  # there are no torch modules
        engines = frozenset(name for name in engines if name.startswith(("auto", "onnxruntime")))
    # `auto` uses what runs the graphs of the folder, or torch; an engine that has to be built or
    # recorded is not known to be faster for a model of this size, and runs only on request.
    lowers = request.engine.startswith(("torch", "tensorrt"))
    # torch is not imported for a CPU-only ONNX Runtime, which cannot use a GPU.
    wanted = not request.device.startswith("cpu") and (bool(providers & _GPU_PROVIDERS) or lowers)
    cuda = wanted and has_gpu()
    if request.engine == "auto":
        engines -= {"tensorrt", "torch-graphs"}
    tensorrt = tensorrt_obstacle(cuda) if request.engine == "tensorrt" else ""
    precisions = ("fp32", "bf16", "fp16") if lowers else (config.precision,)
    return Available(packages, cuda, "", tensorrt, engines, providers, needs, precisions)


def _runner(
    config: ModelConfig, choice: Choice, parts: Sequence[Part], threads: int, cache: EngineCache
) -> PartRunner:
    if choice.engine.startswith("onnxruntime"):
        from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner

        graphs = shipped_graphs(config, parts)
        if graphs:
            threads = threads or min(NANO_THREADS, os.cpu_count() or 1)
        else:
            graphs = cache.find(cache_key(config, "onnx", choice.precision))
        kind, index = provider_device(choice)
        if kind == "tensorrt":
            _LOG.warning("TensorRT builds its engines of '%s': minutes, once", config.name)
        return OnnxRuntimeRunner(
            parts,
            graphs,
            precision=choice.precision,
            device=kind,
            threads=threads,
            index=index,
            memory_limit=config.memory_limit,
            profiles=engine_profiles(config, parts) if kind == "tensorrt" else None,
            cache=cache.root / "onnxruntime",
        )
    if choice.engine == "tensorrt":
        from vljepa_ros.engines.tensorrt_runner import TensorRtRunner

        plans = cache.find(cache_key(config, "tensorrt", choice.precision))
        return TensorRtRunner(
            parts,
            plans,
            engine_profiles(config, parts),
            precision=choice.precision,
            device=gpu_index(choice.device),
        )
    from vljepa_ros.engines.torch_runner import TorchRunner

    if threads:
        import torch

        torch.set_num_threads(threads)
    return TorchRunner(
        parts,
        engine_class(config).torch_modules(config, frozenset(part.name for part in parts)),
        device=choice.device,
        precision=choice.precision,
        compiled=choice.engine == "torch-compiled",
        cuda_graphs=choice.engine == "torch-graphs",
        autocast=form_of(config) == "nano",
        memory_limit=config.memory_limit,
    )
