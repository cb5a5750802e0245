"""The towers of a dual encoder as torch modules, from a folder in hub format."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.inputs import patch_size
from vljepa_ros.models.dual_encoder.perception_encoder import ImageTower, TextTower
from vljepa_ros.models.dual_encoder.perception_encoder_config import (
    PERCEPTION_ENCODER,
    PerceptionEncoderSizes,
)
from vljepa_ros.models.hub_weights import check_sizes, fill, load_hub_model, read_tensors
from vljepa_ros.models.torch_preprocessing import PixelInput
from vljepa_ros.models.weight_files import tensor_shapes


def load_towers(config: ModelConfig, parts: frozenset[str]) -> dict[str, nn.Module]:
    """The modules `vision` (on 8-bit frames, see `PixelInput`) and `text`, in fp32, for inference.

    `parts` says which of them.

    Raises:
        ModelError: The weights do not match the configuration; the message names the tensors.
    """
    kind = config.architecture["model_type"]
    classes = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
    if kind == PERCEPTION_ENCODER:
        return _perception_encoder(config, parts)
    if kind not in classes:
        raise ModelError(
            f"a dual encoder's model_type is {kind!r}, allowed: "
            f"{', '.join([*classes, PERCEPTION_ENCODER])}"
        )
    import transformers

    model = load_hub_model(getattr(transformers, classes[kind]), config.folder)
    towers: dict[str, nn.Module] = {}
    if "vision" in parts:
        patch = patch_size(config)
        tower = (
            _PatchTower(model.vision_model, config.input_size // patch)
            if patch
            else _ImageTower(model.vision_model, getattr(model, "visual_projection", None))
        )
        towers["vision"] = PixelInput(tower, config.preprocessing, "pixel_values", patch).eval()
    if "text" in parts:
        towers["text"] = _TextTower(model.text_model, getattr(model, "text_projection", None))
    return towers


def _perception_encoder(config: ModelConfig, parts: frozenset[str]) -> dict[str, nn.Module]:
    sizes = PerceptionEncoderSizes.of(config.architecture, tensor_shapes(config.folder))
    file = config.path("weights")
    weights = read_tensors(file)

    def filled(kind: type[ImageTower] | type[TextTower], prefix: str) -> nn.Module:
        own = {n.removeprefix(prefix): x for n, x in weights.items() if n.startswith(prefix)}
        where = f"'{file}' ({prefix[:-1]})"
        check_sizes(lambda: kind(sizes), (x.shape for x in own.values()), where)
        tower = kind(sizes)
        fill(tower, own, where)
        return tower

    towers: dict[str, nn.Module] = {}
    if "vision" in parts:
        vision = filled(ImageTower, "visual.trunk.")
        towers["vision"] = PixelInput(vision, config.preprocessing, "pixel_values")
    if "text" in parts:
        towers["text"] = filled(TextTower, "text.")
    for tower in towers.values():
        tower.eval().requires_grad_(False)
    return towers


class _Tower(nn.Module):
    """One of transformers' towers and its way into the shared space, if it has one."""

    def __init__(self, model: nn.Module, projection: nn.Module | None) -> None:
        super().__init__()
        self.model = model
        self.projection = projection or nn.Identity()


class _ImageTower(_Tower):
    """[B, 3, S, S] float32 pixels to [B, D] features."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        pooled: Tensor = self.projection(self.model(pixel_values=pixel_values).pooler_output)
        return pooled


class _PatchTower(nn.Module):
    """[B, N, 3 * P * P] float32 patches of a square image to [B, D] features.

    transformers resizes the position table in a loop over the images, which cannot be exported; all
    our images are square and of one size, so the table is resized once, by its own function.
    """

    model: Any
    positions: Tensor

    def __init__(self, model: Any, side: int) -> None:
        super().__init__()
        self.model = model
        embeddings = model.embeddings
        table = embeddings.position_embedding.weight.detach()
        edge = embeddings.position_embedding_size
        with torch.no_grad():
            positions = embeddings.resize_positional_embeddings(
                table.reshape(edge, edge, -1), torch.tensor([[side, side]]), max_length=side * side
            )
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        model = self.model
        patches = pixel_values.to(self.positions.dtype)
        hidden = model.embeddings.patch_embedding(patches) + self.positions
        hidden = model.encoder(inputs_embeds=hidden).last_hidden_state
        pooled: Tensor = model.head(model.post_layernorm(hidden))
        return pooled


class _TextTower(_Tower):
    """[B, L] ids to [B, D] features."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        out = self.model(input_ids=input_ids, attention_mask=attention_mask)
        pooled: Tensor = self.projection(out.pooler_output)
        return pooled
