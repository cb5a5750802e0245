"""`vljepa train everyday`: make the embedded model for real pictures. Nothing is trained.

It looks with two published networks. What they say, 1000 probabilities of an image classifier and
80 scores of a detector, are weights of the embedded names of their classes, so that pictures lie
where the texts lie that name what they show. Needs torch, onnx, pip and npm.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.everyday.concepts import FORMS, Concepts, concepts, read_table
from vljepa_lab.training.everyday.networks import (
    LITE_SIZE,
    EfficientNetLite0,
    NanoDet,
    load_lite0,
    read_convolutions,
)
from vljepa_lab.training.everyday.sources import SourceError, fetch_sources
from vljepa_lab.training.graph_writer import Graph, rounded, write_graphs
from vljepa_lab.training.text_trunk import build_trunk
from vljepa_ros.models.config import Calibration, ModelConfig, ModelError, file_sha256
from vljepa_ros.models.dual_encoder.inputs import dual_encoder_parts
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_heads import TextTrunk
from vljepa_ros.resources import default_cache_root

INPUT_SIZE = 320
LANGUAGE, DETECTOR, VISUAL = 384, NanoDet.CLASSES, 128
DIM = LANGUAGE + DETECTOR + VISUAL
_DETECTED = 0.8
"""What the detector weighs beside the classifier."""
_PERSON = 2.0
"""A person beside other things: the detector's surest class, and often small in a picture."""
_ASIDE = INPUT_SIZE // 8
"""Columns on either side that the classifier does not see. Cameras' pictures are squeezed to a
square; without these the middle of one of 4:3 has its own proportions again, as in training."""
_PARTS = 3**-0.5
_BATCH = 64

_VOCABULARY = Path(__file__).with_name("vocabulary.yaml")
_CALIBRATION = Path(__file__).with_name("calibration.json")
"""What `vljepa_lab.evaluation.real.calibrate` found."""


class Vision(nn.Module):
    """Frames to language, detector and visual part, each of norm 1, over the root of 3."""

    def __init__(self, lite0: EfficientNetLite0, nanodet: NanoDet, words: Concepts) -> None:
        super().__init__()
        self.lite0, self.nanodet = lite0, nanodet
        mean = words.classes.mean(0)
        self.classes = nn.Parameter(torch.from_numpy(words.classes - mean))
        detected = _DETECTED * torch.from_numpy(words.detected - mean)
        detected[0] *= _PERSON
        self.detected = nn.Parameter(detected)
        rows = lite0.classes.weight.detach().double()
        axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:VISUAL]
        signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        self.axes = nn.Parameter((axes * signs).T.float().contiguous())

    def forward(self, frames: Tensor) -> Tensor:
        """[B, S, S, 3] uint8 RGB -> [B, DIM]."""
        levels = frames.permute(0, 3, 1, 2).float()
        middle, size = levels[..., _ASIDE:-_ASIDE], (LITE_SIZE, LITE_SIZE)
        small = functional.interpolate(middle, size, mode="bilinear", align_corners=False)
        seen = self.lite0(small)
        scores = self.nanodet(levels).sigmoid().square()
        language = self.lite0.classes(seen).softmax(1) @ self.classes + scores @ self.detected
        parts = [language, scores, seen @ self.axes]
        return torch.cat([functional.normalize(part) for part in parts], 1) * _PARTS


