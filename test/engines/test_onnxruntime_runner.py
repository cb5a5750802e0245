"""ONNX Runtime's GPU providers without a GPU: what they are given, and what is said."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from vljepa_ros.engines.onnxruntime_runner import (
    check_provider,
    is_out_of_memory,
    open_session,
    provider_list,
    tensorrt_shapes,
)
from vljepa_ros.engines.shapes import Profile, default_profiles
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, Tensor

CPU, CUDA, RT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
ALL = [RT, CUDA, CPU]
PART = Part(
    "predictor",
    (Tensor("tokens", ("batch", "tokens", 4)), Tensor("mask", ("batch", "query"), "int64")),
    (Tensor("vector", ("batch", 2)),),
)


def test_each_device_falls_back_only_to_what_is_slower() -> None:
    assert [name for name, _ in provider_list("cpu", ALL)] == [CPU]
    assert [name for name, _ in provider_list("cuda", ALL)] == [CUDA, CPU]
    assert [name for name, _ in provider_list("tensorrt", ALL)] == [RT, CUDA, CPU]


def test_options_of_the_gpu(tmp_path: Path) -> None:
    shapes = {"trt_profile_min_shapes": "x:1x3"}
    found = dict(
        provider_list("tensorrt", ALL, index=1, memory_limit=2.5, cache=tmp_path, shapes=shapes)
    )
    assert found[RT] == {
        "device_id": 1,
        "trt_profile_min_shapes": "x:1x3",
        "trt_max_workspace_size": 5 << 29,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(tmp_path),
    }
    assert found[CUDA]["gpu_mem_limit"] == 5 << 29
    assert found[CPU] == {}
    assert "gpu_mem_limit" not in dict(provider_list("cuda", ALL))[CUDA]


def test_shapes_of_tensorrts_provider_span_all_profiles() -> None:
    profiles = default_profiles(PART, {"tokens": (3, 3, 3), "query": (1, 16, 64)})
    assert tensorrt_shapes(PART, profiles) == {
        "trt_profile_min_shapes": "tokens:1x3x4,mask:1x1",
        "trt_profile_opt_shapes": "tokens:8x3x4,mask:8x16",
        "trt_profile_max_shapes": "tokens:8x3x4,mask:8x64",
    }
    one = (Profile((("batch", (1, 2, 4)), ("tokens", (3, 3, 3)), ("query", (1, 2, 3)))),)
    assert tensorrt_shapes(PART, one)["trt_profile_opt_shapes"] == "tokens:2x3x4,mask:2x2"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ModelError, match=r"has no CUDAExec.*\(it has CPU.*pip install onnxruntime"):
        provider_list("cuda", [CPU])
    with pytest.raises(ModelError, match="device is 'npu', allowed: cpu, cuda, tensorrt"):
        provider_list("npu", ALL)
    with pytest.raises(ModelError, match=r"CUDAExecutionProvider did not start .* would run"):
        check_provider(CUDA, [CPU])
    check_provider(CPU, [CPU])


def test_a_provider_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    """ONNX Runtime itself warns and runs on the CPU."""
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    graph = Path(__file__).parents[2] / "models" / "nano" / "text_head.onnx"
    with pytest.raises(ModelError, match="CUDAExecutionProvider did not start"):
        open_session(graph, onnxruntime.SessionOptions(), [(CUDA, {"device_id": 0}), (CPU, {})])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"broken.onnx' cannot be loaded"):
        open_session(broken, onnxruntime.SessionOptions(), [(CPU, {})])


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", True),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer", True),
        ("Got invalid dimensions for input", False),
    ],
)
def test_out_of_memory_is_recognised(text: str, full: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) == full
