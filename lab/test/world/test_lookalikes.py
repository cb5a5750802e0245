"""Things that look like people in furnished rooms, and people that look like the wall."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vljepa_lab.world.decorator import Decorator
from vljepa_lab.world.layout import furnish
from vljepa_lab.world.lookalikes import add_lookalikes, hide_in_front_of_the_wall
from vljepa_lab.world.model_xml import DECOR
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer(64, 64, textures=5)
    yield made
    made.close()


def shown(renderer: Renderer) -> list[str]:
    names = (f"decor_{kind}_{i}" for kind, count in DECOR.items() for i in range(count))
    return [name for name in names if renderer.model.geom_group[renderer.geom[name]] == 0]


def test_none_of_them_is_the_plant_of_the_held_out_rooms(renderer: Renderer) -> None:
    model, tall = renderer.model, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        room = furnish(renderer, rng, held_out=False)
        for name in shown(renderer):
            renderer.show_geom(name, False)
        add_lookalikes(Decorator(renderer, room, rng))
        for name in shown(renderer):
            geom = renderer.geom[name]
            red, green, blue = model.geom_rgba[geom, :3]
            wide, _, high = model.geom_size[geom]
            if name.startswith("decor_round") and high > 1.2 * wide:
                tall += 1
                assert green < 1.15 * max(red, blue), name
    assert tall > 10


def test_clothes_are_of_the_walls_colour_in_a_third_of_the_rooms(renderer: Renderer) -> None:
    hidden = 0
    for seed in range(200):
        renderer.paint("person_body", (0.0, 1.0, 0.0))
        hide_in_front_of_the_wall(renderer, np.random.default_rng(seed))
        body = renderer.model.geom_rgba[renderer.geom["person_body"], :3]
        hidden += bool((body != np.array([0, 1, 0], np.float32)).any())
    assert 45 < hidden < 95


def test_the_mean_colour_is_that_of_the_picture(renderer: Renderer) -> None:
    scene = Scene(renderer, 3, "train")
    scene.advance(0.1)
    renderer.paint("wall_back", (1.0, 1.0, 1.0))
    white = renderer.mean_colour("wall_back")
    renderer.paint("wall_back", (0.5, 1.0, 0.25))
    np.testing.assert_allclose(renderer.mean_colour("wall_back"), white * (0.5, 1, 0.25), rtol=1e-5)
    renderer.paint("person_body", (0.2, 0.4, 0.6))  # no texture
    np.testing.assert_allclose(renderer.mean_colour("person_body"), (0.2, 0.4, 0.6), rtol=1e-5)
