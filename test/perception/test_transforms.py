"""Chains of frames: against matrices, both ways, through a common ancestor; loops and nonsense."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.transforms import Transform, TransformTree

METRES = st.floats(-50.0, 50.0)
ROTATIONS = (
    st.tuples(*[st.floats(-1.0, 1.0)] * 4)
    .filter(lambda q: math.dist(q, (0, 0, 0, 0)) > 0.1)
    .map(lambda q: tuple(v / math.dist(q, (0, 0, 0, 0)) for v in q))
)
TRANSFORMS = st.builds(Transform, st.tuples(METRES, METRES, METRES), ROTATIONS)


def matrix(transform: Transform) -> np.ndarray:
    """Homogeneous, by the textbook's formula."""
    x, y, z, w = transform.rotation
    made = np.eye(4)
    made[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    made[:3, 3] = transform.translation
    return made


@settings(max_examples=60, deadline=None)
@given(st.lists(TRANSFORMS, min_size=1, max_size=6), st.data())
def test_a_chain_equals_the_product_of_matrices(chain: list, data: st.DataObject) -> None:
    tree = TransformTree()
    frames = ["map", *(f"frame_{i}" for i in range(len(chain)))]
    links = list(zip(frames, frames[1:], chain, strict=False))
    for parent, child, transform in data.draw(st.permutations(links)):
        tree.put(parent, child, transform, 1.0)
    found = tree.find("map", frames[-1])
    assert found is not None
    expected = np.linalg.multi_dot([np.eye(4), np.eye(4), *map(matrix, chain)])
    assert np.allclose(matrix(found[0]), expected, atol=1e-6)
    back = tree.find(frames[-1], "map")
    assert back is not None
    assert np.allclose(matrix(back[0]) @ expected, np.eye(4), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(TRANSFORMS, TRANSFORMS, TRANSFORMS)
def test_two_branches_meet_at_their_common_ancestor(
    base: Transform, left: Transform, right: Transform
) -> None:
    tree = TransformTree()
    tree.put("odom", "base", base, 3.0)
    tree.put("base", "left", left, math.inf)
    tree.put("/base", "/right", right, math.inf)
    found = tree.find("left", "right")
    assert found is not None
    assert found[1] == math.inf, "the dynamic transform is not on the way"
    expected = np.linalg.inv(matrix(left)) @ matrix(right)
    assert np.allclose(matrix(found[0]), expected, atol=1e-6)
    through = tree.find("odom", "left")
    assert through is not None
    assert through[1] == 3.0


def test_a_frame_is_in_itself_where_it_is() -> None:
    found = TransformTree().find("map", "map")
    assert found == (Transform(), math.inf)


def test_the_oldest_transform_on_the_way_says_how_old_the_answer_is() -> None:
    tree = TransformTree()
    tree.put("map", "odom", Transform(), 5.0)
    tree.put("odom", "base_link", Transform(), 9.0)
    found = tree.find("map", "base_link")
    assert found is not None
    assert found[1] == 5.0
    tree.put("map", "odom", Transform((1.0, 0.0, 0.0)), 10.0)
    assert tree.find("map", "base_link") == (Transform((1.0, 0.0, 0.0)), 9.0)


def test_what_is_not_connected_is_not_found() -> None:
    tree = TransformTree()
    tree.put("map", "odom", Transform(), 1.0)
    assert tree.find("map", "base_link") is None
    assert tree.find("world", "odom") is None


def test_a_loop_ends() -> None:
    tree = TransformTree()
    tree.put("a", "b", Transform(), 1.0)
    tree.put("b", "a", Transform(), 1.0)
    assert tree.find("map", "a") is None
    assert tree.find("a", "map") is None


@pytest.mark.parametrize(
    ("parent", "child", "transform"),
    [
        ("map", "map", Transform()),
        ("", "odom", Transform()),
        ("map", "", Transform()),
        ("map", "odom", Transform((math.nan, 0.0, 0.0))),
        ("map", "odom", Transform((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))),
        ("map", "odom", Transform((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, math.inf))),
    ],
)
def test_nonsense_is_refused(parent: str, child: str, transform: Transform) -> None:
    tree = TransformTree()
    tree.put("map", "odom", Transform((1.0, 2.0, 3.0)), 1.0)
    tree.put(parent, child, transform, 2.0)
    assert tree.find("map", "odom") == (Transform((1.0, 2.0, 3.0)), 1.0)


def test_a_rotation_is_normalised() -> None:
    tree = TransformTree()
    tree.put("map", "odom", Transform((0.0, 0.0, 0.0), (0.0, 0.0, 3.0, 3.0)), 1.0)
    found = tree.find("map", "odom")
    assert found is not None
    assert found[0].rotation == pytest.approx((0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)))


def test_new_names_without_end_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vljepa_ros.perception.transforms.MAX_FRAMES", 3)
    tree = TransformTree()
    for number in range(5):
        tree.put("map", f"frame_{number}", Transform(), 1.0)
    assert [tree.find("map", f"frame_{n}") is not None for n in range(5)] == [True] * 3 + [
        False
    ] * 2
    tree.put("map", "frame_0", Transform((1.0, 0.0, 0.0)), 2.0)
    assert tree.find("map", "frame_0") == (Transform((1.0, 0.0, 0.0)), 2.0), "those that are known"
