"""The action `wait_for`: each goal adds triggers and waits until they are true."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.topics import REPEAT_S, to_duration, to_nanoseconds
from vljepa_ros.perception.trigger_board import Reason, State, all_of, any_of
from vljepa_ros.perception.triggers import (
    WAIT_FOR,
    Trigger,
    TriggerError,
    checked_seconds,
    checked_trigger,
)

MAX_GOALS = 32  # at once
MAX_TEXTS = 64  # of a goal


@dataclass
class _Goal:
    """A goal that is being waited for. Times are of the steady clock, in seconds.

    Attributes:
        handle: Handle of the action server.
        owner: Owner of its triggers.
        timeout: Seconds; 0: none.
        unknown_after: Seconds; 0: none.
        done: Future of the name of the outcome and the reason.
        begun: When it was accepted.
        judged: When a trigger last was not UNKNOWN.
        reported: When the last feedback was published.
        statuses: The last states of the triggers.
    """

    handle: Any
    owner: str
    timeout: float
    unknown_after: float
    done: Any
    begun: float
    judged: float
    reported: float
    statuses: list[Any]


class WaitFor:
    """Serves the action from the node's creation until `destroy`.

    Args:
        node: The trigger node, which calls `watch` a few times a second and at each change.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._kind = ros.interface("vljepa_ros/action/WaitFor")
        self._goals: dict[str, _Goal] = {}
        self._server = ros.ActionServer(
            node,
            self._kind,
            "wait_for",
            self._execute,
            cancel_callback=lambda handle: ros.CancelResponse.ACCEPT,
            goal_service_qos_profile=ros.services_qos,
            cancel_service_qos_profile=ros.services_qos,
            result_service_qos_profile=ros.services_qos,
        )

    def destroy(self) -> None:
        """Destroy the action server."""
        self._server.destroy()

    def watch(self, owners: frozenset[str] | None = None) -> None:
        """End goals that are reached or overdue.

        Args:
            owners: Owners whose triggers have changed; None: check all, as time has passed.
        """
        for goal in list(self._goals.values()):
            if goal.statuses and (owners is None or goal.owner in owners):
                self._check(goal, changed=owners is not None)

    def refuse_all(self, why: str) -> None:
        """End all goals, because the node is no longer active."""
        for goal in self._goals.values():
            self._end(goal, "REFUSED", why)

    async def _execute(self, handle: Any) -> ros.Message:
        owner = WAIT_FOR + bytes(handle.goal_id.uuid).hex()
        result = self._kind.Result()
        node = self._node
        try:
            goal = await self._begin(handle, owner)
            outcome, why = await goal.done
            result.triggers = goal.statuses
            codes = {"TIMEOUT": "TIMEOUT", "UNKNOWN": "STALE", "REFUSED": "NOT_ACTIVE"}
            result.result = node.result(codes.get(outcome, "OK"), why)
        except Exception as error:
            outcome, result.result = "REFUSED", node.result_of(error)
        if self._goals.pop(owner, None):
            node.owners.replace(owner, ())
            node.renew()
        result.outcome = getattr(self._kind.Result, f"OUTCOME_{outcome}")
        if outcome == "TRUE":
            result.when = _when(handle.request.mode, result.triggers)
            handle.succeed()
        elif outcome == "CANCELED":
            handle.canceled()
        else:
            handle.abort()
        return result

    async def _begin(self, handle: Any, owner: str) -> _Goal:
        """Add the triggers of a goal. Raises what a refused request raises."""
        node, request, now = self._node, handle.request, time.monotonic()
        if refusal := node.refusal(needs_active=True):
            raise TriggerError(refusal, "NOT_ACTIVE")
        triggers = _triggers(owner, request, node.cameras)
        timeout, unknown_after = (
            checked_seconds(to_nanoseconds(getattr(request, name)), name) / 1e9
            for name in ("timeout", "unknown_after")
        )
        if request.mode not in (self._kind.Goal.MODE_ANY, self._kind.Goal.MODE_ALL):
            raise TriggerError(f"mode is {request.mode}, allowed: MODE_ANY and MODE_ALL")
        if len(self._goals) >= MAX_GOALS:
            raise TriggerError(f"{MAX_GOALS} goals are active, allowed: no more", "BUSY")
        goal = _Goal(handle, owner, timeout, unknown_after, ros.Future(), now, now, now, [])
        self._goals[owner] = goal
        await node.prepare(triggers, timeout)
        if refusal := node.refusal(needs_active=True):
            raise TriggerError(refusal, "NOT_ACTIVE")
        node.owners.add(owner, triggers)
        node.renew()
        goal.statuses = node.statuses(owner)
        self._check(goal, changed=True)
        return goal

    def _check(self, goal: _Goal, changed: bool) -> None:
        now, statuses = time.monotonic(), self._node.statuses(goal.owner)
        goal.statuses = statuses
        if any(status.state != State.UNKNOWN for status in statuses):
            goal.judged = now
        value = _value(goal.handle.request.mode, statuses)
        if value == State.TRUE:
            self._end(goal, "TRUE")
        elif goal.handle.is_cancel_requested:
            self._end(goal, "CANCELED", "on the client's request")
        elif goal.timeout and now - goal.begun >= goal.timeout:
            late = f"after {goal.timeout:g} s"
            if value == State.FALSE:
                self._end(goal, "TIMEOUT", f"not true {late}")
            else:
                self._end(goal, "UNKNOWN", f"unknown {late}: {_unknown(statuses)}")
        elif goal.unknown_after and now - goal.judged >= goal.unknown_after:
            late = f"for {goal.unknown_after:g} s"
            self._end(goal, "UNKNOWN", f"all were unknown {late}: {_unknown(statuses)}")
        elif changed or now - goal.reported >= REPEAT_S:
            goal.reported = now
            elapsed = to_duration(now - goal.begun)
            goal.handle.publish_feedback(self._kind.Feedback(elapsed=elapsed, triggers=statuses))

    def _end(self, goal: _Goal, outcome: str, why: str = "") -> None:
        if not goal.done.done():
            goal.statuses = deepcopy(goal.statuses)
            ros.complete(self._node, goal.done, (outcome, why))


