"""Hub families and the paper-sized VL-JEPA: from a configuration to a running engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.engines.choose import (
    ENGINE_NAMES,
    Available,
    Choice,
    choose,
    gpu_index,
    parse_request,
    provider_device,
)
from vljepa_ros.engines.engine_cache import (
    CacheKey,
    EngineCache,
    default_cache_root,
    weights_digest,
)
from vljepa_ros.engines.machine import has_gpu, packages, providers
from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.engines.shape_profiles import Profile, default_profiles
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.perception_encoder_config import PERCEPTION_ENCODER
from vljepa_ros.models.parts import Part
from vljepa_ros.models.vl_jepa.paper_config import PaperSizes, is_paper, paper_parts

_LOG = logging.getLogger("vljepa_ros.engines")
_PARTS = frozenset({"vision", "predictor", "text", "decoder"})
_EXPORTER = "onnx opset 18"


def load_family(
    config: ModelConfig,
    engine: str = "auto",
    threads: int = 0,
    parts: frozenset[str] | None = None,
    cache: EngineCache | None = None,
) -> Engine:
    """Load a model of a family other than nano's.

    :param engine: `ENGINE[:PRECISION][@DEVICE]`, see `parse_request`.
    :param parts: of vision, predictor, text, decoder; None: all. Those that the family lacks are
        ignored.
    :raises ModelError: what `choose` refuses, or weights that do not match.
    """
    wanted = _PARTS if parts is None else parts
    if unknown := wanted - _PARTS:
        raise ModelError(
            f"unknown part {', '.join(sorted(unknown))}; allowed: {', '.join(sorted(_PARTS))}"
        )
    cache = cache or EngineCache(default_cache_root())
    request = parse_request(engine, config.device)
    choice = choose(request, _available(config, request.precision, cache), str(config.folder))
    _LOG.info("model '%s' on %s", config.name, choice.reason)
    if choice.remedy:
        _LOG.warning("model '%s' would run faster after: %s", config.name, choice.remedy)
    if config.family == "token_vlm":
        from vljepa_ros.engines.torch_token_vlm import TorchTokenVlm

        return TorchTokenVlm.load(config, choice.device, choice.precision, threads)
    check_precision(config, choice.precision)
    specs = [part for part in family_parts(config) if part.name in wanted]
    runner = _runner(config, choice, specs, threads, cache)
    if choice.device.startswith("cuda") and find_spec("torch") is not None:
        # Cameras' images are resized where the model runs (`preprocessing.preprocess`).
        config = replace(config, preprocessing={**config.preprocessing, "device": choice.device})
    loaded = wrap(config, runner, frozenset(part.name for part in specs))
    warm_up(loaded)
    return loaded


def family_parts(config: ModelConfig) -> tuple[Part, ...]:
    """The graphs of a model.

    :raises ModelError: a family whose model is not made of graphs.
    """
    if config.family == "dual_encoder":
        from vljepa_ros.models.dual_encoder.inputs import dual_encoder_parts

        return dual_encoder_parts(config)
    if is_paper(config):
        return paper_parts(config)
    raise ModelError(
        f"model '{config.name}' (family '{config.family}') cannot be exported part by part; "
        "allowed: dual_encoder, vl_jepa of the full form"
    )


def torch_modules(config: ModelConfig, parts: frozenset[str]) -> Mapping[str, Any]:
    """The parts as torch modules in fp32; `vision` takes 8-bit frames."""
    if config.family == "dual_encoder":
        from vljepa_ros.models.dual_encoder.hub_towers import load_towers

        return load_towers(config, parts)
    from vljepa_ros.models.vl_jepa.paper_model import load_modules, with_pixel_input

    return with_pixel_input(config, load_modules(config, parts))


def wrap(config: ModelConfig, runner: PartRunner, parts: frozenset[str]) -> Engine:
    """The family's engine around a runner of its parts."""
    if config.family == "dual_encoder":
        from vljepa_ros.engines.dual_encoder_engine import DualEncoderEngine

        return DualEncoderEngine(config, runner, parts)
    from vljepa_ros.engines.full_vl_jepa_engine import FullVlJepaEngine

    return FullVlJepaEngine(config, runner, parts)


def check_precision(config: ModelConfig, precision: str) -> None:
    """Refuse what is known to overflow.

    :raises ModelError: fp16 for a model with EmbeddingGemma.
    """
    if precision == "fp16" and is_paper(config):
        raise ModelError(
            f"model '{config.name}' cannot run in fp16: EmbeddingGemma's activations "
            "overflow to NaN; "
            "allowed: fp32, bf16"
        )


