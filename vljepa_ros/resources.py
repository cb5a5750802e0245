"""Finds the package's files: interfaces, models, configuration, launch files.

They are beside the Python package in the source tree, and under `share/vljepa_ros` of the prefix
in a colcon install and in a wheel.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import yaml

from vljepa_ros.models.catalogue import CatalogueEntry, read_catalogue
from vljepa_ros.models.config import ModelError

AUTO, EVERYDAY, NANO = "auto", "everyday", "nano"
NANO_SOURCES = {"demo": "the shipped clip", "world": "the simulated world"}
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


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Read the catalogue of models: short name -> entry.

    Raises:
        ModelError: The file cannot be read.
    """
    return read_catalogue(share_dir() / "models" / "catalogue.yaml")


def choose_model(
    model: str, source: str, params_files: Sequence[str | Path] = ()
) -> tuple[str, str]:
    """Choose the model for `model:=auto`.

    Args:
        model: A model, AUTO, or empty: as the parameter files say.
        source: Source of the images, as for the camera node; `none`: the robot's own cameras.
        params_files: Parameter files of the user; with AUTO, a model in one of them is used.

    Returns:
        The model for the nodes (empty: as in their parameters), and a line for the log with the
        reason.
    """
    if model != AUTO:
        return model, f"model {model or 'as in the parameter files'}: as asked for"
    for file in params_files:
        if _names_model(Path(file)):
            return "", f"model as in {file}"
    chosen, why = EVERYDAY, "real cameras"
    if source in NANO_SOURCES:
        chosen, why = NANO, f"source {source} is {NANO_SOURCES[source]}"
    larger = [name for name, entry in catalogue().items() if entry.family == "dual_encoder"]
    return chosen, (
        f"model {chosen}: {why} (model:=auto). Larger ones that can be fetched (vljepa models): "
        + ", ".join(name for name in larger if catalogue()[name].hub)
    )


def _names_model(file: Path) -> bool:
    """Whether a parameter file sets the model of any node; the nodes report unreadable files."""

    def within(value: object) -> bool:
        return isinstance(value, Mapping) and any(
            within(inner) or (name == "model" and inner not in ("", AUTO))
            for name, inner in value.items()
        )

    try:
        return within(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return False


def model_dir(model: str) -> Path:
    """Find the folder of a model.

    `model` is the name of a folder in `models/` or of a fetched model of the catalogue, a path, or
    the id of a fetched model, `owner/name` or `owner/name@revision`.

    Raises:
        ModelError: It is none of these; the message says how to get it.
    """
    if not model:
        raise ModelError(f"no model given; shipped models: {', '.join(model_names())}; or a path")
    model = EVERYDAY if model == AUTO else model
    named = share_dir() / "models" / model
    with suppress(OSError, RuntimeError, ValueError):  # too long, or of no user: no file's name
        if "/" not in model and (named / "config.json").is_file():
            return named
        path = Path(model).expanduser()
        if path.is_dir():
            return path
    if _ID.fullmatch(model):
        return local_snapshot(model)
    entry = catalogue().get(model.partition("@")[0])
    if entry is None:
        raise ModelError(
            f"no model '{model:.80}': it is neither a folder nor one of the shipped models"
            f" ({', '.join(model_names()) or 'none'}) or of the catalogue (vljepa models)"
            f"{like_one_known(model)}"
        )
    if not entry.hub:
        raise ModelError(
            f"model '{model}' belongs to this package, but there is no '{named}/config.json': "
            f"install the package again, or start with model:={_other(model)}"
        )
    if entry.convert_with:
        if (converted := converted_dir(model)).is_dir():
            return converted
        raise ModelError(
            f"model '{model}' is not on this disk; vljepa fetch-model {model} makes it"
        )
    return local_snapshot(model)


def _other(model: str) -> str:
    """A shipped model to use instead of a missing one, with its domain."""
    names = [name for name in model_names() if name != model]
    known = f"{NANO} (which knows the simulated world only)"
    return known if NANO in names else (names or ["PATH"])[0]


def like_one_known(model: str) -> str:
    """`; did you mean ...?` with similar names; empty: there are none."""
    near = get_close_matches(model, [*catalogue(), *model_names()], n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""


def converted_dir(name: str) -> Path:
    """Where `vljepa fetch-model` puts a model that it converts."""
    return default_cache_root() / "models" / name


def hub_id(model: str) -> tuple[str, str | None]:
    """Repository and revision of a hub id, or of a short name of the catalogue.

    Raises:
        ModelError: Another form.
    """
    name, _, revision = model.partition("@")
    if "/" not in name and (entry := catalogue().get(name)) is not None and entry.hub:
        return entry.hub, revision or entry.revision or None
    found = _ID.fullmatch(model)
    if not found:
        raise ModelError(
            f"{model!r} is not a hub id; allowed: OWNER/NAME, OWNER/NAME@REVISION, or a short name "
            f"of `vljepa models`{like_one_known(model)}"
        )
    return found[1], found[2]


def local_snapshot(model: str) -> Path:
    """Folder of a hub id or short name in the hub's cache, without network access.

    Raises:
        ModelError: It is not in the cache; the message names `vljepa fetch-model`.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"'{model}' is not a folder; to look it up as a hub id: {NO_HUB}"
        ) from error
    name, revision = hub_id(model)
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model '{model}' is neither a folder nor in the hub's cache on this disk; download it "
            f"with: vljepa fetch-model {model}; what was fetched with --revision REV is named "
            f"{name}@REV"
        ) from error


def kept_by(node_name: str, suffix: str) -> Path:
    """Path for data of a node that survives a restart: in $ROS_HOME/vljepa_ros.

    Args:
        node_name: Fully qualified name, such as `/vljepa/perception_node`.
        suffix: Suffix of the file or folder.
    """
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    return home / "vljepa_ros" / f"{node_name.strip('/').replace('/', '.')}{suffix}"


def default_cache_root() -> Path:
    """`$VLJEPA_ROS_CACHE`, else `vljepa_ros` in the user's cache directory."""
    own = os.environ.get("VLJEPA_ROS_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vljepa_ros"
