"""Write a model folder: weights, graphs, tokenizer, word lists, known texts and `config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from vljepa_lab.training.export import export_graphs, sha256_of
from vljepa_ros.models.config import Calibration
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, TextTokenizer

LICENCE = "Apache-2.0"
ATTRIBUTION = (
    "The text trunk is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) with fewer words and"
    " int8 weights."
)
FRAME_INTERVAL = 0.5


@dataclass(frozen=True)
class Contents:
    """What a folder holds beside the weights.

    vocabulary: prompt -> labels, exclusive groups; known_texts: what the Y-Decoder falls back to.
    """

    name: str
    default_query: str
    vocabulary: Mapping[str, Sequence[str]]
    known_texts: Sequence[str]
    decoder_words: Sequence[str]
    calibration: Calibration = field(default_factory=Calibration)


def encode_texts(
    model: VLJEPA, tokenizer: TextTokenizer, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Y-Encoder in torch: [len(texts), dim]."""
    out = []
    device = next(model.parameters()).device
    for start in range(0, len(texts), 256):
        ids, valid = TextTokenizer.padded(tokenizer.ids(texts[start : start + 256]))
        with torch.no_grad():
            pooled = model.text_trunk(torch.tensor(ids).to(device), torch.tensor(valid).to(device))[
                1
            ]
            out.append(model.text_head(pooled).cpu().numpy())
    return np.concatenate(out)


def write_model_folder(
    model: VLJEPA, tokenizer: Tokenizer, contents: Contents, folder: Path
) -> str:
    """Export everything into `folder`; returns the model id (name and a short hash of the weights).

    The model's weights are rounded to what is stored.
    """
    files = export_graphs(model, folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    files["tokenizer"] = "tokenizer.json"
    _write_json(folder / "decoder_words.json", list(contents.decoder_words))
    files["decoder_words"] = "decoder_words.json"
    if len(DecoderWords(contents.decoder_words)) > model.architecture.y_decoder.words:
        raise ValueError(
            f"{len(contents.decoder_words)} words do not fit the Y-Decoder's "
            f"{model.architecture.y_decoder.words}"
        )
    texts = list(contents.known_texts)
    _write_json(folder / "known_texts.json", texts)
    files["known_texts"] = "known_texts.json"
    vectors = encode_texts(model, TextTokenizer(folder / "tokenizer.json"), texts)
    save_file({"embeddings": vectors.astype(np.float16)}, str(folder / "known_texts.safetensors"))
    files["known_embeddings"] = "known_texts.safetensors"
    digests = {name: sha256_of(folder / name) for name in sorted(set(files.values()))}
    model_id = f"{contents.name}-{digests['model.safetensors'][:8]}"
    sizes = model.architecture
    config = {
        "name": contents.name,
        "family": "vl_jepa",
        "model_id": model_id,
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
        "dim": sizes.dim,
        "clip_frames": sizes.window.frames,
        "frame_interval": FRAME_INTERVAL,
        "input_size": sizes.frame.input_size,
        "default_query": contents.default_query,
        "vocabulary": {prompt: list(labels) for prompt, labels in contents.vocabulary.items()},
        "calibration": asdict(contents.calibration),
        "preprocessing": {"colour": "rgb", "layout": "NHWC", "type": "uint8"},
        "architecture": sizes.to_dict(),
        "files": files,
        "sha256": digests,
    }
    _write_json(folder / "config.json", config, indent=1)
    return model_id


def _write_json(file: Path, value: object, indent: int | None = None) -> None:
    file.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
