"""Contents of `config.json` as frozen dataclasses, and the error of an unusable model folder."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, is_dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from vljepa_ros.files import JsonMapping, JsonObject

_T = TypeVar("_T")

FAMILIES = ("vl_jepa", "dual_encoder", "token_vlm")
OPEN_CLIP_CONFIG = "open_clip_config.json"
"""Takes the place of `config.json` in a folder in open_clip's format."""


MOST = 1 << 24
"""Above all sizes, lengths and numbers of layers of a model."""


class ModelError(ValueError):
    """A model folder that cannot be used: the message says what was found and what is allowed."""


@dataclass(frozen=True)
class Calibration:
    """Turns similarities into probabilities, fitted on validation data.

    A single text, and sets where there are no weights, follow
    p_i = exp(a * s_i) / (exp(a * n) + sum_j exp(a * s_j)), a = logit_scale, n = none_similarity.

    Attributes:
        logit_scale: a in the formula.
        none_similarity: n in the formula; at -1 or below there is no "none", see
            `judges_presence`.
        abstain_below: Probability under which an answer is withheld.
        decode_above: Confidence from which the Y-Decoder's own text is used, else the nearest known
            text.
        scale_weights: For sets of candidates, see `vljepa_ros.models.calibration`.
        none_weights: The same; both are empty or of the same length.
        unknown_words: Added to n for a text without any word that is a single token; less the more
            such words it has. 0: texts are not checked.
        yes_above: Probability of a text alone from which a model that cannot read questions answers
            yes.
        no_below: The same, below which it answers no; between the two it abstains.
        unfamiliar: Added to n for a text unlike the model's known texts, per unit of cosine by
            which the nearest one lies below `calibration.FAMILIAR`.
    """

    logit_scale: float = 20.0
    none_similarity: float = -1.0
    abstain_below: float = 0.0
    decode_above: float = 0.35
    scale_weights: tuple[float, ...] = ()
    none_weights: tuple[float, ...] = ()
    unknown_words: float = 0.0
    unfamiliar: float = 0.0
    yes_above: float = 0.4
    no_below: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.no_below <= self.yes_above < 1.0:
            raise ModelError(
                f"no_below is {self.no_below}, yes_above {self.yes_above}, allowed: both between "
                "0 and 1, yes_above not less"
            )

    @property
    def id(self) -> str:
        """Eight hexadecimal digits: while they are the same, so is the meaning of a threshold."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:8]

    @property
    def judges_presence(self) -> bool:
        """Whether one text alone can be judged, and that none of several fits.

        No cosine is below -1: with `none_similarity` there, as CLIP has it, "none" never wins, and
        any text alone would get the score 1.
        """
        return self.none_similarity > -1.0


@dataclass(frozen=True)
class ModelConfig:
    """Everything the runtime must know of a model.

    Attributes:
        domain: The pictures that it was made for, in one sentence; empty: not stated.
        visual_dim: How many of an embedding's last entries describe the picture alone; changes are
            looked for in them. 0: in the whole embedding.
        change_threshold: Cosine distance below which nothing is a change, in the entries that
            `visual_dim` selects.
        clip_frames: Frames of a clip.
        frame_interval: Seconds between two of them.
        input_size: Side in pixels that each frame is resized to.
        vocabulary: Prompt -> labels.
        files: Each part (weights, tokenizer, graphs, known texts) -> path relative to `folder`.
        sha256: File name -> digest, checked at load.
        architecture: Read by the family's own code only.
        precision: Of the graphs in the folder.
        period: Seconds between two clips of a camera, 0: as the node's max_rate. Users set this and
            the fields below for one machine.
        device: Where the model runs (`cpu`, `cuda:1`), empty: chosen.
        memory_limit: GiB of GPU memory, 0: no limit.
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
    domain: str = ""
    visual_dim: int = 0
    change_threshold: float = 0.06
    precision: str = "fp32"
    period: float = 0.0
    device: str = ""
    memory_limit: float = 0.0

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[Any, float, float, Any]] = {
            "dim": (self.dim, 1, 65536, int),
            "clip_frames": (self.clip_frames, 1, 64, int),
            "input_size": (self.input_size, 1, 4096, int),
            "frame_interval": (self.frame_interval, 0.001, 60.0, (int, float)),
            "period": (self.period, 0.0, 60.0, (int, float)),
            "memory_limit": (self.memory_limit, 0.0, 1024.0, (int, float)),
            "visual_dim": (self.visual_dim, 0, self.dim, int),
            "change_threshold": (self.change_threshold, 0.0, 2.0, (int, float)),
        }
        for name, (value, least, most, kind) in allowed.items():
            if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
                raise ModelError(f"{name} is {value!r}, allowed: {least} to {most}")
        for name, count, least in (("scale", 1, 0.0), ("mean", 3, -math.inf), ("std", 3, 0.0)):
            value = self.preprocessing.get(name, [1.0] * count)
            values = value if isinstance(value, list | tuple) else [value]
            if len(values) != count or not all(_fits(x, float) and x > least for x in values):
                raise ModelError(
                    f"preprocessing.{name} is {str(value)[:60]}, allowed: "
                    + ("a number" if count == 1 else "three numbers")
                    + (" above 0" if least == 0.0 else "")
                )
        if not re.fullmatch(r"|cpu|cuda(:\d+)?", str(self.device)):
            raise ModelError(f"device is {self.device!r}, allowed: cpu, cuda, cuda:N")

    def path(self, part: str) -> Path:
        """Path of a part.

        Raises:
            ModelError: The folder has no such part, or it lies outside.
        """
        if part not in self.files:
            raise ModelError(
                f"model '{self.name}' has no part '{part}'; it has:"
                f" {', '.join(sorted(self.files)) or 'none'}"
            )
        return file_within(self.folder, self.files[part])

    def verify(self) -> None:
        """Compare every listed file with its SHA-256.

        Raises:
            ModelError: A file is missing, truncated or corrupted.
        """
        for name, expected in self.sha256.items():
            path = file_within(self.folder, name)
            if not path.is_file():
                raise ModelError(f"model file {path} is missing")
            digest = file_sha256(path)
            if digest != expected:
                raise ModelError(
                    f"model file {path} is damaged: SHA-256 is {digest[:12]}...,"
                    f" expected {expected[:12]}... "
                    f"({path.stat().st_size} bytes); fetch it again"
                )