class Text(nn.Module):
    """MiniLM less the mean of the table, and nothing in the detector's and the visual part."""

    def __init__(self, trunk: TextTrunk, words: Concepts) -> None:
        super().__init__()
        self.text_trunk = trunk
        self.mean = nn.Parameter(torch.from_numpy(words.classes.mean(0)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, L] int64 twice -> [B, DIM]."""
        language = functional.normalize(self.text_trunk(input_ids, attention_mask)[1] - self.mean)
        return functional.pad(language, (0, DIM - LANGUAGE))


def make_modules(cache: Path) -> tuple[Vision, Text, Tokenizer]:
    """Both halves, with weights as they will be stored.

    Raises:
        SourceError: A published file that cannot be had.
    """
    sources = fetch_sources(cache)
    tokenizer, sizes, state = build_trunk(None)
    trunk = TextTrunk(sizes).eval()
    trunk.load_state_dict(state)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = np.empty((len(texts), sizes.dim), np.float32)
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            ids, valid = pad_ids(
                [one.ids for one in tokenizer.encode_batch([texts[i] for i in some])]
            )
            with torch.no_grad():
                rows[some] = trunk(torch.from_numpy(ids), torch.from_numpy(valid))[1].numpy()
        return rows

    words = concepts(read_table(), encode)
    lite0 = load_lite0(sources.lite0)
    nanodet = NanoDet(read_convolutions(sources.nanodet_graph, sources.nanodet_weights))
    return Vision(lite0, nanodet, words).eval(), Text(trunk, words).eval(), tokenizer


def write_everyday(out: Path, cache: Path) -> str:
    """Write the model folder and return the model's id.

    Raises:
        SourceError: A published file that cannot be had.
    """
    vision, text, tokenizer = make_modules(cache)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    raw = _config(text.text_trunk)
    state = {f"vision.{name}": value for name, value in vision.state_dict().items()}
    state |= text.state_dict()
    kept = rounded(state)
    text.load_state_dict({name: kept[name] for name in text.state_dict()})
    vision.load_state_dict({name: kept[f"vision.{name}"] for name in vision.state_dict()})
    config = ModelConfig(folder=out, **{**raw, "calibration": Calibration()})
    modules: dict[str, tuple[nn.Module, str]] = {"vision": (vision, "vision."), "text": (text, "")}
    graphs = {
        part.name: Graph(
            part, modules[part.name][0], {"": modules[part.name][1]}, folded=part.name == "vision"
        )
        for part in dual_encoder_parts(config)
    }
    files = write_graphs(graphs, kept, out, {"batch": 2, "length": 5})
    (out / files["weights"]).chmod(0o644)  # safetensors leaves it to its owner alone
    files["tokenizer"] = "tokenizer.json"
    raw["files"] = files
    raw["sha256"] = {name: file_sha256(out / name) for name in sorted(files.values())}
    raw["model_id"] = f"everyday-{raw['sha256'][files['weights']][:8]}"
    for name, target in (("card.md", "README.md"), ("WORDNET-LICENCE", "WORDNET-LICENCE")):
        shutil.copyfile(Path(__file__).with_name(name), out / target)
    (out / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return str(raw["model_id"])


def _config(trunk: TextTrunk) -> dict[str, Any]:
    return {
        "name": "everyday",
        "family": "dual_encoder",
        "model_id": "everyday",
        "licence": "Apache-2.0",
        "domain": "photographs and camera pictures of everyday things, people and places",
        "dim": DIM,
        "visual_dim": VISUAL,
        "change_threshold": 0.15,  # measured, see doc/change.md
        "clip_frames": 1,
        "frame_interval": 0.2,
        "input_size": INPUT_SIZE,
        "default_query": "what is happening?",
        "vocabulary": yaml.safe_load(_VOCABULARY.read_text(encoding="utf-8")),
        "calibration": json.loads(_CALIBRATION.read_text(encoding="utf-8")),
        "preprocessing": {"resize": "exact", "size": INPUT_SIZE, "interpolation": "area"},
        "architecture": {
            "model_type": "everyday",
            "templates": list(FORMS),
            "text_config": {
                "model_type": "bert",
                "max_position_embeddings": len(trunk.positions),
                "vocab_size": len(trunk.words.weight),
                "pad_token_id": 0,
            },
        },
    }


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train everyday`: print the folder that was made."""
    parser = argparse.ArgumentParser(prog="vljepa train everyday", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # the same sums, bit for bit, on any number of cores
    try:
        print(args.out, write_everyday(args.out, default_cache_root() / "everyday"))
    except (SourceError, ModelError, RuntimeError) as error:
        print(f"vljepa train everyday: {error}", file=sys.stderr)
        return 1
    return 0
