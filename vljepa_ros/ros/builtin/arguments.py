"""The arguments between `--ros-args` and `--`: remapping, parameters, log levels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vljepa_ros.ros.builtin.logging import severity
from vljepa_ros.ros.builtin.names import check_namespace, check_node_name, expand, join

# PyYAML's own errors for scalars that only look like a number or a date, and for deep nesting.
_YAML_VALUES = (ValueError, IndexError, RecursionError)


class RosArgumentError(ValueError):
    """A ROS argument that cannot be read."""


class _Loader(yaml.SafeLoader):
    """Reads the two escapes that JSON writes for one character as that character.

    It has no aliases, as rcl has none: a few lines of them are more values than fit into memory.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node that is not an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


def _construct_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ValueError(f"{text!r} has half of a character: write the character itself") from error


_Loader.add_constructor("tag:yaml.org,2002:str", _construct_text)


@dataclass(frozen=True)
class Remap:
    """`[node:]match:=replacement`."""

    node: str  # empty: every node
    match: str
    replacement: str


@dataclass
class Arguments:
    """The arguments after `--ros-args`."""

    remaps: list[Remap] = field(default_factory=list)
    # (pattern of the node's full name, parameter, value), later ones win
    parameters: list[tuple[str, str, Any]] = field(default_factory=list)
    log_levels: dict[str, str] = field(default_factory=dict)  # logger name; empty: all
    rosout: bool = True
    stdout_logs: bool = True

    def node_name(self, default: str) -> str:
        """The node's name after `__node:=`."""
        return self._special("__node", "__name", node=default) or default

    def namespace(self, node: str, default: str) -> str:
        """The node's namespace after `__ns:=`. Raises InvalidNameError."""
        return check_namespace(self._special("__ns", node=node) or default)

    def _special(self, *matches: str, node: str) -> str | None:
        for remap in self.remaps:
            if remap.match in matches and remap.node in ("", node):
                return remap.replacement
        return None

    def remap(self, name: str, node_name: str, namespace: str) -> str:
        """Absolute name after the first rule that matches. `name` is absolute."""
        for rule in self.remaps:
            if rule.match.startswith("__") or rule.node not in ("", node_name):
                continue
            if expand(rule.match, node_name, namespace) == name:
                return expand(rule.replacement, node_name, namespace)
        return name

    def parameters_for(self, node_name: str, namespace: str) -> dict[str, Any]:
        """Parameter values meant for a node."""
        full = join(namespace, node_name)
        return {
            name: value for pattern, name, value in self.parameters if _node_matches(pattern, full)
        }


def _node_matches(pattern: str, full_name: str) -> bool:
    """Whether a node pattern (`*`: one part, `**`: any number of parts) fits `/ns/node`."""
    pattern = pattern if pattern.startswith("/") else "/" + pattern
    expression = "".join(
        r"(?:/[^/]+)*" if part == "**" else "/" + ("[^/]+" if part == "*" else re.escape(part))
        for part in pattern.strip("/").split("/")
    )
    return re.fullmatch(expression, full_name) is not None


def _flatten(prefix: str, node: object) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else str(key), value)
    elif node is not None:
        yield prefix, node


def read_parameter_file(path: str | Path) -> list[tuple[str, str, Any]]:
    """(node pattern, parameter, value) of a ROS parameter file. Raises RosArgumentError."""
    try:
        document = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader) or {}
    except (OSError, yaml.YAMLError, *_YAML_VALUES) as error:
        raise RosArgumentError(f"parameter file {path}: {error}") from error

    def walk(prefix: str, node: object) -> Iterator[tuple[str, str, Any]]:
        if not isinstance(node, dict):
            raise RosArgumentError(
                f"parameter file {path}: under {prefix or 'the top'!r} stands {node!r:.80};"
                " expected node names, then 'ros__parameters:', then parameters, as in"
                " /**/NODE: {ros__parameters: {NAME: VALUE}}"
            )
        for key, value in node.items():
            if key == "ros__parameters":
                if not isinstance(value, dict | None):
                    raise RosArgumentError(
                        f"parameter file {path}: under '{prefix}: ros__parameters' stands"
                        f" {value!r:.80}; expected parameters, as in {{NAME: VALUE}}"
                    )
                for name, item in _flatten("", value):
                    yield prefix, name, item
            else:
                yield from walk(f"{prefix}/{str(key).strip('/')}", value)

    return list(walk("", document))


def _parameter(text: str) -> tuple[str, str, Any]:
    name, assign, value = text.partition(":=")
    if not assign or not name:
        raise RosArgumentError(f"-p {text}: expected name:=value")
    node, colon, parameter = name.partition(":")
    try:
        parsed = yaml.load(value, _Loader)
    except (yaml.YAMLError, *_YAML_VALUES) as error:
        raise RosArgumentError(f"-p {text}: {error}") from error
    return (f"/**/{node}" if colon else "/**", parameter if colon else node, parsed)


def _remap(text: str) -> Remap:
    match, assign, replacement = text.partition(":=")
    if not assign or not match or not replacement:
        raise RosArgumentError(f"-r {text}: expected from:=to")
    node = ""
    if "://" not in match and ":" in match:
        node, _, match = match.partition(":")
    match = match.removeprefix("rostopic://").removeprefix("rosservice://")
    try:
        if match == "__ns":
            check_namespace(replacement)
        elif match in ("__node", "__name"):
            check_node_name(replacement)
        else:
            for name in (match, replacement):
                expand(name, "node", "/")
    except ValueError as error:
        raise RosArgumentError(f"-r {text}: {error}") from error
    if match == "__ns" and not replacement.startswith("/"):  # as rcl
        raise RosArgumentError(f"-r {text}: expected a namespace that begins with '/'")
    return Remap(node, match, replacement)


def _ros_arguments(args: Sequence[str]) -> Iterator[str]:
    """The arguments between `--ros-args` and `--` or the end."""
    inside = False
    for arg in args:
        if arg == "--ros-args":
            inside = True
        elif inside and arg == "--":
            inside = False
        elif inside:
            yield arg


def parse(args: Sequence[str]) -> Arguments:
    """Read the ROS arguments among `args`. Raises RosArgumentError, naming the argument."""
    result = Arguments()
    rest = _ros_arguments(args)

    def value(of: str) -> str:
        try:
            return next(rest)
        except StopIteration:
            raise RosArgumentError(f"{of} needs a value") from None

    for arg in rest:
        if arg in ("-r", "--remap"):
            result.remaps.append(_remap(value(arg)))
        elif arg in ("-p", "--param"):
            result.parameters.append(_parameter(value(arg)))
        elif arg == "--params-file":
            result.parameters.extend(read_parameter_file(value(arg)))
        elif arg == "--log-level":
            name, assign, level = value(arg).rpartition(":=")
            try:
                severity(level)
            except ValueError as error:
                raise RosArgumentError(f"--log-level: {error}") from error
            result.log_levels[name if assign else ""] = level
        elif arg in ("--enable-rosout-logs", "--disable-rosout-logs"):
            result.rosout = arg.startswith("--enable")
        elif arg in ("--enable-stdout-logs", "--disable-stdout-logs"):
            result.stdout_logs = arg.startswith("--enable")
        elif arg in ("--enable-external-lib-logs", "--disable-external-lib-logs"):
            pass  # there is no external logging library here
        elif arg in ("-e", "--enclave", "--log-file-name", "--log-config-file"):
            value(arg)  # accepted for launch files; no SROS2 and no log files here
        elif ":=" in arg:
            result.remaps.append(_remap(arg))
        else:
            raise RosArgumentError(f"unknown ROS argument {arg!r}")
    return result
