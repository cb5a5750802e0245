"""Which sample is seen when: a pure function of seed, stage and step, so a resumed run repeats
nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DataOrder:
    """Shuffled epochs of `count` samples, cut into global batches; what is left over ends the
    epoch.

    The global batch does not depend on how many processes share it: rank r of n takes its n-th
    part.
    """

    count: int
    batch: int
    seed: int
    stage: int

    def __post_init__(self) -> None:
        if self.count < self.batch or self.batch < 1:
            raise ValueError(
                f"stage {self.stage} has {self.count} samples, the global batch is {self.batch}; "
                "allowed: a batch of 1 up to the number of samples"
            )

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.count // self.batch

    def indices(self, step: int, rank: int = 0, ranks: int = 1) -> list[int]:
        """Samples of a step for one process.

        :raises ValueError: a batch that the processes cannot share evenly.
        """
        if self.batch % ranks:
            raise ValueError(f"the global batch {self.batch} is no multiple of {ranks} processes")
        epoch, position = divmod(step, self.per_epoch)
        rng = np.random.default_rng([self.seed, self.stage, epoch])
        order = rng.permutation(self.count)[position * self.batch : (position + 1) * self.batch]
        own = self.batch // ranks
        return [int(i) for i in order[rank * own : (rank + 1) * own]]
