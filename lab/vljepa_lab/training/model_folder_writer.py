"""Write nano's folder: weights, ONNX graphs, tokenizer, word lists, known texts, `config.json`.

Needs torch and onnx.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from torch import nn

from vljepa_lab.training.graph_writer import Graph, rounded, write_graphs
from vljepa_lab.world.records import ACTIONS
from vljepa_ros.models.config import Calibration, ModelConfig
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_config import nano_parts
from vljepa_ros.models.vl_jepa.nano_heads import DecoderPrefill, DecoderStep
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, TextTokenizer

LICENCE = "Apache-2.0"
DOMAIN = "one simulated room with a table, an arm, a door, lights and people, at 128 x 128 pixels"
ATTRIBUTION = (
    "The text trunk is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) with fewer words and"
    " int8 weights."
)
FRAME_INTERVAL = 0.5


@dataclass(frozen=True)
class FolderContents:
    """What a folder holds beside the weights.

    vocabulary: prompt -> labels, exclusive groups; known_texts: what the Y-Decoder falls back to;
    change_threshold: cosine distance below which nothing is a change.
    """

    name: str
    default_query: str
    vocabulary: Mapping[str, Sequence[str]]
    known_texts: Sequence[str]
    decoder_words: Sequence[str]
    calibration: Calibration = field(default_factory=Calibration)
    change_threshold: float = ModelConfig.change_threshold


def encode_texts(
    model: VLJEPA, tokenizer: TextTokenizer, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Y-Encoder in torch: [len(texts), dim]."""
    out = []
    for start in range(0, len(texts), 256):
        ids, valid = (
            torch.from_numpy(a) for a in pad_ids(tokenizer.ids(texts[start : start + 256]))
        )
        with torch.no_grad():
            _, pooled = model.text_trunk(ids, valid)
            out.append(model.text_head(pooled).numpy())
    return np.concatenate(out)


def write_model_folder(
    model: VLJEPA, tokenizer: Tokenizer, contents: FolderContents, folder: Path
) -> str:
    """Export everything into `folder`; returns the model id (name and a short hash of the weights).

    The model's weights are rounded to what is stored.
    """
    files = export_graphs(model, folder) | {
        **{part: f"{part}.json" for part in ("tokenizer", "decoder_words", "known_texts")},
        "known_embeddings": "known_texts.safetensors",
    }
    tokenizer.save(str(folder / files["tokenizer"]), pretty=False)
    _write_json(folder / files["decoder_words"], list(contents.decoder_words))
    if len(DecoderWords(contents.decoder_words)) > model.architecture.y_decoder.words:
        raise ValueError(
            f"{len(contents.decoder_words)} words do not fit the Y-Decoder's "
            f"{model.architecture.y_decoder.words}"
        )
    texts = list(contents.known_texts)
    _write_json(folder / files["known_texts"], texts)
    vectors = encode_texts(model, TextTokenizer(folder / files["tokenizer"]), texts)
    save_file({"embeddings": vectors.astype(np.float16)}, str(folder / files["known_embeddings"]))
    digests = {name: sha256_of(folder / name) for name in sorted(set(files.values()))}
    model_id = f"{contents.name}-{digests['model.safetensors'][:8]}"
    sizes = model.architecture
    config = {
        "name": contents.name,
        "family": "vl_jepa",
        "model_id": model_id,
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
        "domain": DOMAIN,
        "dim": sizes.dim,
        "clip_frames": sizes.window.frames,
        "frame_interval": FRAME_INTERVAL,
        "input_size": sizes.frame.input_size,
        "default_query": contents.default_query,
        "vocabulary": {prompt: list(labels) for prompt, labels in contents.vocabulary.items()},
        "calibration": asdict(contents.calibration),
        "change_threshold": contents.change_threshold,
        "preprocessing": {"colour": "rgb", "layout": "NHWC", "type": "uint8"},
        "architecture": asdict(sizes),
        "files": files,
        "sha256": digests,
    }
    _write_json(folder / "config.json", config, indent=1)
    return model_id


def _write_json(file: Path, value: object, indent: int | None = None) -> None:
    file.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def export_graphs(model: VLJEPA, folder: Path) -> dict[str, str]:
    """Write the weights file and the graphs into `folder`; returns part -> file name.

    The model's own weights are rounded to what is stored.
    """
    model = model.cpu().eval()
    model.load_state_dict(rounded(model.state_dict()))
    modules: dict[str, nn.Module] = {
        "decoder_prefill": DecoderPrefill(model.y_decoder),
        "decoder_step": DecoderStep(model.y_decoder),
    }
    graphs = {}
    for part in nano_parts(model.architecture):
        module = modules.get(part.name) or getattr(model, part.name)
        own = "y_decoder" if part.name in modules else part.name
        graphs[part.name] = Graph(part, module, {"decoder.": f"{own}.", "": f"{own}."})
    free = {"batch": 2, "clips": 3, "pieces": 5, "past": model.architecture.y_decoder.prefix + 1}
    return write_graphs(graphs, model.state_dict(), folder, free)


def sha256_of(file: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


_TEXT = """# {model_id}

A small VL-JEPA for 128x128 pixels, trained from scratch on the simulated robot-camera world of
vljepa_ros by `vljepa train nano`. It runs on one CPU core through ONNX Runtime, offline.

**It knows its own world only**: one room with a table, an arm, ten shapes in eight colours, a
door, lights, {seen}. The names it gives on real video are mostly wrong.

| | |
|---|---|
| input | 4 RGB frames 0.5 s apart, 128x128 |
| embedding | 256 numbers, L2 norm 1, shared by clips and texts |
| trainable parameters | {parameters:.1f} M, with the upper layers of the text trunk (int8) |
| weights | `model.safetensors`; all graphs refer to this one file and compute in fp32 |
| training data | {scenes} scenes of the simulated world; ten colour+shape pairs are in none |
| minutes of training | {minutes} |
| licence | Apache-2.0 |

## Attribution

The text trunk is [sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)
(Apache-2.0) with fewer words, positions up to 64 and int8 weights (one scale per row).

## Validation

Rooms of the trained kinds, nearest candidate; blind: always the commonest answer.

| task | accuracy | blind |
|---|---|---|
{rows}
"""


def write_card(
    folder: Path,
    model_id: str,
    parameters: int,
    scenes: int,
    minutes: Mapping[str, float],
    accuracy: Mapping[str, float],
) -> None:
    """Write README.md of a model folder, unless there is one: a card that was edited stays.

    Args:
        folder: Of the model.
        model_id: Name and hash.
        parameters: How many were trained.
        scenes: Of training.
        minutes: Of each phase.
        accuracy: As `quick_accuracy` gives it with `blind`.
    """
    file = folder / "README.md"
    if file.is_file():
        return
    rows = [
        f"| {task} | {value:.3f} | {accuracy.get(f'{task} blind', 0):.3f} |"
        for task, value in accuracy.items()
        if not task.endswith(" blind")
    ]
    text = _TEXT.format(
        model_id=model_id,
        parameters=parameters / 1e6,
        scenes=scenes,
        minutes=", ".join(f"{name} {spent:.0f}" for name, spent in minutes.items()),
        seen=f"a person, and {len(ACTIONS)} kinds of events",
        rows="\n".join(rows),
    )
    file.write_text(text, encoding="utf-8")


def trainable_parameters(model: nn.Module) -> int:
    """Number of parameters that training may change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
