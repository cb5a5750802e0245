"""Tiny Perception Encoders in the format of `timm/PE-Core-*`: names and shapes of the weights as
open_clip writes them, values drawn here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_hub import image, word_tokenizer

FIXTURE = Path(__file__).parents[1] / "fixtures" / "perception_encoder.json"
VARIANTS = ("tiny", "gigantic")
TEXT = {"context_length": 12, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2}
# Ends with the greatest id, as CLIP's tokenizer does; padding must not matter.
IDS = [[0, 5, 9, 63, 0, 0, 0, 0, 0, 0, 0, 0], [0, 7, 7, 21, 40, 63] + [63] * 6]


def reference() -> dict[str, Any]:
    """What `perception_reference.py` has written."""
    return dict(json.loads(FIXTURE.read_text()))


def frames() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Two images at the model's size: [2, 32, 32, 3]."""
    return np.stack([image(32, 32, 3), image(32, 32, 4)])


def random_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
    """The same values for the same names and shapes."""
    rng = np.random.default_rng(11)
    weights = {}
    for name in sorted(shapes):
        values = rng.standard_normal(shapes[name])
        if name == "logit_scale":
            values = np.float64(4.0)
        elif "norm" in name or ".ln_" in name:
            values = values * 0.1 + (1.0 if name.endswith("weight") else 0.0)
        else:
            fan_in = shapes[name][-1] if len(shapes[name]) > 1 else 1
            values = values * (0.1 if fan_in == 1 else 1.5 * fan_in**-0.5)
        weights[name] = torch.tensor(values, dtype=torch.float32)
    return weights


def tiny_perception(folder: Path, variant: str = "tiny") -> Path:
    found = reference()["variants"][variant]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(found["config"]))
    save_file(random_weights(found["shapes"]), str(folder / "open_clip_model.safetensors"))
    tokenizer = word_tokenizer(["<|startoftext|>", "<unk>"], "", "<|startoftext|>")
    tokenizer.add_special_tokens([f"<{i}>" for i in range(tokenizer.get_vocab_size(), 63)])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", 0), ("<|endoftext|>", 63)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    options = {"pad_token": "<|endoftext|>", "model_max_length": 12}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    return folder
