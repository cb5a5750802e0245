"""The shapes that an engine is built for: axes with minimum, optimum and maximum size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, Tensor


@dataclass(frozen=True)
class Profile:
    """Ranges of sizes of the dynamic axes.

    Attributes:
        axes: (axis, (minimum, optimum, maximum) size) of each axis.
    """

    axes: tuple[tuple[str, tuple[int, int, int]], ...]

    def __post_init__(self) -> None:
        for name, (least, best, greatest) in self.axes:
            if not 1 <= least <= best <= greatest:
                raise ModelError(
                    f"profile of axis '{name}' is {least}, {best}, {greatest}; "
                    "allowed: 1 <= least <= best <= greatest"
                )

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether all sizes are within their ranges."""
        ranges = dict(self.axes)
        return all(
            name in ranges and ranges[name][0] <= size <= ranges[name][2]
            for name, size in sizes.items()
        )

    def __str__(self) -> str:
        """For messages and keys: `batch 1..8 (4), query 1..64 (12)`."""
        return ", ".join(f"{name} {a}..{c} ({b})" for name, (a, b, c) in self.axes)


def default_profiles(
    part: Part, sizes: Mapping[str, tuple[int, int, int]], batches: Sequence[int] = (1, 8)
) -> tuple[Profile, ...]:
    """One profile for each batch size: (1) for latency, then (previous + 1 .. n) for throughput.

    Args:
        part: Part with the axes.
        sizes: Ranges (minimum, optimum, maximum) of the axes other than `batch`.
        batches: Maximum batch of each profile.

    Raises:
        ModelError: An axis has no range.
    """
    axes = part.axes()
    missing = [axis for axis in axes if axis != "batch" and axis not in sizes]
    if missing:
        raise ModelError(f"part '{part.name}' needs a range for {', '.join(missing)}")
    profiles = []
    least = 1
    for greatest in sorted(set(batches)):
        ranges = {**{axis: sizes[axis] for axis in axes if axis != "batch"}}
        if "batch" in axes:
            ranges["batch"] = (least, greatest, greatest)
        profiles.append(Profile(tuple((axis, ranges[axis]) for axis in axes)))
        least = greatest + 1
    return tuple(profiles)


def select_profile(part: str, profiles: Sequence[Profile], sizes: Mapping[str, int]) -> int:
    """Index of the first profile that includes the sizes.

    Raises:
        ModelError: None does; the message names the ranges of the engine.
    """
    for index, profile in enumerate(profiles):
        if profile.holds(sizes):
            return index
    seen = ", ".join(f"{name} {size}" for name, size in sizes.items())
    allowed = "; or ".join(str(profile) for profile in profiles)
    raise ModelError(f"part '{part}' was built for {allowed}; got {seen}: build it again")


def tensor_range(tensor: Tensor, profile: Profile) -> tuple[tuple[int, ...], ...]:
    """Minimum, optimum and maximum shape of one input, [3][dims]."""
    ranges = dict(profile.axes)
    return tuple(
        tuple(ranges[dim][i] if isinstance(dim, str) else dim for dim in tensor.dims)
        for i in range(3)
    )
