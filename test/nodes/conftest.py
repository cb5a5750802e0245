"""One graph for each test module: starting a participant takes longer than a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from graph import Graph


@pytest.fixture(scope="module")
def network(domain: int) -> Iterator[Graph]:
    made = Graph()
    yield made
    made.close()


@pytest.fixture
def graph(network: Graph, tmp_path: Path) -> Iterator[Graph]:
    """The module's graph, without the nodes of the test before and without what they kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_HOME", str(tmp_path / "ros_home"))
        yield network
        network.deaf()
        network.mute()
        for node in list(network.nodes):
            network.remove(node)
