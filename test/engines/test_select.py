from __future__ import annotations

import re

import pytest

from vljepa_ros.engines.select import (
    ENGINE_NAMES,
    Available,
    Request,
    choose,
    parse_request,
    provider_device,
)
from vljepa_ros.models.config import ModelError

EVERYTHING = frozenset({"torch", "transformers", "onnxruntime", "tensorrt"})
CPU = frozenset({"CPUExecutionProvider"})
CUDA = CPU | {"CUDAExecutionProvider"}
ALL = CUDA | {"TensorrtExecutionProvider"}


@pytest.mark.parametrize(
    ("packages", "cuda", "onnx", "tensorrt", "providers", "engine", "says"),
    [
        (EVERYTHING, True, "", "", ALL, "tensorrt", "fastest"),
        (EVERYTHING, True, "", "stale", ALL, "torch-graphs", r"not tensorrt \(stale: vljepa build"),
        (EVERYTHING - {"tensorrt"}, True, "", "", ALL, "torch-graphs", "pip install tensorrt"),
        # No torch on the robot: what it has exported elsewhere runs on its GPU.
        ({"onnxruntime"}, True, "", "", ALL, "onnxruntime-cuda", "torch and transformers are not"),
        ({"onnxruntime"}, True, "", "", CPU, "onnxruntime", "pip install onnxruntime-gpu"),
        (EVERYTHING, False, "", "", CPU, "onnxruntime", "fastest"),
        (EVERYTHING, False, "not exported", "", CPU, "torch", "not exported: vljepa export m"),
        ({"onnxruntime"}, False, "", "", CPU, "onnxruntime", "fastest"),
    ],
)
def test_auto_takes_the_fastest_and_says_why(
    packages: set[str],
    cuda: bool,
    onnx: str,
    tensorrt: str,
    providers: frozenset[str],
    engine: str,
    says: str,
) -> None:
    available = Available(frozenset(packages), cuda, onnx, tensorrt, providers=providers)
    choice = choose(Request("auto"), available, "m")
    assert choice.engine == engine
    assert choice.reason.startswith(f"{engine}: ")
    assert re.search(says, choice.reason), choice.reason


def test_auto_never_waits_for_tensorrts_provider_to_build() -> None:
    """It would build for minutes while the node configures."""
    engines = frozenset({"auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-tensorrt"})
    available = Available(EVERYTHING, True, "", engines=engines, providers=ALL)
    assert choose(Request("auto"), available, "m").engine == "onnxruntime-cuda"
    asked = choose(Request("onnxruntime-tensorrt", device="cuda:1"), available, "m")
    assert provider_device(asked) == ("tensorrt", 1)


def test_the_remedy_names_a_command() -> None:
    stale = Available(EVERYTHING, True, "", "stale")
    assert choose(Request("auto"), stale, "m").remedy == "vljepa build-engine m"
    assert choose(Request("auto"), Available(EVERYTHING, True, "", ""), "m").remedy == ""
    plain = Available(EVERYTHING, False, "not exported")
    assert choose(Request("auto"), plain, "m").remedy == "vljepa export m"


@pytest.mark.parametrize(
    ("engine", "packages", "says"),
    [
        ("torch", {"onnxruntime"}, "torch and transformers are not installed: pip install torch t"),
        ("torch", {"torch"}, "transformers is not installed: pip install transformers"),
        ("tensorrt", EVERYTHING, "it needs a CUDA device"),
        ("tensorrt", {"torch"}, "tensorrt is not installed: pip install tensorrt"),
        ("torch-graphs", EVERYTHING, "it needs a CUDA device"),
        ("onnxruntime", EVERYTHING, "nothing has been exported: vljepa export m"),
        ("onnxruntime-cuda", EVERYTHING, "has no CUDAExecutionProvider (it has CPUExecutionProv"),
        ("onnxruntime-cuda", EVERYTHING, "pip install onnxruntime-gpu"),
        ("onnxruntime-tensorrt", EVERYTHING, "has no TensorrtExecutionProvider"),
        ("onnxruntime", {"torch"}, "onnxruntime is not installed: pip install onnxruntime"),
    ],
)
def test_what_cannot_run_says_what_helps(engine: str, packages: set[str], says: str) -> None:
    with pytest.raises(ModelError) as caught:
        choose(Request(engine), Available(frozenset(packages), False), "m")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_can_run() -> None:
    with pytest.raises(ModelError, match=r"no engine can run 'm' here: onnxruntime \(.*torch \("):
        choose(Request("auto"), Available(frozenset(), False), "m")


def test_a_family_without_that_engine() -> None:
    only = Available(EVERYTHING, True, engines=frozenset({"auto", "torch"}))
    with pytest.raises(ModelError, match="this family has no such engine; allowed: auto, torch"):
        choose(Request("onnxruntime"), only, "m")
    assert choose(Request("auto"), only, "m").engine == "torch"


def test_a_precision_that_the_model_does_not_have() -> None:
    graphs = Available(EVERYTHING, False, "", precisions=("int8",))
    assert choose(Request("auto"), graphs, "m").precision == "int8"
    with pytest.raises(ModelError, match="'m' does not run in bf16 by itself; allowed: int8"):
        choose(Request("auto", "bf16"), graphs, "m")


def test_requests() -> None:
    assert parse_request("torch-graphs:bf16@cuda:1") == Request("torch-graphs", "bf16", "cuda:1")
    assert parse_request("auto@cpu") == Request("auto", "", "cpu")
    assert parse_request("onnxruntime@cuda") == Request("onnxruntime-cuda", "", "cuda")
    assert parse_request("auto", "cuda:1") == Request("auto", "", "cuda:1")
    assert parse_request("torch@cpu", "cuda:1").device == "cpu"
    with pytest.raises(ModelError, match="engine is 'cuda', allowed: auto, tensorrt, torch"):
        parse_request("cuda")
    with pytest.raises(ModelError, match="precision is 'int4', allowed: fp32, bf16, fp16"):
        parse_request("torch:int4")
    for name in ENGINE_NAMES:
        assert parse_request(name).engine == name


def test_defaults_follow_the_device() -> None:
    both = Available(EVERYTHING, True, "", "", providers=ALL)
    assert (choose(Request("torch"), both, "m").device) == "cuda:0"
    assert (choose(Request("torch"), both, "m").precision) == "bf16"
    cpu = choose(Request("auto", device="cpu"), both, "m")
    assert (cpu.engine, cpu.device, cpu.precision) == ("onnxruntime", "cpu", "fp32")
    assert choose(Request("onnxruntime"), both, "m").device == "cpu"
    gpu = choose(Request("onnxruntime-cuda"), both, "m")
    assert (gpu.device, gpu.precision) == ("cuda:0", "fp32")
    with pytest.raises(ModelError, match="device is 'gpu', allowed: cpu, cuda:N"):
        provider_device(choose(Request("onnxruntime", device="gpu"), both, "m"))
