"""Converts a `best.pt` of open-vljepa to a model folder in safetensors.

So no node ever reads a pickle.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.vl_jepa.paper_config import EMBEDDING_GEMMA_300M, LLAMA_3_2_1B
from vljepa_ros.models.vl_jepa.paper_folder import (
    PaperParts,
    check_empty,
    load_x_encoder,
    part_config,
    write_paper_model,
)

LICENCE = (
    "X-Encoder: V-JEPA 2 (MIT; hub card Apache-2.0). Predictor: derived from Llama 3.2 "
    "(Llama 3.2 Community License). Y-Encoder: derived from EmbeddingGemma (Gemma Terms of Use). "
    "open-vljepa's code and checkpoint carry no licence file."
)
_CARD = """# {name}

Converted from an open-vljepa checkpoint. {licence}

It was trained on 8 frames spread evenly over a whole video clip (MSR-VTT: 10 to 30 s), so \
`frame_interval` is one second: a shorter window is outside of what it has seen. \
No VQA stage, no Y-Decoder: texts are the nearest of the vocabulary.
"""


def convert_open_vljepa(
    checkpoint: Path,
    out: Path,
    x_encoder: Path,
    *,
    predictor_config: Path | None = None,
    y_encoder_config: Path | None = None,
    query_tokenizer: Path | None = None,
    text_tokenizer: Path | None = None,
    name: str = "open-vljepa",
    clip_frames: int = 8,
    clip_duration: float = 8.0,
) -> Path:
    """Write a model folder.

    Args:
        checkpoint: `{"model_state_dict": ...}` with the keys `predictor.*` and `y_encoder.*`.
        out: The folder to write.
        x_encoder: Folder in hub format of the V-JEPA 2 trunk, which the checkpoint lacks.
        predictor_config: Folder or `config.json` of other sizes than Llama-3.2-1B's.
        y_encoder_config: The same for EmbeddingGemma-300M.
        query_tokenizer: The Predictor's `tokenizer.json`; None: queries are given as token ids.
        text_tokenizer: The Y-Encoder's.
        name: The model's name.
        clip_frames: Frames of a clip.
        clip_duration: Seconds that the clip's frames are spread over.

    Returns:
        `out`.

    Raises:
        ModelError: Not such a checkpoint, or tensors that do not match; the message names them.
    """
    check_empty(out)
    state = _read_checkpoint(checkpoint)
    trunk_config = part_config(x_encoder, {}, "vjepa2")
    llama = part_config(predictor_config, LLAMA_3_2_1B, "llama")
    gemma = part_config(y_encoder_config, EMBEDDING_GEMMA_300M, "gemma3_text")
    layers = {int(k.split(".")[1]) for k in state["predictor"] if k.startswith("layers.")}
    llama = {**llama, "num_hidden_layers": len(layers)}
    table = state["predictor"].pop("embed_tokens.weight", None)
    if table is None or "out_proj.weight" not in state["predictor"]:
        raise ModelError(
            f"'{checkpoint}' lacks predictor.embed_tokens.weight or predictor.out_proj.weight"
        )
    if table.shape[1] != llama["hidden_size"]:
        raise ModelError(
            f"predictor.embed_tokens.weight is {tuple(table.shape)}, the Predictor's "
            f"configuration says hidden_size {llama['hidden_size']}"
        )
    return write_paper_model(
        out,
        PaperParts(
            weights={"x_encoder": load_x_encoder(x_encoder), **state},
            configs={"x_encoder": trunk_config, "predictor": llama, "y_encoder": gemma},
            table=table,
            source=f"'{checkpoint}'",
        ),
        name=name,
        licence=LICENCE,
        card=_CARD.format(name=name, licence=LICENCE),
        query_tokenizer=query_tokenizer,
        text_tokenizer=text_tokenizer,
        clip_frames=clip_frames,
        clip_duration=clip_duration,
    )


def _read_checkpoint(file: Path) -> dict[str, dict[str, Tensor]]:
    if not file.is_file():
        raise ModelError(f"no checkpoint at '{file}'")
    try:
        raw = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch raise their own kinds
        raise ModelError(
            f"'{file}' cannot be read as weights: {str(error).splitlines()[0]}"
        ) from error
    state = raw.get("model_state_dict") if isinstance(raw, dict) else None
    if not isinstance(state, dict):
        found = ", ".join(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ModelError(
            f"'{file}' holds {found}; expected model_state_dict, as open-vljepa writes it"
        )
    parts: dict[str, dict[str, Tensor]] = {"predictor": {}, "y_encoder": {}}
    unknown = []
    for key, tensor in state.items():
        part, _, rest = key.removeprefix("module.").partition(".")
        if part in parts:
            parts[part][rest] = tensor.contiguous()
        elif part != "x_encoder":  # the frozen trunk, where it was saved with the rest
            unknown.append(key)
    if unknown or not all(parts.values()):
        raise ModelError(
            f"'{file}': expected keys predictor.* and y_encoder.*; "
            f"unknown: {', '.join(unknown[:5]) or 'none'}"
        )
    return parts
