"""Furnished training rooms: more to see, the same truth, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vljepa_lab.world.dataset import make_scene
from vljepa_lab.world.model_xml import DECOR
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    made = Renderer(64, 64, textures=5)
    yield made
    made.close()


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
    model, shown = renderer.model, 0
    for seed in range(30):
        scene = Scene(renderer, seed, "train", furnished=True)
        visible = [
            name
            for kind, count in DECOR.items()
            for name in (f"decor_{kind}_{i}" for i in range(count))
            if model.geom_group[renderer.geom[name]] == 0
        ]
        shown += bool(visible)
        for name in visible:
            x, y, _ = model.geom_pos[renderer.geom[name]]
            assert y > 1.2, (name, y)  # behind where the person walks
            if name.startswith(("decor_pane", "decor_view")):
                assert abs(x - scene.room.door_x) > 0.5
    assert shown > 20


def test_only_training_rooms_can_be_furnished(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="only rooms of the split train"):
        Scene(renderer, 0, "test_a", furnished=True)
