"""What happens next in a rich scene: the plain events where they are possible, and six more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vljepa_lab.world.cast import Cast, Thing
from vljepa_lab.world.events import Motion, choose, prepare, weights
from vljepa_lab.world.model_xml import TABLE_Z
from vljepa_lab.world.rich_cast import RichCast, near_middle
from vljepa_lab.world.rich_state import RICH_ACTIONS

_REACH_Y = 0.30  # metres: where the gripper takes what it was given


def rich_weights(cast: RichCast) -> dict[str, float]:
    """How likely each kind is now; what the rest rules out is left out."""
    w = weights(cast)
    if cast.given is not None:
        w.pop("person leaves", None)
    if cast.obstacle > 0.5:
        w.pop("move forward", None)
        w["obstacle leaves"] = 3.5
    elif cast.forward < 0.05:
        w["obstacle appears"] = 3.5
    w["drawer opens" if cast.drawer < 0.5 else "drawer closes"] = 3.0
    there = cast.person > 0.99
    if there and cast.held is not None and cast.given is None:
        w["handover to person"] = 10.0
    if there and cast.held is None and cast.given is not None:
        w["handover from person"] = 7.0
    return w


def plan_rich(cast: Cast, rng: np.random.Generator, t: float, last: str = "") -> Motion | None:
    """As `events.plan`, for a RichCast."""
    assert isinstance(cast, RichCast)
    return choose(rich_weights(cast), _prepare, cast, rng, t, last)


def _prepare(kind: str, cast: Cast, rng: np.random.Generator, t: float) -> Motion | None:
    assert isinstance(cast, RichCast)
    if kind not in RICH_ACTIONS:
        motion = prepare(kind, cast, rng, t)
        if motion is not None and kind.startswith("person"):  # not through the open drawer
            motion = replace(motion, sign=cast.door_side, level=near_middle(motion.level))
        return motion
    duration, level, sign = float(rng.uniform(1.4, 2.3)), 0.0, 0
    thing: Thing | None = None
    target = None
    if kind == "obstacle appears":
        level, sign = float(rng.uniform(-0.08, 0.08)), int(rng.choice([-1, 1]))
    elif kind == "obstacle leaves":
        level, sign = cast.obstacle_stay, int(rng.choice([-1, 1]))
    elif kind == "handover to person":
        thing, duration = cast.held, float(rng.uniform(2.0, 2.8))
    elif kind == "handover from person":
        thing, duration = cast.given, float(rng.uniform(2.0, 2.8))
        x = cast.inner * float(rng.uniform(-0.2, 0.3))
        target = np.array([x, _REACH_Y, TABLE_Z + 0.27])
    return Motion(
        kind, t, duration, *cast.gripper(), thing=thing, target=target, sign=sign, level=level
    )