def engine_profiles(config: ModelConfig, parts: Sequence[Part]) -> dict[str, tuple[Profile, ...]]:
    """Shapes to build an engine for: batch 1 alone, and up to 8; the model's own clip length."""
    ranges: dict[str, tuple[int, int, int]] = {}
    frames = config.clip_frames
    if is_paper(config):
        sizes = PaperSizes.of(config)
        tokens = sizes.tokens(frames)
        frames += -frames % sizes.tubelet
        ranges = {
            "frames": (frames, frames, frames),
            "tokens": (tokens, tokens, tokens),
            "query": (1, 16, sizes.query_length),
            "length": (1, 32, sizes.text_length),
        }
    else:
        from vljepa_ros.models.dual_encoder.inputs import longest_text

        longest = longest_text(config)
        ranges["length"] = (1, min(16, longest), longest)
    batches = {"vision": (frames, 8 * frames)} if config.family == "dual_encoder" else {}
    text = {"text": (1, 64)}
    return {
        part.name: default_profiles(part, ranges, {**text, **batches}.get(part.name, (1, 8)))
        for part in parts
    }


def cache_key(config: ModelConfig, kind: str, precision: str) -> CacheKey:
    """The key of the model's exported graphs (`onnx`) or built engine (`tensorrt`) on this
    machine."""
    parts = family_parts(config)
    version, device = _EXPORTER, "any"
    shapes = "; ".join(f"{p.name}: {', '.join(t.name for t in p.inputs)}" for p in parts)
    if kind == "tensorrt":
        import torch

        from vljepa_ros.engines.tensorrt_api import import_runtime

        version = str(import_runtime().__version__)
        major, minor = torch.cuda.get_device_capability()
        device = f"{torch.cuda.get_device_name()} sm{major}{minor}"
        profiles = engine_profiles(config, parts)
        shapes = "; ".join(f"{n}: {' | '.join(map(str, p))}" for n, p in profiles.items())
    return CacheKey(
        config.model_id, weights_digest(config), kind, shapes, precision, version, device
    )


def warm_up(engine: Engine) -> None:
    """Compile, record and allocate while the node configures, not when the first image comes.

    One clip, the default query and one text: the shapes that a robot with one camera uses; other
    batches are prepared when they first come.
    """
    config = engine.config
    if not engine.info.device.startswith("cuda") and "compiled" not in engine.info.engine:
        return
    frames = np.zeros((config.clip_frames, config.input_size, config.input_size, 3), np.uint8)
    tokens = engine.encode([Clip(frames, tuple(range(len(frames))))], [None])[0].tokens
    has_words = not is_paper(config) or "query_tokenizer" in config.files
    if "embed" in engine.capabilities and has_words:
        engine.embed([tokens], config.default_query)
    has_texts = not is_paper(config) or "text_tokenizer" in config.files
    if "encode_text" in engine.capabilities and has_texts:
        engine.encode_text(["a warm-up"])


def _available(config: ModelConfig, precision: str, cache: EngineCache) -> Available:
    found, cuda = packages(), has_gpu()
    own = (
        config.architecture.get("model_type") == PERCEPTION_ENCODER
    )  # written out, see `perception_encoder`
    needs: tuple[str, ...] = ("torch",) if own else ("torch", "transformers")
    if config.family == "token_vlm":
        return Available(found, cuda, engines=frozenset({"auto", "torch"}), torch_needs=needs)
    onnx = cache.explain(cache_key(config, "onnx", precision or "fp32"))
    tensorrt = "no GPU"
    if cuda and "tensorrt" in found and "torch" in found:
        tensorrt = cache.explain(cache_key(config, "tensorrt", precision or "bf16"))
    return Available(
        found, cuda, onnx, tensorrt, frozenset(ENGINE_NAMES), providers(), torch_needs=needs
    )


def _runner(
    config: ModelConfig, choice: Choice, specs: Sequence[Part], threads: int, cache: EngineCache
) -> PartRunner:
    if choice.engine.startswith("onnxruntime"):
        from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner

        graphs: Mapping[str, Path] = cache.find(cache_key(config, "onnx", choice.precision))
        kind, index = provider_device(choice)
        if kind == "tensorrt":
            _LOG.warning("TensorRT builds its engines of '%s': minutes, once", config.name)
        return OnnxRuntimeRunner(
            specs,
            graphs,
            precision=choice.precision,
            device=kind,
            threads=threads,
            index=index,
            memory_limit=config.memory_limit,
            profiles=engine_profiles(config, specs),
            cache=cache.root / "onnxruntime",
        )
    if choice.engine == "tensorrt":
        from vljepa_ros.engines.tensorrt_runner import TensorRtRunner

        plans = cache.find(cache_key(config, "tensorrt", choice.precision))
        return TensorRtRunner(
            specs,
            plans,
            engine_profiles(config, specs),
            precision=choice.precision,
            device=gpu_index(choice.device),
        )
    from vljepa_ros.engines.torch_runner import TorchRunner

    if threads:
        import torch

        torch.set_num_threads(threads)
    return TorchRunner(
        specs,
        torch_modules(config, frozenset(part.name for part in specs)),
        device=choice.device,
        precision=choice.precision,
        compiled=choice.engine == "torch-compiled",
        cuda_graphs=choice.engine == "torch-graphs",
        memory_limit=config.memory_limit,
    )
