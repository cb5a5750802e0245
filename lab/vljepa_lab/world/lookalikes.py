"""What a model takes for people: tall single-coloured things, and clothes that the wall hides.

In held-out rooms most wrong answers about people were plants and columns taken for somebody, and
people in clothes of the wall's colour taken for nobody. Furnished training rooms have such things
of many kinds, all behind where people walk. The plant of the held-out rooms, an upright green
ellipsoid, is none of them: whatever is an upright ellipsoid here is of another colour.
"""

from __future__ import annotations

import numpy as np

from vljepa_lab.world.decorator import Decorator
from vljepa_lab.world.renderer import Array, Renderer

_HIDDEN = 0.35  # share of the rooms in which clothes are of the wall's colour


def add_lookalikes(decorator: Decorator) -> None:
    """Stand up to three of them into the room."""
    kinds = (_vase, _column, _dummy, _globe, _coat)
    for _ in range(decorator.rng.choice(4, p=(0.25, 0.35, 0.25, 0.15))):
        kinds[decorator.rng.choice(len(kinds), p=(0.35, 0.2, 0.15, 0.15, 0.15))](decorator)


def _no_leaf(decorator: Decorator) -> Array:
    """A colour in which green is not the strongest by far."""
    while True:
        tint = decorator.tint(0.05, 1.0)
        if tint[1] < 1.15 * max(tint[0], tint[2]):
            return tint


def _vase(decorator: Decorator) -> None:
    """One big ellipsoid on a foot of its own or on the floor, now and then with a neck."""
    rng = decorator.rng
    spot = decorator.place_on_floor(0.2)
    if spot is None:
        return
    size = rng.uniform((0.09, 0.08, 0.18), (0.28, 0.2, 0.5))
    foot = float(rng.uniform(0.03, 0.35))
    form = "post" if rng.random() < 0.5 else "box"
    width = float(rng.uniform(0.06, 0.16))
    decorator.put(form, (*spot, foot), (width, foot if form == "post" else width, foot), _any(rng))
    tint = _no_leaf(decorator)
    middle = 2 * foot + float(size[2])
    decorator.put("round", (*spot, middle), tuple(size), tint)
    if rng.random() < 0.3:
        neck = float(rng.uniform(0.04, 0.1))
        decorator.put("round", (*spot, middle + float(size[2])), (neck, neck, neck), tint)


def _column(decorator: Decorator) -> None:
    """As high as a person and of one colour: a pillar, a fridge, a rolled carpet."""
    rng = decorator.rng
    spot = decorator.place_on_floor(0.2)
    if spot is None:
        return
    height, width = float(rng.uniform(0.45, 0.85)), float(rng.uniform(0.07, 0.2))
    if rng.random() < 0.5:
        decorator.put("post", (*spot, height), (width, height, 0), decorator.tint())
    else:
        decorator.put("box", (*spot, height), (width, 0.1, height), decorator.tint())


def _dummy(decorator: Decorator) -> None:
    """A dress on a pole: a body without head, arms and legs."""
    rng = decorator.rng
    spot = decorator.place_on_floor(0.2)
    if spot is None:
        return
    pole = float(rng.uniform(0.4, 0.55))
    decorator.put("post", (*spot, pole), (float(rng.uniform(0.012, 0.03)), pole, 0), _any(rng))
    tint = _no_leaf(decorator)
    size = rng.uniform((0.12, 0.08, 0.2), (0.18, 0.14, 0.32))
    decorator.put("round", (*spot, 2 * pole), tuple(size), tint)
    if rng.random() < 0.5:  # the skirt
        low = float(rng.uniform(0.1, 0.2))
        decorator.put("post", (*spot, 2 * pole - float(size[2]) - low / 2), (0.14, low, 0), tint)


def _globe(decorator: Decorator) -> None:
    """A ball on a pole or on a column: where a head would be, with nothing like a body."""
    rng = decorator.rng
    spot = decorator.place_on_floor(0.15)
    if spot is None:
        return
    height, radius = float(rng.uniform(0.4, 0.75)), float(rng.uniform(0.08, 0.18))
    width = float(rng.uniform(0.015, 0.1))
    decorator.put("post", (*spot, height), (width, height, 0), _any(rng))
    decorator.put("round", (*spot, 2 * height + radius), (radius, radius, radius), _any(rng))


def _coat(decorator: Decorator) -> None:
    """Cloth on the wall, as high and as wide as a person."""
    rng = decorator.rng
    half = float(rng.uniform(0.1, 0.22))
    x = decorator.place_on_wall(half)
    if x is None:
        return
    height = float(rng.uniform(0.25, 0.6))
    size = (half, 0.03, height)
    decorator.put("box", (x, decorator.face - 0.04, float(rng.uniform(0.7, 1.2))), size, _any(rng))


def _any(rng: np.random.Generator) -> Array:
    """Any colour."""
    return rng.uniform(0.05, 1.0, 3)


def hide_in_front_of_the_wall(renderer: Renderer, rng: np.random.Generator) -> None:
    """Dress the person in the colour of the wall or of the door, a bit lighter or darker, in a
    third of the rooms."""
    if rng.random() >= _HIDDEN:
        return
    behind = "wall_back" if rng.random() < 0.7 else "door_leaf"
    clothes = renderer.mean_colour(behind) * rng.uniform(0.65, 1.3) + rng.normal(0, 0.03, 3)
    parts = ["person_body", "arm_left_limb", "arm_right_limb"]
    if rng.random() < 0.4:
        parts += ["leg_left_limb", "leg_right_limb"]
    for name in parts:
        renderer.paint(name, clothes.clip(0, 1))
