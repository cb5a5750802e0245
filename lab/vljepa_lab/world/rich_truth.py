"""What is true in a rich scene: the plain state, drawer, obstacle, and what the person holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.rich_cast import RichCast
from vljepa_lab.world.rich_room import RichRoom
from vljepa_lab.world.rich_state import RichState
from vljepa_lab.world.sight import area_seen, seen
from vljepa_lab.world.state import State


def rich_state(
    plain: State,
    cast: RichCast,
    room: RichRoom,
    renderer: Renderer,
    bodies: npt.NDArray[np.int32],
) -> RichState:
    """The state with what only a rich scene has. bodies: as `Renderer.bodies` gives them."""
    drawer_uv, drawer_visible = area_seen(renderer, bodies, "drawer_front")
    obstacle_uv, obstacle_visible = (9.0, 9.0), 0.0
    there = cast.obstacle > 0.001
    if there:
        obstacle_uv, _, obstacle_visible = seen(renderer, bodies, f"obstacle_{room.obstacle}", 1.0)
    return RichState(
        **vars(plain),
        drawer=round(cast.drawer, 3),
        drawer_uv=drawer_uv,
        drawer_visible=drawer_visible,
        obstacle=round(cast.obstacle, 3),
        obstacle_kind=room.obstacle if there else "",
        obstacle_uv=obstacle_uv,
        obstacle_visible=obstacle_visible,
        person_holds=cast.given.name if cast.given else "",
    )
