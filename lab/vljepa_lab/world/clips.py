"""A scene's record as it is read from a data set, and what happens in one clip of it.

A clip is CLIP_FRAMES frames INTERVAL seconds apart that ends at frame `t` of the record. Importable
without mujoco.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vljepa_lab.world.captions import SEEN
from vljepa_lab.world.state import CONTACT_ACTIONS, Event, State

CLIP_FRAMES, INTERVAL = 4, 0.5


@dataclass(frozen=True)
class Record:
    """A scene's record, read from a line of a data set."""

    split: str
    events: tuple[Event, ...]
    states: tuple[State, ...]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """From one parsed line of `shard_*.jsonl`."""
        return cls(
            data["split"],
            tuple(Event(**e) for e in data["events"]),
            tuple(State.from_dict(s) for s in data["states"]),
        )


@dataclass(frozen=True)
class Window:
    """What happens in one clip. kind is None where it cannot be said."""

    kind: str | None
    object: str


def window(record: Record, t: int) -> Window:
    """The event of the clip that ends at frame t.

    An event counts where the clip covers 60% of it (or is covered by it), and no other one by more
    than 35%; nothing, where no event touches the clip and the gripper is not on its way home.
    """
    end = record.states[t].stamp
    start = end - (CLIP_FRAMES - 1) * INTERVAL
    shares = []
    for e in record.events:
        after = 0.5 if e.kind in CONTACT_ACTIONS else 0.0
        if min(end, e.end + after) - max(start, e.start) > 0:
            covered = min(end, e.end) - max(start, e.start)
            shares.append((covered / min(e.end - e.start, end - start), e))
    if not shares:
        return Window("nothing", "")
    shares.sort(key=lambda s: -s[0])
    share, event = shares[0]
    if share < 0.6 or (len(shares) > 1 and shares[1][0] > 0.35) or not _in_view(record, t, event):
        return Window(None, "")
    return Window(event.kind, event.object)


def _in_view(record: Record, t: int, event: Event) -> bool:
    """Whether enough of the clip's frames show the event."""
    frames = record.states[max(0, t - CLIP_FRAMES + 1) : t + 1]
    if event.object:
        seen = sum(o.visible >= 0.5 for s in frames for o in s.objects if o.name == event.object)
        return seen >= (1 if event.kind == "fall off" else 2)
    if event.kind.startswith("door"):
        return all(s.door_visible for s in frames)
    if event.kind.startswith("person"):
        return sum(s.person_visible >= SEEN for s in frames) >= 2
    return True
