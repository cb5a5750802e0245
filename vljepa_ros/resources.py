"""Where the package's files are: interfaces, models (shipped, or of the hub), configuration, launch
files.

They lie beside the Python package in the source tree, and under `share/vljepa_ros` of the prefix
in a colcon install and in a wheel.
"""

from __future__ import annotations

import re
from pathlib import Path

from vljepa_ros.models.config import ModelError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
_INSTALL = "huggingface_hub is not installed: pip install huggingface_hub"


def share_dir() -> Path:
    """Directory that holds `msg`, `srv`, `models`, `config` and `launch`.

    Raises:
        FileNotFoundError: The package was installed without its files.
    """
    package = Path(__file__).resolve().parent
    if (package.parent / "package.xml").is_file() and (package.parent / "msg").is_dir():
        return package.parent
    for prefix in package.parents:
        share = prefix / "share" / "vljepa_ros"
        if (share / "msg").is_dir():
            return share
    raise FileNotFoundError(
        f"no share/vljepa_ros above {package}: the package was installed without its interfaces"
        " and models; install it with colcon or pip"
    )


def model_names() -> list[str]:
    """Names of the model folders that come with the package."""
    folder = share_dir() / "models"
    return sorted(path.parent.name for path in folder.glob("*/config.json"))


def model_dir(model: str) -> Path:
    """Folder of a model given by name (a folder of `models/`), by path, or by the id of a fetched
    model.

    Raises:
        ModelError: Neither a name of a shipped model, nor an existing folder, nor a hub id that
            `vljepa fetch-model` has put on this disk.
    """
    if not model:
        raise ModelError(f"no model given; shipped models: {', '.join(model_names())}; or a path")
    named = share_dir() / "models" / model
    if "/" not in model and (named / "config.json").is_file():
        return named
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if is_hub_id(model):
        return local_snapshot(model)
    raise ModelError(
        f"no model '{model}': it is neither a folder nor one of the shipped models"
        f" ({', '.join(model_names()) or 'none'})"
    )


def is_hub_id(model: str) -> bool:
    """Whether a name has the form `owner/name`."""
    return _ID.fullmatch(model) is not None


def local_snapshot(model: str) -> Path:
    """Folder of a hub id in the hub's cache; never the network.

    Raises:
        ModelError: It is not there; the message names `vljepa fetch-model`.
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

    Args:
        checkpoint: `*.pt` too; they are pickles, for conversion only.

    Raises:
        ModelError: Not a hub id, no such model, or no network.
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
