"""What a node can ask about the graph, as in rclpy."""

from __future__ import annotations

from . import names
from .context import Context
from .graph import TopicEndpointInfo


class NodeGraph:
    """Graph queries; topic names are expanded and remapped as the node's own."""

    context: Context

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Absolute name of a topic."""
        raise NotImplementedError

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        """(name, namespace) of every node."""
        return self.context.graph.nodes()

    def get_node_names(self) -> list[str]:
        """Name of every node."""
        return [name for name, _ in self.get_node_names_and_namespaces()]

    def get_topic_names_and_types(self, no_demangle: bool = False) -> list[tuple[str, list[str]]]:
        """(name, types) of every topic."""
        return self.context.graph.topics()

    def get_service_names_and_types(self) -> list[tuple[str, list[str]]]:
        """(name, types) of every service."""
        return self.context.graph.services()

    def _infos(self, topic: str, kind: str) -> list[TopicEndpointInfo]:
        return self.context.graph.endpoints_of(
            names.topic_in_dds(self.resolve_topic_name(topic)), kind
        )

    def get_publishers_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Publishers of a topic, with node and QoS."""
        return self._infos(topic_name, "writer")

    def get_subscriptions_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Subscriptions of a topic, with node and QoS."""
        return self._infos(topic_name, "reader")

    def count_publishers(self, topic_name: str) -> int:
        """Number of publishers of a topic."""
        return len(self._infos(topic_name, "writer"))

    def count_subscribers(self, topic_name: str) -> int:
        """Number of subscriptions of a topic."""
        return len(self._infos(topic_name, "reader"))
