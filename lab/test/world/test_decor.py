"""Furnished training rooms: more to see, the same truth, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vljepa_lab.world.dataset import make_scene
from vljepa_lab.world.decor import Decorator, camouflage_person
from vljepa_lab.world.mjcf import DECOR
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.room import draw_room
from vljepa_lab.world.scene import Scene


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer(64, 64, textures=5)
    yield made
    made.close()


def shown(renderer: Renderer) -> list[str]:
    names = (f"decor_{kind}_{i}" for kind, count in DECOR.items() for i in range(count))
    return [name for name in names if renderer.model.geom_group[renderer.geom[name]] == 0]


def test_a_plain_room_looks_the_same_after_a_furnished_one(renderer: Renderer) -> None:
    before, _ = make_scene(renderer, 4, "val", 2)
    furnished, _ = make_scene(renderer, 4, "train", 2, furnished=True)
    after, _ = make_scene(renderer, 4, "val", 2)
    np.testing.assert_array_equal(before, after)
    assert np.abs(furnished.astype(int) - before).mean() > 1


def test_furniture_changes_no_story(renderer: Renderer) -> None:
    for seed in range(6):
        pictures, plain = make_scene(renderer, seed, "train", 8)
        furnished, record = make_scene(renderer, seed, "train", 8, furnished=True)
        assert record["events"] == plain["events"]
        for a, b in zip(plain["states"], record["states"], strict=True):
            assert [(o["color"], o["shape"], o["uv"]) for o in a["objects"]] == [
                (o["color"], o["shape"], o["uv"]) for o in b["objects"]
            ]
            assert (a["door"], a["lights"], a["person"]) == (b["door"], b["lights"], b["person"])
            # It stands behind the person and the table: it hides nothing that counts.
            assert a["person_visible"] == b["person_visible"]
            assert [o["visible"] for o in a["objects"]] == [o["visible"] for o in b["objects"]]
        assert (pictures != furnished).any()


def test_most_furnished_rooms_show_furniture_and_all_keep_the_door_free(
    renderer: Renderer,
) -> None:
    model, furnished = renderer.model, 0
    for seed in range(30):
        scene = Scene(renderer, seed, "train", furnished=True)
        visible = shown(renderer)
        furnished += bool(visible)
        for name in visible:
            x, y, _ = model.geom_pos[renderer.geom[name]]
            assert y > 1.2, (name, y)  # behind where the person walks
            if name.startswith(("decor_pane", "decor_view")):
                assert abs(x - scene.room.door_x) > 0.5
    assert furnished > 20


def test_only_training_rooms_can_be_furnished(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="only rooms of the split train"):
        Scene(renderer, 0, "test_a", furnished=True)


def test_none_of_them_is_the_plant_of_the_held_out_rooms(renderer: Renderer) -> None:
    model, tall = renderer.model, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        room = draw_room(renderer, rng, held_out=False)
        for name in shown(renderer):
            renderer.show_geom(name, False)
        Decorator(renderer, room, rng).add_lookalikes()
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
        camouflage_person(renderer, np.random.default_rng(seed))
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
