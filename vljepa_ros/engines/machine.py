"""What this machine has to run models with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_TENSORRT = ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings")
# A PC's driver, and that of a Jetson, which has no /dev/nvidia0.
_GPU_FILES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg")


def packages() -> frozenset[str]:
    """Installed ones, of torch, transformers, onnxruntime, tensorrt; none is imported."""
    found = {name for name in ("torch", "transformers", "onnxruntime") if find_spec(name)}
    if any(find_spec(name) for name in _TENSORRT):
        found.add("tensorrt")
    return frozenset(found)


def has_gpu() -> bool:
    """Whether there is a CUDA device: by torch, or by the driver's files where torch is missing."""
    if find_spec("torch") is None:
        return any(Path(name).exists() for name in _GPU_FILES)
    import torch

    return torch.cuda.is_available()


def providers() -> frozenset[str]:
    """Execution providers of the installed ONNX Runtime."""
    if find_spec("onnxruntime") is None:
        return frozenset()
    import onnxruntime

    return frozenset(onnxruntime.get_available_providers())
