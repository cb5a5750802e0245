"""Translates a hub folder's image processor into our `preprocessing`.

A step that cannot be reproduced here is refused by the name of its field.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from vljepa_ros.files import JsonMapping, JsonObject
from vljepa_ros.models.config import ModelError, read_json

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
INTERPOLATIONS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
CLIP_COLOURS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's training images, of each channel, 0..1."""
_GREY = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

_DEFAULTS: dict[str, tuple[bool, int, Any]] = {
    "clip": (True, 3, CLIP_COLOURS),
    "siglip": (False, 3, _GREY),
    "siglip2": (False, 2, _GREY),
    "qwen2_5_vl": (False, 3, CLIP_COLOURS),
    "instructblip": (False, 3, CLIP_COLOURS),
}
"""Defaults of the model types' own processors, for fields that a file lacks: do_center_crop (and
resizing by the shortest edge), resample, colours."""
_OBEYED = {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}
_NO_MATTER = {"do_convert_rgb", "do_sample_frames"}
"""A camera's images are RGB; clips are put together here."""


def read_processor(folder: Path) -> tuple[JsonObject, Path] | None:
    """Fields of the image processor and their file, as transformers looks for them.

    None if there is no such file.

    Raises:
        ModelError: A file cannot be read.
    """
    nested, plain = (folder / name for name in PROCESSOR_FILES)
    found = read_json(nested).get("image_processor") if nested.is_file() else None
    if isinstance(found, dict):
        return found, nested
    if found is not None:
        raise ModelError(f"'{nested}': image_processor is {found!r}, allowed: an object")
    return (read_json(plain), plain) if plain.is_file() else None


def hub_preprocessing(
    raw: JsonMapping, file: Path, kind: str, size: int, resizes: bool = True
) -> JsonObject:
    """Our `preprocessing` for an image processor's fields.

    Args:
        raw: The fields.
        file: Their file, for messages.
        kind: The `model_type`.
        size: Side of the tower's input in pixels.
        resizes: False where the size is ours to choose, independent of the file.

    Raises:
        ModelError: A field that asks for what is not done here, or has a value of the wrong kind.
    """
    crops, resample, (mean, std) = _DEFAULTS[kind]

    def refuse(name: str, allowed: str) -> ModelError:
        return ModelError(f"'{file}': {name} is {raw.get(name)!r}, allowed: {allowed}")

    def flag(name: str, default: bool) -> bool:
        value = raw.get(name)
        if not isinstance(value, bool | None):
            raise refuse(name, "true or false")
        return default if value is None else value

    def channels(name: str, default: tuple[float, ...], least: float) -> list[float]:
        value = raw.get(name)
        values = default if value is None else value if isinstance(value, list) else [value] * 3
        if len(values) != 3 or not all(_is_number(one) and one > least for one in values):
            raise refuse(name, f"three numbers above {least:g}")
        return [float(one) for one in values]

    def side(name: str, number: str) -> tuple[str, int]:
        """Which way to resize, and its pixels; number: the way where only a number stands there."""
        value = raw.get(name)
        if value is None:
            return number, size
        sides: Any = {number: value}
        if isinstance(value, dict):
            square = set(value) == {"height", "width"} and value["height"] == value["width"]
            sides = {"exact": value["height"]} if square else value
        ((edge, pixels),) = sides.items() if len(sides) == 1 else (("", 0),)
        if edge not in ("exact", "shortest_edge") or type(pixels) is not int or pixels < 1:
            raise refuse(name, f"{size} pixels, as a number, or height and width alike")
        return edge, pixels

    strange = {name for name in raw if name.startswith("do_")} - _OBEYED - _NO_MATTER
    for name in sorted(strange):
        if flag(name, False):
            raise refuse(name, "false: it is not done here")
    if not flag("do_resize", True):
        raise refuse("do_resize", "true: the images of a camera have any size")
    if raw.get("resample") is not None and raw["resample"] not in list(INTERPOLATIONS):
        raise refuse("resample", "1 (Lanczos), 2 (bilinear), 3 (bicubic)")
    if raw.get("crop_pct") is not None:
        raise refuse("crop_pct", "null: it is not done here")
    factor = raw.get("rescale_factor")
    if factor is not None and not (_is_number(factor) and factor > 0):
        raise refuse("rescale_factor", "a number above 0")
    edge, pixels, crop = "exact", size, 0
    if resizes:
        edge, pixels = side("size", "shortest_edge" if crops else "exact")
        if flag("do_center_crop", crops):
            crop = side("crop_size", "exact")[1]
        if edge == "shortest_edge" and not crop:
            raise refuse(
                "do_center_crop", "true where size is the shortest edge: the tower takes squares"
            )
        if (crop or pixels) != size or crop > pixels:
            raise refuse("crop_size" if crop else "size", f"{size}, what the image tower takes")
    rescales, normalises = flag("do_rescale", True), flag("do_normalize", True)
    return {
        "resize": edge,
        "size": pixels,
        "crop": crop,
        "interpolation": INTERPOLATIONS[raw.get("resample") or resample],
        "scale": float(1.0 / 255.0 if factor is None else factor) if rescales else 1.0,
        "mean": channels("image_mean", mean, -math.inf) if normalises else [0.0] * 3,
        "std": channels("image_std", std, 0.0) if normalises else [1.0] * 3,
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
