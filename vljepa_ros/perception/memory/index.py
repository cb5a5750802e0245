"""Which vector index pays for how many rows, and how it is searched. Figures: doc/memory.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Index", "Probes", "index_for", "probes_for"]

ROWS_THAT_PAY = 20_000


@dataclass(frozen=True)
class Index:
    """An inverted file of product-quantised vectors.

    partitions: cells of the inverted file. sub_vectors: bytes kept for each row.
    """

    partitions: int
    sub_vectors: int

    def build(self, table: Any, column: str) -> None:
        """Build it on a LanceDB table; minutes for a million rows."""
        table.create_index(
            metric="cosine",
            num_partitions=self.partitions,
            num_sub_vectors=self.sub_vectors,
            vector_column_name=column,
            index_type="IVF_PQ",
            replace=True,
        )


@dataclass(frozen=True)
class Probes:
    """partitions: cells looked into. refine: this many times more rows than asked for are compared
    with their exact vectors."""

    partitions: int
    refine: int


def index_for(rows: int, dim: int) -> Index | None:
    """The index for so many rows; None: comparing with every row is fast enough."""
    if rows < ROWS_THAT_PAY:
        return None
    return Index(max(16, round(rows**0.5)), max(1, dim // 8))


def probes_for(limit: int) -> Probes:
    """How to search for the best `limit` rows."""
    return Probes(40, 10 if limit <= 100 else 3)
