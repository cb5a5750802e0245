"""Writes `test/fixtures/perception_encoder.json`: what open_clip computes for tiny Perception
Encoders.

Run it where open_clip and timm are installed (`pip install open_clip_torch timm torchvision`, all
built for the same torch); the tests need neither. Only names and shapes of the weights are kept:
the values are drawn again, see `tiny_perception.random_weights`.
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
if torch.version.cuda is None:
    # A torchvision for CUDA beside a torch for the CPU: its operators are not needed here.
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("unused")

import open_clip
import timm
from open_clip.model import CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.models.eva import _create_eva
from timm.models.registry import register_model
from tiny_hub import image
from tiny_perception import FIXTURE, IDS, TEXT, VARIANTS, frames, random_weights

COMMON = {
    "global_pool": "map", "attn_type": "rope", "use_pre_transformer_norm": True,
    "use_rot_pos_emb": True, "ref_feat_shape": (4, 4), "rope_grid_indexing": "xy",
    "attn_pool_num_heads": 8, "img_size": 32, "patch_size": 8, "num_heads": 2,
}  # fmt: skip


@register_model
def vit_pe_core_tiny_patch8_32(pretrained: bool = False, **options: Any) -> Any:
    own = {"embed_dim": 128, "depth": 2, "mlp_ratio": 4.0, "rope_grid_offset": 1.0,
           "attn_pool_mlp_ratio": 4.0}  # fmt: skip
    return build("vit_pe_core_tiny_patch16_384", {**COMMON, **own, **options})


@register_model
def vit_pe_core_gigantic_patch8_32(pretrained: bool = False, **options: Any) -> Any:
    own = {"embed_dim": 192, "depth": 1, "mlp_ratio": 8960 / 1536, "class_token": False,
           "attn_pool_mlp_ratio": 2.0}  # fmt: skip
    return build("vit_pe_core_gigantic_patch14_448", {**COMMON, **own, **options})


def build(name: str, options: dict[str, Any]) -> Any:
    """As timm builds the model of that name, with other sizes."""
    return _create_eva(name, norm_layer=lambda w, **k: torch.nn.LayerNorm(w, eps=1e-5), **options)


def main() -> None:
    result: dict[str, Any] = {
        "made_with": f"open_clip {open_clip.__version__}, timm {timm.__version__}",
        "variants": {},
    }
    for name in VARIANTS:
        vision = {"timm_model_name": f"vit_pe_core_{name}_patch8_32", "image_size": 32,
                  "timm_model_pretrained": False, "timm_pool": "map",
                  "timm_proj": None}  # fmt: skip
        own = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}
        model = CustomTextCLIP(**own).eval()
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
        model.load_state_dict(random_weights(shapes))
        settings = PreprocessCfg(size=32, interpolation="bilinear", resize_mode="squash",
                                 mean=(0.5,) * 3, std=(0.5,) * 3)  # fmt: skip
        transform = image_transform_v2(replace(settings), is_train=False)
        with torch.no_grad():
            pixels = torch.stack([transform(Image.fromarray(f)) for f in frames()])
            seen = model.encode_image(pixels, normalize=True)
            read = model.encode_text(torch.tensor(IDS), normalize=True)
        wide = transform(Image.fromarray(image(40, 56, 7))).permute(1, 2, 0)
        levels = ((wide * 0.5 + 0.5) * 255).round().to(torch.uint8)
        result["variants"][name] = {
            "config": {
                "model_cfg": {**own, "custom_text": True},
                "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3,
                                   "interpolation": "bilinear", "resize_mode": "squash"},
            },
            "shapes": shapes,
            "image_features": [[round(x, 7) for x in row] for row in seen.tolist()],
            "text_features": [[round(x, 7) for x in row] for row in read.tolist()],
            "resized_40x56": levels.numpy().tobytes().hex(),
        }  # fmt: skip
    FIXTURE.write_text(json.dumps(result, indent=1) + "\n")
    print(FIXTURE)


if __name__ == "__main__":
    main()
