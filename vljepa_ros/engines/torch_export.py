"""Parts as torch modules to ONNX graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from vljepa_ros.engines.parity import example_inputs
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part

OPSET = 18
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def export_parts(
    parts: Sequence[Part],
    modules: Mapping[str, nn.Module],
    folder: Path,
    *,
    precision: str = "fp32",
    sizes: Mapping[str, int] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Path]:
    """Write `folder/<part>.onnx` for each part.

    Inputs and outputs stay float32 whatever the precision, so that every engine has the same edges.

    :param sizes: example sizes of the dynamic axes; the graph takes others too.
    :raises ModelError: unknown precision, or a module that cannot be exported.
    """
    if precision not in _DTYPES:
        raise ModelError(f"precision is {precision!r}, allowed: {', '.join(_DTYPES)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for part in parts:
        progress(f"exporting {part.name} ({precision})")
        module = modules[part.name].cpu().eval()
        if precision != "fp32":
            module = _Half(module, _DTYPES[precision])
        path = folder / f"{part.name}.onnx"
        arrays = example_inputs(part, {**dict.fromkeys(part.axes(), 3), **(sizes or {})})
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        axes = {
            axis: torch.export.Dim(axis, min=1, max=4096)
            if axis != "frames"
            else torch.export.Dim.AUTO
            for axis in part.axes()
        }
        dynamic = {
            tensor.name: {i: axes[dim] for i, dim in enumerate(tensor.dims) if isinstance(dim, str)}
            for tensor in part.inputs
        }
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                program = torch.onnx.export(
                    module,
                    (),
                    kwargs=tensors,
                    dynamo=True,
                    opset_version=OPSET,
                    dynamic_shapes=dynamic,
                    input_names=[tensor.name for tensor in part.inputs],
                    output_names=[tensor.name for tensor in part.outputs],
                    verbose=False,
                )
            assert program is not None
            program.save(str(path), external_data=_bytes(module) > 1_500_000_000)
        except Exception as error:  # torch.export raises many kinds
            raise ModelError(
                f"part '{part.name}' cannot be exported: {str(error).splitlines()[0]}"
            ) from error
        written[part.name] = path
    return written


class _Half(nn.Module):
    """A module computed in half precision between float32 edges."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module.to(dtype)
        self.dtype = dtype

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        cast = {n: t.to(self.dtype) if t.is_floating_point() else t for n, t in inputs.items()}
        result: torch.Tensor = self.module(**cast)
        return result.float()


def _bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())