def _triggers(owner: str, request: ros.Message, cameras: tuple[str, ...]) -> list[Trigger]:
    """One trigger for each text of a goal, with the text as its id."""
    texts = dict.fromkeys(request.texts)
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise TriggerError(f"{len(texts)} texts, allowed: 1 to {MAX_TEXTS}")
    checked = [
        checked_trigger(
            Trigger(
                owner,
                "wait_for",
                (text,),
                tuple(request.cameras),
                request.threshold,
                hold=to_nanoseconds(request.hold),
            ),
            cameras,
        )
        for text in texts
    ]
    return [replace(trigger, id=trigger.texts[0]) for trigger in checked]


def _by_text(statuses: list[ros.Message]) -> list[list[ros.Message]]:
    texts = dict.fromkeys(status.id for status in statuses)
    return [[status for status in statuses if status.id == text] for text in texts]


def _value(mode: int, statuses: list[ros.Message]) -> State:
    """State of a goal: a text is TRUE if it is TRUE of one camera."""
    texts = [any_of([s.state for s in of_text]) for of_text in _by_text(statuses)]
    return all_of(texts) if mode else any_of(texts)


def _when(mode: int, statuses: list[ros.Message]) -> ros.Message:
    """The stamp from which a reached goal is TRUE."""
    begins = [
        min(
            (s.since for s in of_text if s.state == State.TRUE),
            key=to_nanoseconds,
            default=None,
        )
        for of_text in _by_text(statuses)
    ]
    choose = max if mode else min
    return choose((begin for begin in begins if begin is not None), key=to_nanoseconds)


def _unknown(statuses: list[ros.Message]) -> str:
    """Why triggers are UNKNOWN."""
    found = [
        f"'{s.id}' of {s.camera} ({Reason(s.reason).name})"
        for s in statuses
        if s.state == State.UNKNOWN
    ]
    return ", ".join(found[:5])
