"""Where a training process runs: its device, its arithmetic, and the other processes beside it.

One process needs nothing. Under `torchrun --nproc-per-node N -m vljepa_lab.training.nano ...` each
process draws its own batches, gradients are averaged over all of them, the first one decides when
a phase ends, and only the first one writes. Needs torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class DistributedContext:
    """rank of this process among `processes`; bf16: matrix products in bfloat16 (autocast)."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    processes: int = 1
    bf16: bool = False

    @classmethod
    def here(cls, device: str = "auto", precision: str = "auto") -> DistributedContext:
        """This process, as torchrun's variables say, and the others if there are any.

        device: auto takes a GPU where there is one. precision: auto is bf16 on a GPU that has it,
        fp32 on a CPU.

        Raises:
            ValueError: an unknown device or precision, or cuda where there is none.
        """
        for name, value, allowed in (
            ("device", device, DEVICES),
            ("precision", precision, PRECISIONS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} {value!r} is unknown; allowed are {', '.join(allowed)}")
        has_gpu = torch.cuda.is_available()
        if device == "cuda" and not has_gpu:
            raise ValueError("device cuda: torch finds no GPU here; allowed are auto and cpu")
        rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        chosen = torch.device("cpu")
        if has_gpu and device != "cpu":
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            torch.cuda.set_device(chosen)
        if processes > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        bf16 = precision == "bf16" or (
            precision == "auto" and chosen.type == "cuda" and torch.cuda.is_bf16_supported()
        )
        return cls(chosen, rank, processes, bf16)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def close(self) -> None:
        """Leave the other processes."""
        if self.processes > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def autocast(self) -> AbstractContextManager[object]:
        """Around a forward pass."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.processes > 1:
            torch.distributed.barrier()

    def agreed(self, *values: float) -> tuple[float, ...]:
        """The first process's values in all of them."""
        if self.processes == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(shared, 0)
        return tuple(shared.tolist())

    def same_start(self, modules: Iterable[nn.Module]) -> None:
        """Give all processes the weights and buffers of the first one."""
        if self.processes > 1:
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    torch.distributed.broadcast(tensor.data, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean over all processes; one that has no gradient counts as zero."""
        if self.processes == 1:
            return
        wanted = [p for p in parameters if p.requires_grad]
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in wanted]
        )
        torch.distributed.all_reduce(flat)
        flat /= self.processes
        start = 0
        for p in wanted:
            p.grad = flat[start : start + p.numel()].view_as(p).clone()
            start += p.numel()


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are."""
    return next(module.parameters()).device


def to_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The same tensors on a device."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}
