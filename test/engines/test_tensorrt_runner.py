"""TensorRT without a GPU: the names that we use, and what is said where it cannot run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from vljepa_ros.engines import tensorrt_runner
from vljepa_ros.engines.tensorrt_runner import BUILDER_NAMES, RUNTIME_NAMES, missing_names
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, Tensor

PART = Part("vision", (Tensor("x", ("batch", 3)),), (Tensor("y", ("batch", 3)),))


NAMES = Path(__file__).parents[1] / "fixtures" / "tensorrt_lean_11.4.txt"


def test_every_runtime_name_is_a_name_of_the_lean_runtime() -> None:
    """The list is that of the real module, which is too large to be installed for each test run
    (150 MB)."""
    known = set(NAMES.read_text().splitlines())
    assert [name for name in RUNTIME_NAMES if name not in known] == []
    assert len(known) > 500


def test_every_runtime_name_exists_in_the_lean_runtime() -> None:
    lean = pytest.importorskip("tensorrt_lean_bindings")
    assert missing_names(lean, RUNTIME_NAMES) == []
    known = [name for name in NAMES.read_text().splitlines()[1:] if missing_names(lean, (name,))]
    if str(lean.__version__).startswith("11.4."):
        assert known == []  # the list is that of this module


def test_missing_names_are_found() -> None:
    module = SimpleNamespace(Runtime=SimpleNamespace(a=1))
    assert missing_names(module, ("Runtime.a", "Runtime.b", "Nothing.at_all")) == [
        "Runtime.b",
        "Nothing.at_all",
    ]


def test_every_builder_name_exists_where_tensorrt_is_whole() -> None:
    whole = pytest.importorskip("tensorrt")
    assert missing_names(whole, BUILDER_NAMES) == []


def test_every_name_we_use_is_in_the_lists() -> None:
    """The lists are what is checked above; a call that is not in them would escape."""
    import re

    folder = Path(tensorrt_runner.__file__).parent
    text = (folder / "tensorrt_runner.py").read_text() + (folder / "tensorrt_build.py").read_text()
    objects = "engine|context|builder|network|parser|config|shapes|self._runtime|timing"
    used = set(re.findall(rf"\b(?:{objects})\.([a-z_0-9]+)\(", text))
    used |= set(re.findall(r"(?:trt|self\._trt)\.([A-Z]\w+)", text))
    listed = {step for n in (*RUNTIME_NAMES, *BUILDER_NAMES) for step in n.split(".")}
    assert used - listed == set()
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
