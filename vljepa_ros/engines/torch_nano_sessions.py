"""The nano model's graphs as torch modules: the same names, inputs and outputs as its ONNX
graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vljepa_ros.engines.torch_runner import PRECISIONS, torch_device
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_heads import DecoderPrefill, DecoderStep
from vljepa_ros.models.vl_jepa.nano_weights import load_model


class TorchNanoSessions:
    """See `GraphSessions`: torch, on the CPU or a GPU."""

    def __init__(
        self,
        config: ModelConfig,
        names: Iterable[str],
        threads: int = 0,
        *,
        device: str = "auto",
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        """Load `model.safetensors` and keep the modules of `names`.

        :raises ModelError: unknown precision or device, or weights of another architecture.
        """
        if precision not in PRECISIONS:
            raise ModelError(f"precision is {precision!r}, allowed: {', '.join(PRECISIONS)}")
        if threads:
            torch.set_num_threads(threads)
        self.engine = "torch-compiled" if compiled else "torch"
        self.precision = precision
        self._dtype = PRECISIONS[precision]
        self._device = torch_device(device)
        model = load_model(
            config.folder / "model.safetensors", Architecture.from_dict(config.architecture)
        )
        modules: dict[str, nn.Module] = {
            "frame": model.frame,
            "window": model.window,
            "predictor": model.predictor,
            "text_trunk": model.text_trunk,
            "text_head": model.text_head,
            "decoder_prefill": DecoderPrefill(model.y_decoder),
            "decoder_step": DecoderStep(model.y_decoder),
        }
        self._modules: dict[str, Any] = {}
        for name in names:
            module = modules[name].eval().to(self._device)
            self._modules[name] = torch.compile(module) if compiled else module

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    @property
    def device(self) -> str:
        """`cpu` or `cuda:N`."""
        return str(self._device)

    def run(self, name: str, *inputs: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """Outputs of a graph for inputs in the graph's own order.

        :raises ModelError: the graph was not loaded.
        """
        if name not in self._modules:
            raise ModelError(
                f"graph '{name}' is not loaded; loaded: {', '.join(self._modules) or 'none'}"
            )
        with torch.inference_mode():
            tensors = [
                torch.from_numpy(np.require(a, requirements=["C", "W"])).to(self._device)
                for a in inputs
            ]
            # Pixels are scaled in fp32; autocast lowers what gains from it and nothing else.
            with torch.autocast(
                self._device.type, self._dtype, enabled=self._dtype != torch.float32
            ):
                found = self._modules[name](*tensors)
            outputs = (found,) if isinstance(found, torch.Tensor) else found
            return [value.float().cpu().numpy() for value in outputs]

    def close(self) -> None:
        """Free the modules."""
        self._modules.clear()
