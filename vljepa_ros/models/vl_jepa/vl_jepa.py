"""The whole VL-JEPA: its parts under the names that the weights file uses. Needs torch."""

from __future__ import annotations

from torch import nn

from vljepa_ros.models.vl_jepa.architecture import Architecture
from vljepa_ros.models.vl_jepa.predictor import Predictor
from vljepa_ros.models.vl_jepa.x_encoder import FrameStage, WindowStage
from vljepa_ros.models.vl_jepa.y_decoder import YDecoder
from vljepa_ros.models.vl_jepa.y_encoder import TextHead, TextTrunk


class VLJEPA(nn.Module):
    """X-Encoder (`frame`, `window`), `predictor`, Y-Encoder (`text_trunk`, `text_head`),
    `y_decoder`.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        sizes = architecture
        cells = sizes.frame.grid**2
        self.architecture = architecture
        self.frame = FrameStage(sizes.frame)
        self.window = WindowStage(sizes.window, sizes.frame.dim, cells)
        self.predictor = Predictor(
            sizes.predictor, sizes.window.dim, sizes.text.dim, sizes.dim, cells
        )
        self.text_trunk = TextTrunk(sizes.text)
        self.text_head = TextHead(sizes.text, sizes.dim)
        self.y_decoder = YDecoder(sizes.y_decoder, sizes.dim)
        self.text_trunk.requires_grad_(False)


def trainable_parameters(model: nn.Module) -> int:
    """Number of parameters that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
