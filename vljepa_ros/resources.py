"""Where the package's files are: interfaces, models, configuration, launch files.

They lie beside the Python package in the source tree, and under `share/vljepa_ros` of the prefix
in a colcon install and in a wheel.
"""

from __future__ import annotations

from pathlib import Path

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.hub_cache import is_hub_id, local_snapshot


def share_dir() -> Path:
    """Directory that holds `msg`, `srv`, `models`, `config` and `launch`.

    :raises FileNotFoundError: the package was installed without its files.
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

    :raises ModelError: neither a name of a shipped model, nor an existing folder, nor a hub id that
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
