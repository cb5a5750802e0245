"""What goes wrong with a memory; every message says what was found and what is allowed."""

from __future__ import annotations


class MemoryStoreError(RuntimeError):
    """The store cannot be opened, read or written: full or read-only disk, damage, no lancedb."""


class MemoryMissingError(MemoryStoreError):
    """There is no store at this place (yet)."""


class OtherModelError(MemoryStoreError):
    """The store holds embeddings of another model; they must not be compared or mixed."""


class QueryError(ValueError):
    """A query that makes no sense: unknown camera, end before start, empty text, wrong limit."""
