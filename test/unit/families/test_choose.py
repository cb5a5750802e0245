from __future__ import annotations

import re

import pytest

from vljepa_ros.engines.choose import Available, Request, choose, parse_request
from vljepa_ros.models.config import ModelError

EVERYTHING = frozenset({"torch", "transformers", "onnxruntime", "tensorrt"})


@pytest.mark.parametrize(
    ("packages", "cuda", "onnx", "tensorrt", "engine", "says"),
    [
        (EVERYTHING, True, "", "", "tensorrt", "fastest"),
        (
            EVERYTHING,
            True,
            "",
            "stale",
            "torch-graphs",
            r"not tensorrt \(stale: vljepa build-engine m",
        ),
        (EVERYTHING - {"tensorrt"}, True, "", "", "torch-graphs", "pip install tensorrt"),
        (EVERYTHING, False, "", "", "onnxruntime", "fastest"),
        (EVERYTHING, False, "not exported", "", "torch", "not exported: vljepa export m"),
        ({"onnxruntime"}, False, "", "", "onnxruntime", "fastest"),
    ],
)
def test_auto_takes_the_fastest_and_says_why(
    packages: set[str], cuda: bool, onnx: str, tensorrt: str, engine: str, says: str
) -> None:
    choice = choose(Request("auto"), Available(frozenset(packages), cuda, onnx, tensorrt), "m")
    assert choice.engine == engine
    assert re.search(says, choice.reason), choice.reason


def test_the_remedy_names_a_command() -> None:
    stale = Available(EVERYTHING, True, "", "stale")
    assert choose(Request("auto"), stale, "m").remedy == "vljepa build-engine m"
    assert choose(Request("auto"), Available(EVERYTHING, True, "", ""), "m").remedy == ""


@pytest.mark.parametrize(
    ("engine", "packages", "says"),
    [
        ("torch", {"onnxruntime"}, "torch is not installed: pip install torch transformers"),
        ("torch", {"torch"}, "transformers is not installed: pip install transformers"),
        ("tensorrt", EVERYTHING, "it needs a CUDA device"),
        ("torch-graphs", EVERYTHING, "it needs a CUDA device"),
        ("onnxruntime", EVERYTHING, "nothing has been exported: vljepa export m"),
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


def test_requests() -> None:
    assert parse_request("torch-graphs:bf16@cuda:1") == Request("torch-graphs", "bf16", "cuda:1")
    assert parse_request("auto@cpu") == Request("auto", "", "cpu")
    with pytest.raises(ModelError, match="engine is 'cuda', allowed: auto, tensorrt, torch"):
        parse_request("cuda")
    with pytest.raises(ModelError, match="precision is 'int4', allowed: fp32, bf16, fp16"):
        parse_request("torch:int4")


def test_defaults_follow_the_device() -> None:
    both = Available(EVERYTHING, True, "", "")
    assert (choose(Request("torch"), both, "m").device) == "cuda:0"
    assert (choose(Request("torch"), both, "m").precision) == "bf16"
    cpu = choose(Request("auto", device="cpu"), both, "m")
    assert (cpu.engine, cpu.device, cpu.precision) == ("onnxruntime", "cpu", "fp32")
