"""Imports LanceDB without its client for remote catalogues, which no robot uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from vljepa_ros.allocator import share_heap

CATALOGUES = "lance_namespace_urllib3_client"


def import_lancedb() -> ModuleType:
    """Import `lancedb`.

    Raises:
        ImportError: it is not installed, or cannot be imported.
    """
    # It warns of every empty cell of an index, hundreds of lines in a round of upkeep.
    os.environ.setdefault("LANCEDB_LOG", "error")
    share_heap()
    with _without_catalogues():
        return import_module("lancedb")


class _Placeholders(MetaPathFinder, Loader):
    """Stands in for the modules of CATALOGUES: any name imported from them is a class."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != CATALOGUES:
            return None
        self.made.append(fullname)
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__getattr__"] = lambda name: type(name, (), {})


@contextmanager
def _without_catalogues() -> Iterator[None]:
    """Context in which LanceDB is imported without its client for remote catalogues.

    The client makes hundreds of pydantic models: 1.5 of 1.9 s of processor time, and 20 MB. It is
    not needed for a directory or object storage. A later import gets the complete client; LanceDB
    itself cannot use remote catalogues in this process.
    """
    placeholders = _Placeholders()
    sys.meta_path.insert(0, placeholders)
    try:
        yield
    finally:
        sys.meta_path.remove(placeholders)
        for name in placeholders.made:
            sys.modules.pop(name, None)
