"""Memory of this process while engines run: on the GPU where torch sees one, else resident."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

_STATUS = "/proc/self/status"


def held_mib() -> float:
    """What is held now: all of the GPU that is not free (TensorRT and ONNX Runtime allocate past
    torch), or the resident set."""
    torch = _gpu()
    if torch is not None:
        free, total = torch.cuda.mem_get_info()
        return float(total - free) / 2**20
    return _status("VmRSS")


def start_peak() -> float:
    """Forget the peak; returns what is held now, in the unit and place of `peak_mib`."""
    torch = _gpu()
    if torch is not None:
        torch.cuda.reset_peak_memory_stats()
        return float(torch.cuda.memory_allocated()) / 2**20
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:  # not allowed in every container: then the peak is that of the whole run
        pass
    return _status("VmRSS")


def peak_mib() -> float:
    """The most that was held since `start_peak`; on a GPU, by torch."""
    torch = _gpu()
    if torch is not None:
        return float(torch.cuda.max_memory_allocated()) / 2**20
    return _status("VmHWM")


def _gpu() -> Any:
    if find_spec("torch") is None:
        return None
    import torch

    return torch if torch.cuda.is_available() else None


def _status(field: str) -> float:
    with open(_STATUS, encoding="ascii") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0
