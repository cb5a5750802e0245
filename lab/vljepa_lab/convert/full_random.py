"""A full-sized VL-JEPA with random weights, for measuring speed: no checkpoint is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.models.config import ModelConfig
from vljepa_ros.models.vl_jepa.paper_config import EMBEDDING_GEMMA_300M, LLAMA_3_2_1B
from vljepa_ros.models.vl_jepa.paper_text import TokenTable

_VJEPA2_L: dict[str, Any] = {
    "model_type": "vjepa2",
    "patch_size": 16,
    "crop_size": 256,
    "frames_per_clip": 64,
    "tubelet_size": 2,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "mlp_ratio": 4.0,
}


def random_config(frames: int = 8, tiny: bool = False) -> ModelConfig:
    """The paper's sizes; tiny: the same shape at sizes that a CPU runs in milliseconds."""
    vision, llama, gemma = dict(_VJEPA2_L), dict(LLAMA_3_2_1B), dict(EMBEDDING_GEMMA_300M)
    if tiny:
        vision |= {"crop_size": 64, "hidden_size": 96, "num_attention_heads": 4}
        vision |= {"num_hidden_layers": 2, "frames_per_clip": 8}
        llama |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
        llama |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
        gemma |= {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
        gemma |= {"head_dim": 16, "query_pre_attn_scalar": 16, "vocab_size": 512}
    # The masked predictor of V-JEPA 2 is not built, but its configuration class checks its sizes.
    vision |= {"pred_hidden_size": 384, "pred_num_attention_heads": 12}
    return ModelConfig(
        folder=Path("random"),
        name="full-tiny-random" if tiny else "full-random",
        family="vl_jepa",
        model_id="full-tiny-random" if tiny else "full-random",
        dim=64 if tiny else 1536,
        clip_frames=frames,
        frame_interval=1.0,
        input_size=int(vision["crop_size"]),
        default_query="ids: 1 2 3 4 5 6 7 8",  # it has no tokenizer
        architecture={"form": "full", "x_encoder": vision, "predictor": llama, "y_encoder": gemma},
        preprocessing={"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    )


def random_table(config: ModelConfig, words: int = 1024) -> TokenTable:
    """A token table of the Predictor's width."""
    width = int(config.architecture["predictor"]["hidden_size"])
    values = np.random.default_rng(0).standard_normal((words, width)) * 0.02
    return TokenTable(values.astype(np.float32))
