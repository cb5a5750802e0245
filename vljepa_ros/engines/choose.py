"""Which engine runs a model: what was asked for, what is here, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vljepa_ros.models.config import ModelError

__all__ = ["ENGINE_NAMES", "Available", "Choice", "Request", "choose", "parse_request"]

ENGINE_NAMES = ("auto", "tensorrt", "torch", "torch-compiled", "torch-graphs", "onnxruntime")
PRECISIONS = ("fp32", "bf16", "fp16")
_INSTALL = {
    "torch": "pip install torch transformers",
    "transformers": "pip install transformers",
    "tensorrt": "pip install tensorrt",
    "onnxruntime": "pip install onnxruntime",
}


@dataclass(frozen=True)
class Request:
    """What a user asked for: `ENGINE[:PRECISION][@DEVICE]`; precision and device `` : the
    default."""

    engine: str
    precision: str = ""
    device: str = ""


@dataclass(frozen=True)
class Available:
    """What this machine and this model have.

    packages: installed ones, of torch, transformers, onnxruntime, tensorrt; cuda: a GPU that torch
    sees; onnx, tensorrt: why the model's exported graphs or built engine cannot be used, empty if
    they can;
    engines: those that the family has.
    """

    packages: frozenset[str]
    cuda: bool
    onnx: str = "nothing has been exported"
    tensorrt: str = "no engine has been built"
    engines: frozenset[str] = frozenset(ENGINE_NAMES)


@dataclass(frozen=True)
class Choice:
    """engine: a name of `ENGINE_NAMES` other than auto. reason: one line for the log.

    remedy: a command that would make it faster, empty if there is none.
    """

    engine: str
    precision: str
    device: str
    reason: str
    remedy: str = ""


def parse_request(text: str) -> Request:
    """Read `auto`, `torch`, `torch:bf16`, `torch-graphs:bf16@cuda:1`.

    :raises ModelError: unknown engine or precision.
    """
    match = re.fullmatch(r"([a-z-]+)(?::([a-z0-9]+))?(?:@(\S+))?", text)
    engine, precision, device = match.groups(default="") if match else (text, "", "")
    if engine not in ENGINE_NAMES:
        raise ModelError(f"engine is {text!r}, allowed: {', '.join(ENGINE_NAMES)}")
    if precision and precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}, allowed: {', '.join(PRECISIONS)}")
    return Request(engine, precision, device)


def choose(request: Request, available: Available, model: str) -> Choice:
    """The engine that runs; `auto` takes the fastest one that can.

    :param model: as the user names it, for the commands in messages.
    :raises ModelError: what was asked for cannot run here; the message says what would help.
    """
    if request.engine != "auto":
        obstacle = _obstacle(request.engine, request.device, available, model)
        if obstacle:
            raise ModelError(f"engine '{request.engine}' cannot run '{model}': {obstacle}")
        return _choice(request, request.engine, available, "asked for")
    order = ["tensorrt", "torch-graphs", "torch", "onnxruntime"]
    if not available.cuda or request.device.startswith("cpu"):
        # On a CPU, ONNX Runtime is the faster of the two wherever both run the same graph.
        order = ["onnxruntime", "torch"]
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
    needs = {"torch": ("torch", "transformers"), "onnxruntime": ("onnxruntime",)}
    kind = engine.split("-")[0]
    for package in needs.get(kind, ("tensorrt", "torch")):
        if package not in available.packages:
            return f"{package} is not installed: {_INSTALL[package]}"
    if engine in ("tensorrt", "torch-graphs") and (not available.cuda or device.startswith("cpu")):
        return "it needs a CUDA device"
    if engine == "tensorrt" and available.tensorrt:
        return f"{available.tensorrt}: vljepa build-engine {model}"
    if engine == "onnxruntime" and available.onnx:
        return f"{available.onnx}: vljepa export {model}"
    return ""


def _choice(
    request: Request, engine: str, available: Available, reason: str, remedy: str = ""
) -> Choice:
    on_gpu = available.cuda and not request.device.startswith("cpu")
    device = request.device or ("cuda:0" if on_gpu else "cpu")
    precision = request.precision or ("bf16" if on_gpu and engine != "onnxruntime" else "fp32")
    return Choice(engine, precision, device, f"{engine}: {reason}", remedy)


def _remedy(passed: list[str], model: str) -> str:
    if any(entry.startswith("tensorrt (") and "build-engine" in entry for entry in passed):
        return f"vljepa build-engine {model}"
    if any(entry.startswith("onnxruntime (") and "vljepa export" in entry for entry in passed):
        return f"vljepa export {model}"
    return ""
