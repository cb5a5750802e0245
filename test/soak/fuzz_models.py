"""Model folders whose JSON files have one value of another kind or size, or lack it: they run, or
are refused with ModelError at load."""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelError

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 7, 1.5, -0.5, 10**6, 10**12, float("nan"), float("inf")),
    *("", "x", "gelu", [], [1, 2], [0], {}, {"a": 1}),
)
FILES = ("config.json", "open_clip_config.json", "vljepa.json")
RARE = ("preprocessor_config.json", "tokenizer_config.json")
MOST_KIB = 1 << 20
"""No folder may make the process larger by more: the models have a megabyte."""


@cache
def folders() -> tuple[Path, ...]:
    """One tiny folder of each kind."""
    import torch
    from tiny_dual_encoders import tiny_clip, tiny_siglip
    from tiny_perception import tiny_perception
    from tiny_token_vlms import tiny_instructblip, tiny_qwen

    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp())
    makers: dict[str, Callable[[Path], Path]] = {
        "clip": tiny_clip,
        "siglip": tiny_siglip,
        "naflex": lambda folder: tiny_siglip(folder, naflex=True),
        "perception": tiny_perception,
        "qwen": tiny_qwen,
        "instructblip": tiny_instructblip,
    }
    made = tuple(make(place / name) for name, make in makers.items())
    for folder in made:
        engine = load_engine(folder, "torch:fp32@cpu")
        own = folder / "vljepa.json"
        fields = json.loads(own.read_text()) if own.is_file() else {}
        shown = {name: getattr(engine.config, name) for name in ("clip_frames", "frame_interval")}
        own.write_text(json.dumps({"preprocessing": engine.config.preprocessing, **shown} | fields))
    return made


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key within JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, Any]] = []
    for key, inner in list(items):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


def model_folder(random: Random) -> str:
    """One value in one file changed or removed; then a clip, a query, texts."""
    source = random.choice(folders())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(source, Path(place) / source.name))
        there = [n for n in (*FILES * 3, *RARE) if (folder / n).is_file()]
        file = folder / random.choice(there)
        raw = json.loads(file.read_text())
        holder, key = random.choice(places(raw))
        if random.random() < 0.15:
            del holder[key]
        else:
            holder[key] = random.choice(VALUES)
        file.write_text(json.dumps(raw))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            engine = load_engine(folder, "torch:fp32@cpu")
        except ModelError as error:
            outcome = "refused" if folder.name in str(error) else f"refused unnamed: {error}"
        else:
            outcome = "runs"
            config = engine.config
            size = config.input_size
            frames = np.zeros((config.clip_frames, size, size, 3), np.uint8)
            tokens = engine.encode([Clip(frames, tuple(range(len(frames))))], [None])[0].tokens
            if "embed" in engine.capabilities:
                vectors = engine.embed([tokens], config.default_query)
                vectors = np.concatenate([vectors, engine.encode_text(["a red cup"])])
            else:
                vectors = engine.score(tokens, config.default_query, ["yes", "no"])
            assert np.isfinite(vectors).all(), f"not finite with {key}: {holder}"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < MOST_KIB, f"{grown} KiB for {key}: {str(holder)[:80]}"
        return outcome


TARGETS = {"model folder": model_folder}
