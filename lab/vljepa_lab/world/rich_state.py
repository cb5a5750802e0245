"""What the richer configuration of the world adds to its words and to the record of one instant.

Importable without mujoco. The plain world knows none of this: its ACTIONS and its State stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from vljepa_lab.world.state import ACTIONS, CONTACT_ACTIONS, OBJECT_ACTIONS, State

RICH_OBJECT_ACTIONS = ("handover to person", "handover from person")
RICH_ACTIONS = (
    *RICH_OBJECT_ACTIONS,
    "drawer opens",
    "drawer closes",
    "obstacle appears",
    "obstacle leaves",
)
# the gripper goes home after it
RICH_CONTACT_ACTIONS = ("handover to person",)
HANDED = 0.55  # share of a handover after which the other one holds the object
OBSTACLES = ("carton", "barrier", "trolley")


@dataclass(frozen=True)
class RichConfig:
    """The richer world: more events, motion blur in a part of the scenes, dense and quiet ones.

    gap: the mean seconds between events of a scene are drawn between these, evenly in their
    logarithm. first: the first event starts so many seconds in at most. blurred: share of the
    scenes with motion blur. exposure: seconds, drawn between these in a blurred scene. sub_frames:
    pictures whose mean a blurred picture is.

    Raises:
        ValueError: names the field, its value and what is allowed.
    """

    gap: tuple[float, float] = (3.0, 60.0)
    first: float = 6.0
    blurred: float = 0.4
    exposure: tuple[float, float] = (0.04, 0.12)
    sub_frames: int = 10

    def __post_init__(self) -> None:
        for name, (low, high), least, most in (
            ("gap", self.gap, 0.5, 600.0),
            ("first", (self.first, self.first), 0.0, 600.0),
            ("blurred", (self.blurred, self.blurred), 0.0, 1.0),
            ("exposure", self.exposure, 0.001, 1.0),
            ("sub_frames", (self.sub_frames, self.sub_frames), 2, 64),
        ):
            if not least <= low <= high <= most:
                value = getattr(self, name)
                raise ValueError(f"{name} is {value}; allowed are {least} to {most}, rising")


@dataclass(frozen=True)
class RichState(State):
    """State with what only the richer world has; uv and visible as in ObjectState.

    drawer: 0 closed .. 1 open; drawer_visible: share of its front that can be seen. obstacle: 0
    away .. 1 between the robot and the table; obstacle_kind: one of OBSTACLES, "" while there is
    none; obstacle_visible: share of it that can be seen, what lies below the picture not counted.
    person_holds: `color shape` of what the person holds, or "" (that object's place is `person`).
    """

    drawer: float
    drawer_uv: tuple[float, float]
    drawer_visible: float
    obstacle: float
    obstacle_kind: str
    obstacle_uv: tuple[float, float]
    obstacle_visible: float
    person_holds: str

    @property
    def drawer_open(self) -> bool | None:
        """Whether it is open; None where it is between, or hardly seen."""
        if self.drawer_visible < 0.5 or 0.05 < self.drawer < 0.6:
            return None
        return self.drawer >= 0.6

    @property
    def blocked(self) -> bool | None:
        """Whether an obstacle is in the way; None while it moves, or where it is hardly seen."""
        if self.obstacle <= 0.001:
            return False
        return True if self.obstacle >= 0.8 and self.obstacle_visible >= 0.4 else None

    @property
    def seen_in_hand(self) -> str:
        """What the person holds where one can see it, or ""."""
        visible = any(o.name == self.person_holds and o.visible >= 0.5 for o in self.objects)
        return self.person_holds if visible else ""


def actions(rich: bool) -> tuple[str, ...]:
    """Kinds of event of a world, `nothing` first."""
    return (*ACTIONS, *RICH_ACTIONS) if rich else ACTIONS


def object_actions(rich: bool) -> tuple[str, ...]:
    """Kinds of event that happen to one object."""
    return (*OBJECT_ACTIONS, *RICH_OBJECT_ACTIONS) if rich else OBJECT_ACTIONS


def contact_actions() -> tuple[str, ...]:
    """Kinds of event after which the gripper goes home."""
    return (*CONTACT_ACTIONS, *RICH_CONTACT_ACTIONS)
