"""Selects the engine for a model from the request and what is installed, with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vljepa_ros.models.config import ModelError

ENGINE_NAMES = (
    "auto",
    "tensorrt",
    "torch",
    "torch-compiled",
    "torch-graphs",
    "onnxruntime",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
)
PRECISIONS = ("fp32", "bf16", "fp16")
_GPU_ONLY = ("tensorrt", "torch-graphs", "onnxruntime-cuda", "onnxruntime-tensorrt")
_PROVIDERS = {
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}
# ONNX Runtime's TensorRT provider is never chosen automatically: it builds its engines when it is
# loaded, which takes minutes, too long for `configure`.
_ON_GPU = ("tensorrt", "torch-graphs", "onnxruntime-cuda", "torch", "onnxruntime")
# On a CPU, ONNX Runtime is the faster of the two wherever both run the same graph.
_ON_CPU = ("onnxruntime", "torch")


@dataclass(frozen=True)
class Request:
    """An engine as a user names it: `ENGINE[:PRECISION][@DEVICE]`; an empty part is the default."""

    engine: str
    precision: str = ""
    device: str = ""


@dataclass(frozen=True)
class Available:
    """What this machine and this model support.

    Attributes:
        packages: Installed packages, of torch, transformers, onnxruntime, tensorrt.
        cuda: Whether there is a GPU.
        onnx: Why the exported graphs cannot be used; empty: they can.
        tensorrt: Why the built engine cannot be used; empty: it can.
        engines: Engines of the family.
        providers: Execution providers of ONNX Runtime.
        torch_needs: Packages that the model needs with torch.
        precisions: Precisions of the family's engines.
    """

    packages: frozenset[str]
    cuda: bool
    onnx: str = "nothing has been exported"
    tensorrt: str = "no engine has been built"
    engines: frozenset[str] = frozenset(ENGINE_NAMES)
    providers: frozenset[str] = frozenset({"CPUExecutionProvider"})
    torch_needs: tuple[str, ...] = ("torch", "transformers")
    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Choice:
    """The selected engine.

    Attributes:
        engine: A name from `ENGINE_NAMES` other than auto.
        precision: fp32, bf16 or fp16.
        device: Such as cpu or cuda:0.
        reason: One line for the log.
        remedy: A command that would make it faster; empty: none.
    """

    engine: str
    precision: str
    device: str
    reason: str
    remedy: str = ""


def parse_request(text: str, device: str = "") -> Request:
    """Parse an engine such as `auto`, `torch:bf16` or `torch-graphs:bf16@cuda:1`.

    `onnxruntime@cuda` is `onnxruntime-cuda`.

    Args:
        text: The engine as a user writes it.
        device: Default device, that of the model.

    Raises:
        ModelError: Unknown engine or precision.
    """
    match = re.fullmatch(r"([a-z-]+)(?::([a-z0-9]+))?(?:@(\S+))?", text)
    engine, precision, given = match.groups(default="") if match else (text, "", "")
    if engine not in ENGINE_NAMES:
        raise ModelError(f"engine is {text!r}, allowed: {', '.join(ENGINE_NAMES)}")
    if precision and precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}, allowed: {', '.join(PRECISIONS)}")
    given = given or device
    if engine == "onnxruntime" and given.startswith("cuda"):
        engine = "onnxruntime-cuda"
    return Request(engine, precision, given)


def choose(request: Request, available: Available, model: str) -> Choice:
    """Choose the engine; `auto` means the fastest one that can run.

    Args:
        request: The user's request.
        available: What this machine and the model support.
        model: Name of the model, for the commands in messages.

    Raises:
        ModelError: The request cannot be met; the message has a remedy.
    """
    if request.precision and request.precision not in available.precisions:
        raise ModelError(
            f"'{model}' does not run in {request.precision} by itself; allowed: "
            f"{', '.join(available.precisions)}"
        )
    if request.engine != "auto":
        obstacle = _obstacle(request.engine, request.device, available, model)
        if obstacle:
            raise ModelError(f"engine '{request.engine}' cannot run '{model}': {obstacle}")
        return _choice(request, request.engine, available, "asked for")
    on_gpu = available.cuda and not request.device.startswith("cpu")
    # An engine that the family does not have needs no mention in the reason.
    order = [name for name in (_ON_GPU if on_gpu else _ON_CPU) if name in available.engines]
    passed: list[str] = []
    for engine in order:
        obstacle = _obstacle(engine, request.device, available, model)
        if not obstacle:
            why = "the fastest engine that can run here"
            if passed:
                why += "; not " + "; not ".join(passed)
            return _choice(request, engine, available, why, _remedy(passed, model))
        passed.append(f"{engine} ({obstacle})")
    raise ModelError(f"no engine can run '{model}' here: {'; '.join(passed)}")


def _obstacle(engine: str, device: str, available: Available, model: str) -> str:
    if engine not in available.engines:
        allowed = ", ".join(name for name in ENGINE_NAMES if name in available.engines)
        return f"this family has no such engine; allowed: {allowed}"
    kind = engine.split("-")[0]
    needs = {"torch": available.torch_needs, "onnxruntime": ("onnxruntime",)}
    needed = needs.get(kind, ("tensorrt", "torch"))
    missing = [package for package in needed if package not in available.packages]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return f"{' and '.join(missing)} {verb} not installed: pip install {' '.join(missing)}"
    provider = _PROVIDERS.get(engine)
    if provider and provider not in available.providers:
        seen = ", ".join(sorted(available.providers))
        return f"this ONNX Runtime has no {provider} (it has {seen}): pip install onnxruntime-gpu"
    if engine in _GPU_ONLY and (not available.cuda or device.startswith("cpu")):
        return "it needs a CUDA device"
    if engine == "tensorrt" and available.tensorrt:
        return f"{available.tensorrt}: vljepa build-engine {model}"
    if kind == "onnxruntime" and available.onnx:
        return f"{available.onnx}: vljepa export {model}"
    return ""


def _choice(
    request: Request, engine: str, available: Available, reason: str, remedy: str = ""
) -> Choice:
    on_gpu = available.cuda and not request.device.startswith("cpu") and engine != "onnxruntime"
    device = request.device or ("cuda:0" if on_gpu else "cpu")
    if device == "cuda":
        device = "cuda:0"
    half = on_gpu and not engine.startswith("onnxruntime") and "bf16" in available.precisions
    precision = request.precision or ("bf16" if half else available.precisions[0])
    return Choice(engine, precision, device, f"{engine}: {reason}", remedy)


def _remedy(passed: list[str], model: str) -> str:
    if any(entry.startswith("tensorrt (") and "build-engine" in entry for entry in passed):
        return f"vljepa build-engine {model}"
    if any(entry.startswith("onnxruntime") and "vljepa export" in entry for entry in passed):
        return f"vljepa export {model}"
    return ""


def gpu_index(device: str) -> int:
    """The number of `cuda:N`.

    Raises:
        ModelError: No such form.
    """
    name, _, index = device.partition(":")
    if name != "cuda" or not index.isdigit():
        raise ModelError(f"device is {device!r}, allowed: cuda:N")
    return int(index)


def provider_device(choice: Choice) -> tuple[str, int]:
    """Kind of provider (`cpu`, `cuda`, `tensorrt`) and index of the GPU for ONNX Runtime.

    Raises:
        ModelError: A device that is neither `cpu` nor `cuda:N`.
    """
    if choice.engine == "onnxruntime":
        if choice.device != "cpu":
            raise ModelError(f"device is {choice.device!r}, allowed: cpu, cuda:N")
        return "cpu", 0
    return choice.engine.split("-")[1], gpu_index(choice.device)


_TENSORRT = ("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings")
# A PC's driver, and that of a Jetson, which has no /dev/nvidia0.
_GPU_FILES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg")


def installed_packages() -> frozenset[str]:
    """Installed packages, of torch, transformers, onnxruntime, tensorrt; none is imported."""
    found = {name for name in ("torch", "transformers", "onnxruntime") if find_spec(name)}
    if any(find_spec(name) for name in _TENSORRT):
        found.add("tensorrt")
    return frozenset(found)


def has_gpu() -> bool:
    """Whether there is a CUDA device: asks torch, or without it looks for the driver's files."""
    if find_spec("torch") is None:
        return any(Path(name).exists() for name in _GPU_FILES)
    import torch

    return torch.cuda.is_available()


def onnxruntime_providers() -> frozenset[str]:
    """Execution providers of the installed ONNX Runtime."""
    if find_spec("onnxruntime") is None:
        return frozenset()
    import onnxruntime

    return frozenset(onnxruntime.get_available_providers())
