"""Which vector index pays for how many rows, and how it is searched. Figures: doc/memory.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ROWS_THAT_PAY = 20_000
COMPARED = 320
"""Rows compared with their exact vectors, or twice as many as asked for: reading them is what takes
the time of a query, most of all with long vectors."""


SEGMENTS = 8
"""Parts of an index above which it is built anew: each round of upkeep adds one, and each costs a
query nearly 2 ms of a core."""
GROWN = 4
"""It is built anew too when there are so many times the rows that it was made for."""


@dataclass(frozen=True)
class Index:
    """An inverted file of vectors quantised to one bit for each dimension (RaBitQ).

    Product quantisation took 30 times as long to build 100,000 rows (42.6 s against 1.4 s).

    partitions: cells of the inverted file.
    """

    partitions: int

    def build(self, table: Any, column: str, rows: int) -> None:
        """Build it on a LanceDB table of so many rows, in the place of any other index; one to two
        minutes of a core for a million rows of 256-d."""
        from lancedb.index import IvfRq

        # Fewer, larger cells than the default, and a smaller sample for them: k-means is what takes
        # the time, and with exact vectors compared at the end the cells need not be sharp.
        config = IvfRq(
            distance_type="cosine",
            num_partitions=self.partitions,
            sample_rate=64,
            max_iterations=15,
        )
        name = f"{column}_{rows}"
        table.create_index(column, config=config, replace=True, name=name)
        for other in table.list_indices():
            if column in other.columns and other.name != name:
                table.drop_index(other.name)


def is_worn(table: Any, column: str, rows: int) -> bool:
    """Whether the index of a LanceDB table is in too many parts, or was made for far fewer rows."""
    for index in table.list_indices():
        if column in index.columns:
            made_for = index.name.rpartition("_")[2]
            small = made_for.isdecimal() and rows >= GROWN * int(made_for)
            return bool(small or (getattr(index, "num_segments", 0) or 0) > SEGMENTS)
    return False


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
