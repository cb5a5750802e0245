"""The arguments of the callbacks for an endpoint's quality of service."""

from __future__ import annotations

from dataclasses import dataclass

_REMEDIES = {
    "RELIABILITY": (
        "the subscription asks for reliable, the publisher offers best effort: subscribe with best"
        " effort, or publish reliably"
    ),
    "DURABILITY": (
        "the subscription asks for transient local, the publisher offers volatile: subscribe with"
        " volatile, or publish with transient local"
    ),
    "DEADLINE": "the subscription's deadline is shorter than the publisher's: lengthen it",
    "LIVELINESS": "the subscription asks for more liveliness than is offered: ask for less",
}


@dataclass(frozen=True)
class IncompatibleQoS:
    """Endpoints of a topic that do not communicate because their QoS are incompatible."""

    total: int  # refused so far
    new: int  # refused since the last callback
    policy: str  # the policy of the last one: RELIABILITY, DURABILITY, ...

    @property
    def remedy(self) -> str:
        """What is wrong and what to change, for a log line or a diagnostic."""
        return _REMEDIES.get(self.policy, f"make the {self.policy.lower()} of both sides equal")


@dataclass(frozen=True)
class DeadlineMissed:
    """No message was received or published within the deadline."""

    total: int  # deadlines missed so far
    new: int  # missed since the last callback
