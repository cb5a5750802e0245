"""Models of the hub that are on this disk; downloading only when asked for by name."""

from __future__ import annotations

import re
from pathlib import Path

from vljepa_ros.models.config import ModelError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
_INSTALL = "huggingface_hub is not installed: pip install huggingface_hub"


def is_hub_id(model: str) -> bool:
    """Whether a name has the form `owner/name`."""
    return _ID.fullmatch(model) is not None


def local_snapshot(model: str) -> Path:
    """Folder of a hub id in the hub's cache; never the network.

    :raises ModelError: it is not there; the message names `vljepa fetch-model`.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"'{model}' is no folder; to look it up as a hub id: {_INSTALL}"
        ) from error
    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model '{model}' is neither a folder nor in the hub's cache on this disk; "
            f"download it with: vljepa fetch-model {model}"
        ) from error


def fetch_model(model: str, revision: str | None = None, checkpoint: bool = False) -> Path:
    """Download a model's files into the hub's cache.

    :param checkpoint: `*.pt` too; they are pickles, for conversion only.
    :raises ModelError: not a hub id, no such model, or no network.
    """
    if not is_hub_id(model):
        raise ModelError(f"{model!r} is not a hub id; allowed: OWNER/NAME")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(_INSTALL) from error
    patterns = _FILES + (["*.pt"] if checkpoint else [])
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client and its transport raise many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"'{model}' cannot be fetched: {reason}") from error
