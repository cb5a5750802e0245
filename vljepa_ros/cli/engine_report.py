"""What `vljepa export` and `vljepa build-engine` share: errors in one line, progress, parity."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vljepa_ros.cli.failure import CliError

if TYPE_CHECKING:
    from vljepa_ros.engines.engine_cache import EngineCache
    from vljepa_ros.engines.parity import Parity
    from vljepa_ros.models.config import ModelConfig


def run_into_cache(
    model: str,
    as_json: bool,
    make: Callable[[ModelConfig, EngineCache], tuple[Path, Sequence[Parity]]],
) -> int:
    """Load a model's configuration, let `make` fill the engine cache, print the parity.

    :raises CliError: what went wrong, in one line.
    """

    def work() -> int:
        from vljepa_ros.engines.engine_cache import EngineCache, default_cache_root
        from vljepa_ros.models.folder import load_config
        from vljepa_ros.resources import model_dir

        cache = EngineCache(default_cache_root())
        folder, results = make(load_config(model_dir(model)), cache)
        if as_json:
            parity = {r.part: {"cosine": r.cosine, "difference": r.difference} for r in results}
            print(json.dumps({"folder": str(folder), "parity": parity}))
            return 0
        for r in results:
            print(f"{r.part:<10} cosine {r.cosine:.7f}  greatest difference {r.difference:.2e}")
        print(folder)
        return 0

    return in_one_line(work)


def in_one_line(work: Callable[[], int]) -> int:
    """Run `work`.

    :raises CliError: a model error, or a package that is missing, with the install command.
    """
    from vljepa_ros.models.config import ModelError

    try:
        return work()
    except ModelError as error:
        raise CliError(str(error)) from error
    except ImportError as error:
        raise CliError(needs(error)) from error


def needs(error: ImportError) -> str:
    """One line with the install command."""
    return f"{error.name} is not installed: pip install torch transformers onnx onnxscript"


def note(line: str) -> None:
    """Progress goes to standard error."""
    print(line, file=sys.stderr, flush=True)
