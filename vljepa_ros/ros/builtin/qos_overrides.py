"""Parameters that change a QoS profile.

Their names are ``qos_overrides.<topic>.<publisher|subscription>.<policy>``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import InvalidParameterValueException
from .parameters import ParameterDescriptor
from .qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSOverridingOptions,
    QoSProfile,
    ReliabilityPolicy,
)

if TYPE_CHECKING:
    from .node import Node

_ENUMS: dict[str, Any] = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
}


def with_overrides(
    node: Node, topic: str, side: str, qos: QoSProfile, options: QoSOverridingOptions | None
) -> QoSProfile:
    """`qos`, changed as the node's parameters say; declares them, read-only.

    Raises InvalidParameterValueException, naming what is allowed.
    """
    if options is None:
        return qos
    changed = qos
    for policy in options.policy_kinds:
        if policy != "depth" and policy not in _ENUMS:
            raise ValueError(
                f"QoS policy {policy!r} cannot be overridden; depth, {', '.join(_ENUMS)} can"
            )
        name = f"qos_overrides.{topic}.{side}.{policy}"
        present = getattr(qos, policy)
        default = present if policy == "depth" else present.name.lower()
        if node.has_parameter(name):
            value = node.get_parameter(name).value
        else:
            value = node.declare_parameter(
                name,
                default,
                ParameterDescriptor(description=f"QoS {policy} of {topic}", read_only=True),
            ).value
        if policy != "depth":
            names = {m.name.lower(): m for m in _ENUMS[policy] if m.name != "UNKNOWN"}
            if str(value).lower() not in names:
                raise InvalidParameterValueException(
                    f"{name}: {value!r} is not one of {', '.join(sorted(names))}"
                )
            value = names[str(value).lower()]
        changed = replace(changed, **{policy: value})
    return changed
