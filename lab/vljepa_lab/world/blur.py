"""Motion blur: a picture as the mean of what the sensor sees while the shutter is open."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.staging import Stage
from vljepa_lab.world.story import Story


def expose(stage: Stage, story: Story, exposure: float, count: int) -> npt.NDArray[np.uint8]:
    """The mean of `count` pictures over the `exposure` seconds from the story's time on.

    The shutter opens at the picture's stamp. A copy of the story goes ahead, so the story itself
    and what follows do not depend on it; afterwards the stage stands at the story's time again.
    Levels are taken as light, as the Sensor does. RGB uint8 [height, width, 3].
    """
    t, shown = story.time, stage.cast
    total = np.zeros((stage.renderer.height, stage.renderer.width, 3), np.uint32)
    moving = not story.still(t + exposure)
    if moving:
        ahead = copy.deepcopy(story)
        stage.cast = ahead.cast
        for k in range(1, count):
            ahead.advance(t + exposure * k / (count - 1))
            stage.set(t)
            total += stage.renderer.picture()
        stage.cast = shown
    stage.set(t)
    sharp = stage.renderer.picture()
    if not moving:
        return sharp
    return ((total + sharp + count // 2) // count).astype(np.uint8)
