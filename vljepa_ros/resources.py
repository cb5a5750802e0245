"""Where the package's files are: interfaces, models (shipped, or of the hub), configuration, launch
files.

They lie beside the Python package in the source tree, and under `share/vljepa_ros` of the prefix
in a colcon install and in a wheel.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from vljepa_ros.models.config import ModelError

_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w][\w./-]*))?")
NO_HUB = "huggingface_hub is not installed: pip install huggingface_hub"


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
    model, `owner/name` or `owner/name@revision`.

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
    if _ID.fullmatch(model):
        return local_snapshot(model)
    raise ModelError(
        f"no model '{model}': it is neither a folder nor one of the shipped models"
        f" ({', '.join(model_names()) or 'none'})"
    )


def hub_id(model: str) -> tuple[str, str | None]:
    """Repository and revision of a hub id.

    Raises:
        ModelError: Another form.
    """
    found = _ID.fullmatch(model)
    if not found:
        raise ModelError(f"{model!r} is not a hub id; allowed: OWNER/NAME, OWNER/NAME@REVISION")
    return found[1], found[2]


def local_snapshot(model: str) -> Path:
    """Folder of a hub id in the hub's cache; never the network.

    Raises:
        ModelError: It is not there; the message names `vljepa fetch-model`.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(f"'{model}' is no folder; to look it up as a hub id: {NO_HUB}") from error
    name, revision = hub_id(model)
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model '{model}' is neither a folder nor in the hub's cache on this disk; download it "
            f"with: vljepa fetch-model {model}; what was fetched with --revision REV is named "
            f"{name}@REV"
        ) from error


def default_cache_root() -> Path:
    """`$VLJEPA_ROS_CACHE`, else `vljepa_ros` in the user's cache directory."""
    own = os.environ.get("VLJEPA_ROS_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vljepa_ros"
