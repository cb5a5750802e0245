"""`vljepa models` lists the catalogue of models, `vljepa fetch-model` downloads from it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vljepa_ros.cli import options
from vljepa_ros.cli.options import CliError, note
from vljepa_ros.models.catalogue import CatalogueEntry
from vljepa_ros.models.config import OPEN_CLIP_CONFIG, ModelError
from vljepa_ros.resources import NO_HUB, catalogue, converted_dir, hub_id, model_dir

_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")
_CHECKPOINT = "best.pt"  # of open-vljepa


def add_models(commands: options.Commands) -> None:
    """Add `vljepa models`."""
    parser = commands.add_parser(
        "models",
        help="list the available models",
        description="List the models that come with the package or can be fetched by their short "
        "name: what each is best at, what it costs, and whether it is on this disk.",
    )
    options.add_json_option(parser, "the list")
    parser.set_defaults(run=options.exit_on_error(_list))


def add_fetch(commands: options.Commands) -> None:
    """Add `vljepa fetch-model`, the only command that downloads a model."""
    parser = commands.add_parser(
        "fetch-model",
        help="download a model from the hub",
        description="Download a model's configuration, safetensors and tokenizer into the hub's "
        "cache; afterwards `model:=NAME` (`model:=ID@REV` with a revision) loads it offline. Nodes "
        "never download anything.",
    )
    parser.add_argument(
        "model",
        metavar="NAME_OR_ID",
        help="a short name of `vljepa models`, such as siglip2-base, or a hub id, or ID@REV",
    )
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit (default: main)")
    parser.add_argument(
        "--checkpoint", action="store_true", help="fetch *.pt files too, for `vljepa convert`"
    )
    parser.set_defaults(run=options.exit_on_error(_fetch))


def fetch_model(model: str, revision: str | None = None, patterns: Sequence[str] = _FILES) -> Path:
    """Download a model's files into the hub's cache.

    Args:
        model: A short name of the catalogue or a hub id, with or without its revision.
        revision: The revision, if it is not part of `model`.
        patterns: Patterns of the files to fetch.

    Raises:
        ModelError: Not a hub id, two revisions, no such model, terms not accepted, or no network.
    """
    name, own = hub_id(model)
    if revision and "@" in model and revision != own:
        raise ModelError(f"two revisions: {own} in '{model}', and {revision}; allowed: one")
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import GatedRepoError
    except ImportError as error:
        raise ModelError(NO_HUB) from error
    revision = revision or own
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:  # the hub client and its transport raise many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, GatedRepoError):
            reason += " (accept the owner's terms on its page there, then: hf auth login)"
        raise ModelError(
            f"'{model}' cannot be fetched: {reason}; tried {constants.ENDPOINT}/{name} at "
            f"{revision or 'main'}. Files on this disk were not changed; what was "
            "downloaded is kept, and the same command continues from there"
        ) from error


def _fetch(args: argparse.Namespace) -> int:
    entry = catalogue().get(args.model.partition("@")[0])
    if entry is not None and not entry.hub:
        print(model_dir(args.model))
        note(f"{args.model} comes with the package: there is nothing to fetch")
        return 0
    if entry is not None:
        note(f"{args.model}: {entry.hub}, about {entry.download_gb:g} GB. Licence: {entry.licence}")
    if entry is not None and entry.convert_with:
        print(_fetch_converted(args.model, args.revision, entry))
        note(f"load it with model:={args.model}")
        return 0
    patterns = (*_FILES, "*.pt") if args.checkpoint else _FILES
    folder = fetch_model(args.model, args.revision, patterns)
    if not args.checkpoint:
        _check_complete(folder)
    print(folder)
    name, own = hub_id(args.model)
    revision = args.revision or own
    named = f"{name}@{revision}" if revision else name
    note(f"load it with model:={named if args.revision or entry is None else args.model}")
    return 0


def _fetch_converted(name: str, revision: str | None, entry: CatalogueEntry) -> Path:
    """Download and convert a checkpoint of open-vljepa; returns the model folder.

    Raises:
        ModelError: Something cannot be fetched, or is not such a checkpoint.
        CliError: A package is missing.
    """
    folder = converted_dir(name)
    if folder.is_dir():
        return folder
    if missing := [package for package in ("torch", "transformers") if find_spec(package) is None]:
        raise CliError(f"to convert it: pip install {' '.join(missing)}")
    from vljepa_ros.models.vl_jepa.convert_open_vljepa import convert_open_vljepa

    tokenizers: dict[str, Any] = {
        part: fetch_model(entry.convert_with[part], None, ["tokenizer.json"]) / "tokenizer.json"
        for part in ("query_tokenizer", "text_tokenizer")
    }
    trunk = fetch_model(entry.convert_with["x_encoder"])
    checkpoint = fetch_model(name, revision, [*_FILES, _CHECKPOINT]) / _CHECKPOINT
    aside = folder.with_name(f"{folder.name}.{os.getpid()}")  # renamed when complete
    try:
        convert_open_vljepa(checkpoint, aside, trunk, **tokenizers)
        return aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check_complete(folder: Path) -> None:
    """Refuse an incomplete folder, such as one left by an interrupted download."""
    from vljepa_ros.models.weight_files import weights_files

    if not any((folder / name).is_file() for name in ("config.json", OPEN_CLIP_CONFIG)):
        raise ModelError(f"'{folder}' holds no config.json; fetch it again")
    weights_files(folder)


def is_installed(name: str) -> bool:
    """Whether a model of the catalogue is completely on this disk."""
    entry = catalogue()[name]
    try:
        folder = model_dir(name)
        if entry.hub and not entry.convert_with:
            _check_complete(folder)
    except (ModelError, OSError):
        return False
    return True


def _list(args: argparse.Namespace) -> int:
    found = [
        {"name": name, **asdict(entry), "installed": is_installed(name)}
        for name, entry in catalogue().items()
    ]
    if args.json:
        print(json.dumps(found))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "here", "family", "download", "GPU"):
        table.add_column(column, no_wrap=True)
    table.add_column("best at; licence; how far this project has run it; hub id @ revision")
    for model in found:
        revision = f" @ {model['revision'][:12]}" if model["revision"] else ""
        table.add_row(
            model["name"],
            "yes" if model["installed"] else "no",
            model["family"],
            f"{model['download_gb']:g} GB" if model["download_gb"] else "none",
            f"{model['gpu_gb']:g} GB" if model["gpu_gb"] else "no need",
            f"{model['best_at']}. {model['licence']}. Run here: {model['tried']}."
            + (f" {model['hub']}{revision}" if model["hub"] else ""),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    note("fetch one with: vljepa fetch-model NAME; load it with: --model NAME, or model:=NAME")
    return 0
