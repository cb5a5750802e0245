"""Write a model's graphs: ONNX files whose weights lie in the folder's one safetensors file.

Each graph's initializers become external data that points into that file (safetensors is a raw
file behind a header), followed by the few nodes that turn the stored fp16 or int8 into fp32. ONNX
Runtime folds these nodes when it loads, so they cost nothing per call. Needs torch and onnx.
"""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import Tensor, nn

from vljepa_ros.models.parts import Part
from vljepa_ros.models.parts import Tensor as Declared
from vljepa_ros.models.vl_jepa.nano_weights import SCALE, unpack

WEIGHTS = "model.safetensors"
OPSET = 20
_INT8_PART = "text_trunk."
_TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT, "I8": TensorProto.INT8}


@dataclass(frozen=True)
class Graph:
    """What one ONNX file is made of.

    Attributes:
        part: Its inputs and outputs.
        module: What computes it.
        prefixes: Of its parameters: start of the module's name for them -> start of the name in the
            weights file; the first that fits counts.
        folded: Whether constants are. ONNX Runtime joins an activation to the convolution before it
            only if its limits are constants; but weights that are transposed before they are used
            would be folded into the graph's file.
    """

    part: Part
    module: nn.Module
    prefixes: Mapping[str, str]
    folded: bool = False


def write_graphs(
    graphs: Mapping[str, Graph],
    state: dict[str, Tensor],
    folder: Path,
    free: Mapping[str, int],
) -> dict[str, str]:
    """Write the weights file and the graphs into `folder`; returns part -> file name.

    Args:
        graphs: By the name of the part.
        state: All parameters, see `pack`; the modules must have been given them `rounded`.
        folder: Is made.
        free: A size for each free axis, different ones, at which the modules are traced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(pack(state), str(folder / WEIGHTS), metadata={"format": "pt"})
    layout = _layout(folder / WEIGHTS)
    files = {"weights": WEIGHTS}
    for name, graph in graphs.items():
        proto = _trace(graph, free)
        _point_into(proto, graph.prefixes, layout)
        for info in (proto.graph.node, proto.graph.input, proto.graph.output):
            for entry in info:
                entry.ClearField("metadata_props")
                entry.ClearField("doc_string")
        del proto.graph.value_info[:], proto.metadata_props[:]
        files[name] = f"{name}.onnx"
        onnx.save(proto, str(folder / files[name]))
    return files


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """fp32 parameters as they are stored: fp16, or int8 rows with a scale.

    The scales are `<name>.scale`, [rows, 1] float32.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        value = tensor.detach().float().cpu()
        if name.startswith(_INT8_PART) and name.endswith("weight") and value.ndim == 2:
            scale = value.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            stored[name] = (value / scale).round().clamp(-127, 127).to(torch.int8).contiguous()
            stored[name + SCALE] = scale.contiguous()
        else:
            stored[name] = value.half().contiguous()
    return stored


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """fp32 parameters as they come back from the file. Idempotent."""
    return unpack(pack(state))


def _example(tensor: Declared, free: Mapping[str, int]) -> Tensor:
    """Any values of a declared shape."""
    dims = [free[dim] if isinstance(dim, str) else dim for dim in tensor.dims]
    return torch.ones(dims, dtype=getattr(torch, tensor.dtype))


def _trace(graph: Graph, free: Mapping[str, int]) -> Any:
    part = graph.part
    # DYNAMIC lets the tracer find out which axes must agree; axes of the same name do.
    axes = [
        {axis: torch.export.Dim.DYNAMIC for axis, dim in enumerate(t.dims) if isinstance(dim, str)}
        for t in part.inputs
    ]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(_example(tensor, free) for tensor in part.inputs),
            dynamo=True,
            input_names=[tensor.name for tensor in part.inputs],
            output_names=[tensor.name for tensor in part.outputs],
            dynamic_shapes=tuple(some or None for some in axes),
            opset_version=OPSET,
            optimize=graph.folded,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _layout(weights: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """Tensor name -> safetensors type, shape, offset and length in the file."""
    with weights.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    start = 8 + size
    return {
        name: (entry["dtype"], entry["shape"], start + entry["data_offsets"][0],
               entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }  # fmt: skip


def _external(name: str, layout: tuple[str, list[int], int, int]) -> TensorProto:
    kind, shape, offset, length = layout
    tensor = TensorProto(name=name, data_type=_TYPES[kind], dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _point_into(
    model: Any, prefixes: Mapping[str, str], layout: dict[str, tuple[str, list[int], int, int]]
) -> None:
    """Replace the initializers that are parameters, and the nodes that widen them.

    External ones take their place; of a table that only rows are taken from, the rows.
    """
    kept, external, nodes = [], [], list(model.graph.node)
    for initializer in model.graph.initializer:
        name = initializer.name
        start = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        own = prefixes.get(start, "") + name.removeprefix(start)
        if own not in layout:
            kept.append(initializer)
            continue
        factor = f"{name}.scale" if own + SCALE in layout else ""
        external.append(_external(f"{name}.stored", layout[own]))
        if factor:
            external.append(_external(factor, layout[own + SCALE]))
        takers = [node for node in nodes if name in node.input]
        if not all(node.op_type == "Gather" and node.input[0] == name for node in takers):
            nodes[:0] = _widened(f"{name}.stored", factor, name)
            continue
        for node in takers:
            rows, out = f"{node.output[0]}.stored", node.output[0]
            taken = [helper.make_node("Gather", [f"{name}.stored", node.input[1]], [rows])]
            if factor:
                taken.append(helper.make_node("Gather", [factor, node.input[1]], [f"{out}.scale"]))
            place = nodes.index(node)
            nodes[place : place + 1] = taken + _widened(rows, factor and f"{out}.scale", out)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend([*kept, *external])
    model.graph.node.extend(nodes)


def _widened(stored: str, factor: str, out: str) -> list[Any]:
    """The nodes from stored numbers to float32 ones."""
    wide = f"{out}.wide" if factor else out
    nodes = [helper.make_node("Cast", [stored], [wide], to=TensorProto.FLOAT)]
    return nodes + ([helper.make_node("Mul", [wide, factor], [out])] if factor else [])