def file_within(folder: Path, name: str) -> Path:
    """A file of a model folder, by the path that one of its other files gives.

    Raises:
        ModelError: A path that leads out of the folder, or that no file can have.
    """
    parts = PurePath(name).parts
    if not parts or ".." in parts or PurePath(name).is_absolute() or len(name) > 255:
        raise ModelError(
            f"model folder '{folder}' names the file {name[:60]!r}, allowed: a path within the "
            "folder, of up to 255 characters"
        )
    return folder / name


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:  # in pieces: weights may be larger than the memory to spare
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_json(path: Path, problem: str = "is not valid JSON") -> JsonObject:
    """The JSON object that a file of a model folder holds.

    Args:
        path: The file.
        problem: What the error says of a file that cannot be read.

    Raises:
        ModelError: It cannot be read, is not JSON, or holds something else.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"'{path}' {problem}: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"'{path}' must hold a JSON object, not {type(raw).__name__}")
    return raw


def section(raw: JsonMapping, name: str) -> JsonObject:
    """An object within JSON; empty where it is missing or null.

    Raises:
        ModelError: The value is of another kind.
    """
    value = raw.get(name)
    if value is not None and not isinstance(value, dict):
        raise ModelError(f"{name} is {str(value)[:60]!r}, allowed: an object")
    return value or {}


def size_of(raw: JsonMapping, name: str, default: int) -> int:
    """A size, a length or a number of layers within JSON; the default where it is missing or null.

    Raises:
        ModelError: The value is of another kind.
    """
    value = raw.get(name)
    if value is None:
        return default
    most = 1000 if name == "depth" or "layers" in name else MOST - 1
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise ModelError(f"{name} is {str(value)[:60]!r}, allowed: 1 to {most}")
    return value


def from_dict(kind: type[_T], raw: object, where: str) -> _T:
    """Build a dataclass of plain values and nested dataclasses from parsed JSON.

    Args:
        kind: The dataclass; what `raw` leaves out keeps its default, lists become tuples.
        raw: The object.
        where: Its path in the file, for messages.

    Raises:
        ModelError: Not an object, an unknown field, or a value that its type does not allow.
    """
    if not isinstance(raw, Mapping):
        raise ModelError(f"{where} must be an object, not {type(raw).__name__}")
    hints = get_type_hints(kind)
    if unknown := set(raw) - set(hints):
        raise ModelError(
            f"{where}: unknown {', '.join(sorted(unknown))}; allowed: {', '.join(hints)}"
        )
    values: dict[str, Any] = {}
    for name, value in raw.items():
        hint, path = hints[name], f"{where}.{name}"
        if isinstance(hint, type) and is_dataclass(hint):
            value = from_dict(hint, value, path)
        elif hint is int and not isinstance(value, int):
            raise ModelError(f"{path} must be an integer, not {value!r}")
        elif hint is int and not 0 <= value < MOST:
            raise ModelError(f"{path} is {value}, allowed: 0 to {MOST - 1}")
        elif get_origin(hint) is Literal and value not in get_args(hint):
            raise ModelError(f"{path} is {value!r}, allowed: {', '.join(get_args(hint))}")
        elif not _fits(value, hint):
            allowed = _KINDS.get(get_origin(hint) or hint, "another kind of value")
            raise ModelError(f"{path} is {str(value)[:60]!r}, allowed: {allowed}")
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except ModelError as error:  # the dataclass knows its fields, not their path in the file
        raise ModelError(f"{where}: {error}") from error


_KINDS = {
    float: "a number",
    str: "a text",
    bool: "true or false",
    tuple: "a list of one kind",
    dict: "an object, with values of one kind",
}


def _fits(value: object, hint: Any) -> bool:
    """Whether a value read from JSON has a field's type."""
    within = get_args(hint)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and -math.inf < value < math.inf  # type: ignore[operator]
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(_fits(one, within[0]) for one in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_fits(one, within[1]) for one in value.values())
    return hint is Any or get_origin(hint) is Literal or isinstance(value, hint)


def form_of(config: ModelConfig) -> str:
    """`nano` or `paper` for the two forms of a VL-JEPA, else the family."""
    if config.family != "vl_jepa":
        return config.family
    return "paper" if config.architecture.get("form") == "full" else "nano"
