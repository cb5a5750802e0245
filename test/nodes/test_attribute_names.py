"""No node of ours takes a name that the runtime's own node class uses for something else."""

from __future__ import annotations

import ast
from pathlib import Path

from graph import Graph

import vljepa_ros.nodes
from vljepa_ros import ros

OVERRIDDEN = {
    "on_configure",
    "on_activate",
    "on_deactivate",
    "on_cleanup",
    "on_shutdown",
    "on_error",
    "destroy_node",
    "__init__",
}
# Private names of Jazzy's LifecycleNode: a clash must show where rclpy is not installed, too.
RCLPY = """
    _allow_undeclared_parameters _apply_descriptor _apply_descriptor_and_set _apply_descriptors
    _apply_floating_point_range _apply_integer_range _call_post_set_parameters_callback
    _call_pre_set_parameters_callback _callbacks _check_undeclared_parameters _clients _clock
    _context _count_clients_or_servers _count_publishers_or_subscribers _declare_parameter_common
    _default_callback_group _descriptors _get_info_by_topic _guards _logger _managed_entities
    _on_set_parameters_callbacks _parameter_event_publisher _parameter_overrides
    _parameter_service _parameters _post_set_parameters_callbacks _pre_set_parameters_callbacks
    _publishers _rate_group _service_change_state _service_get_available_states
    _service_get_available_transitions _service_get_state _service_get_transition_graph _services
    _set_parameters_atomically _set_parameters_atomically_common _state_machine _subscriptions
    _time_source _timers _type_description_service _validate_qos_or_depth_parameter
    _validate_topic_or_service_name _wake_executor
    """
FOLDER = Path(vljepa_ros.nodes.__file__).parent


def taken(graph: Graph) -> set[str]:
    node = graph.add(lambda **_: ros.LifecycleNode("names"))
    return set(dir(node)) | set(vars(node))


def own(path: Path) -> set[str]:
    """What node classes of a file assign to self, and their methods."""
    found = set()
    for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(kind, ast.ClassDef) or not kind.name.endswith("Node"):
            continue
        for node in ast.walk(kind):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            ):
                found.add(node.attr)
    return found


def test_names_are_our_own(graph: Graph) -> None:
    reserved = (taken(graph) | set(RCLPY.split())) - OVERRIDDEN
    clashes = {path.name: own(path) & reserved for path in sorted(FOLDER.glob("*.py"))}
    assert {name: found for name, found in clashes.items() if found} == {}
