"""ROS names: validation, expansion and remapping, and how they appear in DDS."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 247  # characters of a full name, as rmw allows


class InvalidNameError(ValueError):
    """A name that ROS does not allow."""


def check_node_name(name: str) -> str:
    """`name`, if it is a node name. Raises InvalidNameError."""
    if not _TOKEN.fullmatch(name):
        raise InvalidNameError(
            f"invalid node name {name!r}: letters, digits and underscores, the first no digit"
        )
    return name


def check_namespace(namespace: str) -> str:
    """`namespace` with a leading slash and none at the end. Raises InvalidNameError."""
    full = "/" + namespace.strip("/")
    if full != "/" and not all(_TOKEN.fullmatch(part) for part in full[1:].split("/")):
        raise InvalidNameError(
            f"invalid namespace {namespace!r}: parts of letters, digits and underscores between"
            " slashes"
        )
    return full


def join(namespace: str, name: str) -> str:
    """`/ns` and `name` as `/ns/name`; `namespace` may be `/`."""
    return f"{namespace.rstrip('/')}/{name}"


def expand(name: str, node_name: str, namespace: str) -> str:
    """A topic or service name as an absolute one: `~` is the node, other names are relative.

    Raises InvalidNameError.
    """
    if name == "~" or name.startswith("~/"):
        full = join(namespace, node_name) + name[1:]
    elif name.startswith("/"):
        full = name
    else:
        full = join(namespace, name)
    full = full.replace("{node}", node_name).replace("{ns}", namespace.strip("/"))
    if not all(_TOKEN.fullmatch(part) for part in full[1:].split("/")):
        raise InvalidNameError(
            f"invalid name {name!r} (expanded: {full!r}): parts of letters, digits and underscores"
            " between slashes, no part beginning with a digit"
        )
    if len(full) > _LONGEST:
        raise InvalidNameError(f"{full[:40]!r}... has {len(full)} characters, allowed: {_LONGEST}")
    return full


def topic_in_dds(name: str) -> str:
    """DDS topic of a ROS topic."""
    return "rt" + name


def topic_from_dds(name: str) -> str | None:
    """ROS topic of a DDS topic, None if it is not one."""
    return name[2:] if name.startswith("rt/") else None
