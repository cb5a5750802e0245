"""One graph for each test module: starting a participant takes longer than a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_input import Watch
from graph import MODEL, Graph

from vljepa_ros.nodes.perception_node import PerceptionNode


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
        network.unsubscribe_all()
        network.destroy_publishers()
        for node in list(network.nodes):
            network.remove(node)


@pytest.fixture(scope="module")
def started(network: Graph) -> Any:
    """One node for all tests that leave it alive, which is what they are about."""
    node = network.add(
        PerceptionNode, model=MODEL, max_rate=1000.0, image_timeout=1.0, always_on=True
    )
    network.nodes.remove(node)  # not to be removed after each test
    yield node
    network.nodes.append(node)
    network.remove(node)


@pytest.fixture
def watch(graph: Graph, started: Any) -> Watch:
    return Watch(graph)
