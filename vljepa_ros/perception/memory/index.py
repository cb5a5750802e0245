"""Which vector index pays for how many rows, and how it is searched. Figures: doc/memory.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Index", "Probes", "index_for", "probes_for"]

ROWS_THAT_PAY = 20_000
COMPARED = 320
"""Rows compared with their exact vectors, or twice as many as asked for: reading them is what takes
the time of a query, most of all with long vectors."""


@dataclass(frozen=True)
class Index:
    """An inverted file of vectors quantised to one bit for each dimension (RaBitQ).

    Product quantisation took 30 times as long to build 100,000 rows (42.6 s against 1.4 s).

    partitions: cells of the inverted file.
    """

    partitions: int

    def build(self, table: Any, column: str) -> None:
        """Build it on a LanceDB table; one to two minutes of a core for a million rows of 256-d."""
        from lancedb.index import IvfRq

        # Fewer, larger cells than the default, and a smaller sample for them: k-means is what takes
        # the time, and with exact vectors compared at the end the cells need not be sharp.
        config = IvfRq(
            distance_type="cosine",
            num_partitions=self.partitions,
            sample_rate=64,
            max_iterations=15,
        )
        table.create_index(column, config=config, replace=True)


@dataclass(frozen=True)
class Probes:
    """How an index is searched.

    partitions: cells looked into. refine: this many times more rows than asked for are compared
    with their exact vectors.
    """

    partitions: int
    refine: int


def index_for(rows: int, dim: int) -> Index | None:
    """The index for so many rows of [dim]; None: comparing with every row is fast enough."""
    if rows * dim < ROWS_THAT_PAY * 256:
        return None
    return Index(max(16, round(rows**0.5 / 4)))


def probes_for(limit: int) -> Probes:
    """How to search for the best `limit` rows."""
    return Probes(20, max(2, -(-COMPARED // limit)))
