"""Configurations of models, ours and the hub's, and the headers of their weights: read, or refused
with ModelError that names the file. No model is built; see `fuzz_models.py`."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from fuzz_models import VALUES, places

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.weight_files import read_scalar, tensor_shapes
from vljepa_ros.resources import share_dir

HUB: dict[str, dict[str, Any]] = {
    "clip": {
        "model_type": "clip",
        "projection_dim": 8,
        "vision_config": {"image_size": 32, "patch_size": 8, "hidden_size": 16},
        "text_config": {"hidden_size": 16, "vocab_size": 64},
    },
    "siglip2": {
        "model_type": "siglip2",
        "vision_config": {"num_patches": 16, "patch_size": 8, "hidden_size": 16},
        "text_config": {"hidden_size": 16, "vocab_size": 64, "projection_size": 8},
    },
    "qwen2_5_vl": {
        "model_type": "qwen2_5_vl",
        "hidden_size": 16,
        "vision_config": {"depth": 2, "hidden_size": 16, "patch_size": 8},
    },
}
PROCESSOR = {
    "do_resize": True,
    "size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
}
OWN = {"clip_frames": 2, "frame_interval": 0.5, "vocabulary": {"what?": ["a", "b"]}}
MORE: tuple[Any, ...] = (*VALUES, "../../x", "/etc/passwd", "\0", [[[]]], 2**70, "x" * 9000)
TENSORS = {
    "logit_scale": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
    "logit_bias": {"dtype": "F32", "shape": [], "data_offsets": [4, 8]},
    "w": {"dtype": "F16", "shape": [2, 2], "data_offsets": [8, 16]},
}
DEEP = b"[" * 3000


def weights(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


def changed(random: Random, value: dict[str, Any]) -> dict[str, Any]:
    """A copy with one entry changed or left out."""
    made: dict[str, Any] = json.loads(json.dumps(value))
    holder, key = random.choice(places(made))
    if random.random() < 0.15:
        del holder[key]
    else:
        holder[key] = random.choice(MORE)
    return made


def harmed(random: Random, data: bytes) -> bytes:
    """Bytes overwritten, cut, or nested too deep."""
    made = bytearray(data)
    at = random.randrange(len(made) + 1)
    piece = random.choice((b"\0", b"\xff\xff", b"}", b'"', b"1e999", DEEP, b"\xef\xbb\xbf"))
    made[at : at + len(piece) % 100] = piece
    if random.random() < 0.3:
        del made[random.randrange(len(made)) :]
    return bytes(made)


@cache
def ours() -> tuple[bytes, ...]:
    models = share_dir() / "models"
    return tuple(sorted(one.read_bytes() for one in models.glob("*/config.json")))


def model_config(random: Random) -> str:
    """One of our own or of the hub's, with a mistake in one of its files."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "model")
        folder.mkdir()
        files: dict[str, Any]
        if random.random() < 0.3:
            files = {"config.json": json.loads(random.choice(ours()))}
        else:
            files = {
                "config.json": HUB[random.choice(list(HUB))],
                "preprocessor_config.json": PROCESSOR,
                "vljepa.json": OWN,
            }
            if random.random() < 0.3:
                names = random.choice(("model.safetensors", "../model.safetensors", "/dev/zero"))
                files["model.safetensors.index.json"] = {"weight_map": {"w": names}}
        wrong = random.choice(list(files))
        for name, raw in files.items():
            data = json.dumps(changed(random, raw) if name == wrong else raw).encode()
            if name == wrong and random.random() < 0.2:
                data = harmed(random, data)
            (folder / name).write_bytes(data)
        (folder / "model.safetensors").write_bytes(weights(TENSORS))
        shutil.copy(folder / "model.safetensors", place)
        try:
            load_config(folder)
        except ModelError as error:
            named = "model" in str(error)
            return "refused" if named else f"refused, the file not named: {str(error)[:60]}"
    return "read"


def weights_header(random: Random) -> str:
    with tempfile.TemporaryDirectory() as place:
        data = weights(changed(random, TENSORS))
        if random.random() < 0.5:
            data = harmed(random, data)
        Path(place, "model.safetensors").write_bytes(data)
        try:
            tensor_shapes(Path(place))
            read_scalar(Path(place), random.choice(("logit_scale", "w", "none")))
        except ModelError as error:
            return "refused" if place in str(error) else "refused, the file not named"
    return "read"


TARGETS = {
    "model configuration": model_config,
    "weights header": weights_header,
}
