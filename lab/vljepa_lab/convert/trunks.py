"""The paper's starting point for training: three published trunks and two new projections."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.hub_weights import load_hub_model
from vljepa_ros.models.vl_jepa.paper_folder import (
    PaperParts,
    check_empty,
    load_x_encoder,
    part_config,
    write_paper_model,
)
from vljepa_ros.resources import model_dir

LICENCE = (
    "X-Encoder: V-JEPA 2 (MIT; hub card Apache-2.0). Predictor: Llama 3.2 Community License. "
    "Y-Encoder: Gemma Terms of Use. Derived weights inherit these terms."
)

_NAME = "vl-jepa-untrained"


def convert_trunks(
    out: Path,
    x_encoder: Path,
    llama: Path,
    y_encoder: Path,
    *,
    layers: int = 8,
    dim: int = 1536,
) -> Path:
    """Write a model folder to train from: the last layers of Llama as Predictor (section 3.1).

    Args:
        out: folder to write.
        x_encoder: V-JEPA 2's folder in hub format.
        llama: folder in hub format, with its `tokenizer.json`.
        y_encoder: EmbeddingGemma's folder in hub format, with its `tokenizer.json`.
        layers: of Llama, counted from the end.
        dim: of the shared space.

    Raises:
        ModelError: folders of another kind, or fewer layers than asked for.
    """
    from transformers import Gemma3TextModel, LlamaModel

    check_empty(out)
    trunk_config = part_config(x_encoder, {}, "vjepa2")
    llama_config = part_config(llama, {}, "llama")
    gemma_config = part_config(y_encoder, {}, "gemma3_text")
    whole = int(llama_config["num_hidden_layers"])
    if not 1 <= layers <= whole:
        raise ModelError(f"layers is {layers}, allowed: 1..{whole}, those that '{llama}' has")
    source = load_hub_model(LlamaModel, llama, ignore=("lm_head.",)).state_dict()
    gemma = load_hub_model(Gemma3TextModel, y_encoder).state_dict()
    table = source["embed_tokens.weight"]
    predictor = {"norm.weight": source["norm.weight"]}
    first = whole - layers
    for key, tensor in source.items():
        if key.startswith("layers."):
            _, number, rest = key.split(".", 2)
            if int(number) >= first:
                predictor[f"layers.{int(number) - first}.{rest}"] = tensor
    random = torch.Generator().manual_seed(0)
    width, hidden = int(trunk_config.get("hidden_size", 1024)), table.shape[1]
    predictor |= _linear("vis_proj", width, hidden, random)
    predictor |= _linear("out_proj", hidden, dim, random)
    texts = {f"model.{key}": tensor for key, tensor in gemma.items()}
    texts |= _linear("projector", int(gemma_config["hidden_size"]), dim, random)
    return write_paper_model(
        out,
        PaperParts(
            weights={
                "x_encoder": load_x_encoder(x_encoder),
                "predictor": predictor,
                "y_encoder": texts,
            },
            configs={
                "x_encoder": trunk_config,
                "predictor": {**llama_config, "num_hidden_layers": layers},
                "y_encoder": gemma_config,
            },
            table=table,
            source=f"'{llama}' and '{y_encoder}'",
        ),
        name=_NAME,
        licence=LICENCE,
        card=f"# {_NAME}\n\nTo be trained with `vljepa train full`. {LICENCE}\n",
        query_tokenizer=llama,
        text_tokenizer=y_encoder,
        clip_frames=8,
        clip_duration=8.0,  # seconds
    )


def _linear(name: str, inputs: int, outputs: int, random: torch.Generator) -> JsonObject:
    weight = torch.randn(outputs, inputs, generator=random) * inputs**-0.5
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(outputs)}


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train trunks`: print the folder that was made."""
    parser = argparse.ArgumentParser(prog="vljepa train trunks", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    for part in ("x-encoder", "llama", "y-encoder"):
        parser.add_argument(
            f"--{part}", required=True, metavar="DIR_OR_ID", help="folder, or a fetched hub id"
        )
    parser.add_argument(
        "--layers", type=int, default=8, metavar="N", help="of Llama, from its end (default: 8)"
    )
    parser.add_argument(
        "--dim", type=int, default=1536, metavar="N", help="of the shared space (default: 1536)"
    )
    args = parser.parse_args(argv)
    try:
        sources = [model_dir(part) for part in (args.x_encoder, args.llama, args.y_encoder)]
        print(convert_trunks(args.out, *sources, layers=args.layers, dim=args.dim))
    except ModelError as error:
        print(f"vljepa train trunks: {error}", file=sys.stderr)
        return 1
    return 0
