"""A model folder's `config.json` as frozen dataclasses: architecture, preprocessing, prompts,
calibration.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAMILIES = ("vl_jepa", "dual_encoder", "token_vlm")


class ModelError(ValueError):
    """A model folder that cannot be used: the message says what was found and what is allowed."""


@dataclass(frozen=True)
class Calibration:
    """Turns similarities into probabilities, fitted on validation data.

    logit_scale, none_similarity: of a single text, and of sets where there are no weights:
    p_i = exp(a * s_i) / (exp(a * n) + sum_j exp(a * s_j)), a = logit_scale, n = none_similarity.
    scale_weights, none_weights: of sets of candidates, see `vljepa_ros.models.calibration`; both
    empty or of the same length. abstain_below: probability under which an answer is withheld.
    decode_above: confidence from which the Y-Decoder's own text is used, else the nearest known
    text.
    """

    logit_scale: float = 20.0
    none_similarity: float = -1.0
    abstain_below: float = 0.0
    decode_above: float = 0.35
    scale_weights: tuple[float, ...] = ()
    none_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class ModelConfig:
    """Everything the runtime must know of a model; `architecture` is read by the family's own code
    only.

    clip_frames frames, frame_interval seconds apart, each resized to input_size x input_size
    pixels.
    files: name of each part (weights, tokenizer, graphs, known texts) -> path relative to `folder`.
    sha256: file name -> digest, checked at load.
    precision: that of the graphs in the folder.
    What a user may set for one machine: period: seconds between two clips of a camera, 0: as the
    node's max_rate; device: where the model runs (`cpu`, `cuda:1`), empty: chosen; memory_limit:
    GiB of GPU memory, 0: none.
    """

    folder: Path
    name: str
    family: str
    model_id: str
    dim: int
    clip_frames: int
    frame_interval: float
    input_size: int
    default_query: str
    vocabulary: dict[str, tuple[str, ...]] = field(default_factory=dict)
    calibration: Calibration = Calibration()
    files: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    precision: str = "fp32"
    period: float = 0.0
    device: str = ""
    memory_limit: float = 0.0

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[Any, float, float, Any]] = {
            "clip_frames": (self.clip_frames, 1, 64, int),
            "frame_interval": (self.frame_interval, 0.001, 60.0, (int, float)),
            "period": (self.period, 0.0, 60.0, (int, float)),
            "memory_limit": (self.memory_limit, 0.0, 1024.0, (int, float)),
        }
        for name, (value, least, most, kind) in allowed.items():
            if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
                raise ModelError(
                    f"model '{self.name}': {name} is {value!r}, allowed: {least} to {most}"
                )
        if not re.fullmatch(r"|cpu|cuda(:\d+)?", str(self.device)):
            raise ModelError(
                f"model '{self.name}': device is {self.device!r}, allowed: cpu, cuda, cuda:N"
            )

    @property
    def clip_duration(self) -> float:
        """Seconds that the frames of a clip are spread over."""
        return self.clip_frames * self.frame_interval

    def path(self, part: str) -> Path:
        """Path of a part.

        :raises ModelError: the folder has no such part.
        """
        if part not in self.files:
            raise ModelError(
                f"model '{self.name}' has no part '{part}'; it has:"
                f" {', '.join(sorted(self.files)) or 'none'}"
            )
        return self.folder / self.files[part]

    def verify(self) -> None:
        """Compare every listed file with its SHA-256.

        :raises ModelError: a file is missing, truncated or corrupted.
        """
        for name, expected in self.sha256.items():
            path = self.folder / name
            if not path.is_file():
                raise ModelError(f"model file {path} is missing")
            digest = _sha256(path)
            if digest != expected:
                raise ModelError(
                    f"model file {path} is damaged: SHA-256 is {digest[:12]}...,"
                    f" expected {expected[:12]}... "
                    f"({path.stat().st_size} bytes); fetch it again"
                )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:  # in pieces: weights may be larger than the memory to spare
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def load_config(folder: Path) -> ModelConfig:
    """Read `folder/config.json`.

    :raises ModelError: no such folder, no or invalid config, unknown family, missing field.
    """
    file = folder / "config.json"
    if not folder.is_dir():
        raise ModelError(f"no model folder at '{folder}'")
    from vljepa_ros.models.dual_encoder.perception_sizes import CONFIG_FILE, KIND

    if not file.is_file() and (folder / CONFIG_FILE).is_file():
        file = folder / CONFIG_FILE
    if not file.is_file():
        raise ModelError(
            f"'{folder}' is not a model folder: it has no config.json (and no {CONFIG_FILE})"
        )
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"'{file}' is not valid JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"'{file}' must hold a JSON object, not {type(raw).__name__}")
    if file.name == CONFIG_FILE:
        raw["model_type"] = KIND
    if "family" not in raw and "model_type" in raw:
        from vljepa_ros.models.hub_folder import hub_config

        raw = hub_config(folder, raw)
    if raw.get("family") not in FAMILIES:
        raise ModelError(
            f"'{file}': family is {raw.get('family')!r}, allowed: {', '.join(FAMILIES)}"
        )
    if "clip_duration" in raw:
        raw["frame_interval"] = _interval(raw, file)
    try:
        vocabulary = {prompt: tuple(labels) for prompt, labels in raw.get("vocabulary", {}).items()}
        return ModelConfig(
            folder=folder,
            **{
                **{key: raw[key] for key in _REQUIRED},
                **{key: raw[key] for key in _OPTIONAL if key in raw},
                "vocabulary": vocabulary,
                "calibration": _calibration(raw.get("calibration", {})),
            },
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{file}': missing or wrong field {error}; required: {', '.join(_REQUIRED)}"
        ) from error


def _calibration(raw: dict[str, Any]) -> Calibration:
    values: dict[str, Any] = {}
    for name, value in raw.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return Calibration(**values)


def _interval(raw: dict[str, Any], file: Path) -> float:
    """`clip_duration` in place of `frame_interval`: which one suits depends on what is known."""
    try:
        return float(raw["clip_duration"]) / int(raw["clip_frames"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(
            f"'{file}': clip_duration is {raw['clip_duration']!r} for clip_frames "
            f"{raw.get('clip_frames')!r}, allowed: seconds above 0 for 1 frame or more"
        ) from error


_REQUIRED = (
    "name",
    "family",
    "model_id",
    "dim",
    "clip_frames",
    "frame_interval",
    "input_size",
    "default_query",
)
_OPTIONAL = (
    "files",
    "sha256",
    "architecture",
    "preprocessing",
    "licence",
    "precision",
    "period",
    "device",
    "memory_limit",
)
