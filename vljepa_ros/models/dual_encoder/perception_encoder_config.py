"""Sizes of Perception Encoder as the hub has it (`timm/PE-Core-*`): open_clip's files. No torch.

Such a folder holds `open_clip_config.json`, `open_clip_model.safetensors` and CLIP's
`tokenizer.json`. The configuration names the image tower, its sizes are those of the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vljepa_ros.files import JsonMapping
from vljepa_ros.models.config import OPEN_CLIP_CONFIG, ModelError, section, size_of

PERCEPTION_ENCODER = "perception_encoder"
"""Our `model_type` of such a folder."""

_TOWER = re.compile(r"vit_pe_core_(tiny|small|base|large|gigantic)_patch(\d+)_(\d+)(\.\w+)?")
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_TEXT_TOKENIZER = {"hf_tokenizer_name", "tokenizer_kwargs"}


@dataclass(frozen=True)
class PerceptionEncoderSizes:
    """Sizes of both towers.

    Attributes:
        class_token: Whether there is one; the patches then count from 1 in the rotary table.
        dim: Width of the shared space.
    """

    size: int
    patch: int
    width: int
    depth: int
    heads: int
    hidden: int
    pool_hidden: int
    class_token: bool
    dim: int
    words: int
    text_length: int
    text_width: int
    text_heads: int
    text_hidden: int
    text_depth: int
    pool_heads: int = 8

    @property
    def side(self) -> int:
        """Patches along an edge."""
        return self.size // self.patch

    @property
    def positions(self) -> int:
        """Tokens of the image tower."""
        return self.side**2 + int(self.class_token)

    @property
    def head_width(self) -> int:
        """Channels of one head of the image tower."""
        return self.width // self.heads

    @classmethod
    def of(cls, config: JsonMapping, shapes: Mapping[str, Sequence[int]]) -> PerceptionEncoderSizes:
        """Read both.

        Args:
            config: `open_clip_config.json`.
            shapes: Of the weights, by name.

        Raises:
            ModelError: Not a Perception Encoder, an unknown option, or weights
                without the image tower.
        """
        model = section(config, "model_cfg")
        vision, text = section(model, "vision_cfg"), section(model, "text_cfg")
        tower = str(vision.get("timm_model_name"))
        found = _TOWER.fullmatch(tower)
        if not found:
            raise ModelError(
                f"{OPEN_CLIP_CONFIG}: timm_model_name is {tower!r}, which no family takes; "
                "allowed: vit_pe_core_{tiny,small,base,large,gigantic}_patch*"
            )
        strange = set(text) - _TEXT - _TEXT_TOKENIZER
        if strange:
            raise ModelError(
                f"{OPEN_CLIP_CONFIG}: text_cfg has {', '.join(sorted(strange))}; allowed: "
                f"{', '.join(sorted(_TEXT | _TEXT_TOKENIZER))}"
            )
        prefix = "visual.trunk."
        needed = ("patch_embed.proj.weight", "blocks.0.mlp.fc1.weight", "attn_pool.mlp.fc1.weight")
        missing = [prefix + name for name in needed if prefix + name not in shapes]
        if missing:
            raise ModelError(f"the weights are no Perception Encoder's: missing {missing[0]}")
        width, _, patch, _ = shapes[prefix + needed[0]]
        if patch != int(found[2]):
            raise ModelError(
                f"{prefix}{needed[0]} has patches of {patch} pixels, '{tower}' of {found[2]}"
            )
        gigantic = found[1] == "gigantic"
        text_width, heads = size_of(text, "width", 512), size_of(text, "heads", 8)
        ratio = text.get("mlp_ratio", 4.0)
        if text_width % heads or type(ratio) not in (int, float) or not 0.0 < ratio <= 64.0:
            raise ModelError(
                f"{OPEN_CLIP_CONFIG}: text_cfg has heads {heads} for width {text_width} and "
                f"mlp_ratio {ratio!r}, allowed: heads that divide the width, up to 64"
            )
        return cls(
            size=size_of(vision, "image_size", int(found[3])),
            patch=patch,
            width=width,
            depth=1 + max(int(n.split(".")[3]) for n in shapes if n.startswith(f"{prefix}blocks.")),
            heads=max(1, width // (96 if gigantic else 64)),
            hidden=shapes[prefix + needed[1]][0],
            pool_hidden=shapes[prefix + needed[2]][0],
            class_token=not gigantic,
            dim=size_of(model, "embed_dim", 512),
            words=size_of(text, "vocab_size", 49408),
            text_length=size_of(text, "context_length", 77),
            text_width=text_width,
            text_heads=heads,
            text_hidden=int(text_width * ratio),
            text_depth=size_of(text, "layers", 12),
        )
