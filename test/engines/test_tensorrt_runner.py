"""TensorRT without a GPU: the names that we use, and what is said where it cannot run."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from vljepa_ros.engines import tensorrt_runner
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, Tensor

PART = Part("vision", (Tensor("x", ("batch", 3)),), (Tensor("y", ("batch", 3)),))


NAMES = Path(__file__).parents[1] / "fixtures" / "tensorrt_lean_11.4.txt"


BUILDER_NAMES = {  # not in the lean runtime, which cannot build
    *("Builder", "OnnxParser", "NetworkDefinitionCreationFlag", "MemoryPoolType"),
    *("create_network", "create_builder_config", "create_optimization_profile"),
    *("build_serialized_network", "add_optimization_profile", "create_timing_cache"),
    *("set_timing_cache", "get_timing_cache", "set_memory_pool_limit", "set_shape"),
    *("parse_from_file", "get_error"),
}


def test_every_name_we_use_is_one_of_tensorrts() -> None:
    """Those of the lean runtime, too large to be installed for each test run, are in a file."""
    folder = Path(tensorrt_runner.__file__).parent
    text = (folder / "tensorrt_runner.py").read_text() + (folder / "tensorrt_build.py").read_text()
    objects = "engine|context|builder|network|parser|config|shapes|self._runtime|timing"
    used = set(re.findall(rf"\b(?:{objects})\.([a-z_0-9]+)\(", text))
    used |= set(re.findall(r"(?:trt|self\._trt)\.([A-Z]\w+)", text))
    known = {step for name in NAMES.read_text().splitlines() for step in name.split(".")}
    assert used - known - BUILDER_NAMES == set()
    assert len(used) > 15


def test_old_and_missing_versions_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(name: str) -> SimpleNamespace:
        return SimpleNamespace(__version__="8.6.1")

    monkeypatch.setattr(tensorrt_runner, "import_module", old)
    with pytest.raises(ModelError, match=r"TensorRT 8.6.1 is too old: 10 or newer .*JetPack 6.1"):
        tensorrt_runner.import_builder()

    def nothing(name: str) -> SimpleNamespace:
        raise ImportError(name)

    monkeypatch.setattr(tensorrt_runner, "import_module", nothing)
    with pytest.raises(ModelError, match="not installed: pip install tensorrt"):
        tensorrt_runner.import_runtime()


def test_no_gpu_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorrt_lean_bindings")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    from vljepa_ros.engines.tensorrt_runner import TensorRtRunner

    plan = tmp_path / "vision.plan"
    plan.write_bytes(b"not an engine")
    with pytest.raises(ModelError, match="TensorRT needs a CUDA device"):
        TensorRtRunner([PART], {"vision": plan}, {"vision": ()}, precision="bf16")
