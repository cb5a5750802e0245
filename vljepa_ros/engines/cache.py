"""Caches exported graphs and built engines, under a key of everything that they depend on."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vljepa_ros.models.config import ModelConfig, ModelError, file_sha256

_ENTRY = "entry.json"


@dataclass(frozen=True)
class CacheKey:
    """Everything that a graph or an engine depends on.

    Attributes:
        model: Id of the model.
        weights: Hash of weights and architecture.
        preprocessing: JSON of the preprocessing.
        kind: `onnx` or `tensorrt`.
        shapes: Shapes that it was made for.
        precision: fp32, fp16 or bf16.
        version: Version of the exporter or builder.
        device: Name and compute capability of the GPU; `any` for ONNX.
    """

    model: str
    weights: str
    preprocessing: str
    kind: str
    shapes: str
    precision: str
    version: str
    device: str

    def digest(self) -> str:
        """16 hexadecimal digits."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_key_of(
    config: ModelConfig, kind: str, shapes: str, precision: str, version: str, device: str
) -> CacheKey:
    """Make the key of a model's graphs or engines; see `CacheKey` for the arguments."""
    if "model_type" in config.architecture:
        from vljepa_ros.models.weight_files import weights_digests  # no node needs it for nano

        weights = json.dumps(weights_digests(config.folder))
    else:
        weights = json.dumps(sorted(config.sha256.items()))
    weights += json.dumps(config.architecture, sort_keys=True, default=str)
    # Only the device of resizing does not matter; the rest may be part of the graph.
    steps = {name: v for name, v in config.preprocessing.items() if name != "device"}
    return CacheKey(
        config.model_id,
        hashlib.sha256(weights.encode()).hexdigest(),
        json.dumps(steps, sort_keys=True),
        kind,
        shapes,
        precision,
        version,
        device,
    )


class EngineCache:
    """Folders `<model>-<kind>-<digest>`, which get their name when complete."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, key: CacheKey) -> dict[str, Path]:
        """Part -> file of an entry; empty if there is no valid entry."""
        return {} if self.explain(key) else self._files(self._folder(key))

    def explain(self, key: CacheKey) -> str:
        """Why `key` has no usable entry; empty if it has one."""
        folder = self._folder(key)
        if not (folder / _ENTRY).is_file():
            return (
                f"no {key.kind} engine of '{key.model}' has been built from this folder as it is: "
                f"{key.precision} by {key.version} for device {key.device}"
            )
        entry = _read(folder)
        if entry.get("key") != asdict(key):
            return f"the {key.kind} entry was made for something else: {entry.get('key')}"
        for name, digest in entry["sha256"].items():
            if not (folder / name).is_file() or file_sha256(folder / name) != digest:
                return f"the {key.kind} entry is damaged: {name}"
        return ""

    def store(self, key: CacheKey, files: Mapping[str, Path], notes: Mapping[str, object]) -> Path:
        """Copy the files of each part into a new entry; one of the same key is replaced.

        Args:
            key: Key of the entry.
            files: Part -> file; files beside it that begin with its name are copied, too.
            notes: Further information, such as the measured parity.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            parts, digests = {}, {}
            for part, file in files.items():
                for source in sorted(file.parent.glob(f"{file.name}*")):  # with external data
                    shutil.copyfile(source, aside / source.name)
                    digests[source.name] = file_sha256(aside / source.name)
                parts[part] = file.name
            entry = {"key": asdict(key), "parts": parts, "sha256": digests, "notes": dict(notes)}
            (aside / _ENTRY).write_text(json.dumps(entry, indent=1), encoding="utf-8")
            folder = self._folder(key)
            if folder.exists():
                shutil.rmtree(folder)
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return folder

    def _folder(self, key: CacheKey) -> Path:
        return self.root / f"{key.model}-{key.kind}-{key.digest()}"

    def _files(self, folder: Path) -> dict[str, Path]:
        return {part: folder / name for part, name in _read(folder)["parts"].items()}


def _read(folder: Path) -> dict[str, dict[str, str]]:
    try:
        return dict(json.loads((folder / _ENTRY).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"cache entry '{folder}' is unreadable: delete it ({error})") from error
