"""Checks the triggers that clients add, and keeps them by owner until their lease expires."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vljepa_ros.perception.vocabulary import BAR, VocabularyError, checked_texts, distinct_texts

MAX_TRIGGERS = 1000  # of all owners
MAX_TEXTS = 16  # of one trigger
MAX_NAME = 128  # characters of an owner or an id
PARAMETER = "parameter"  # owner of the triggers in the parameter `triggers`
WAIT_FOR = "wait_for/"  # beginning of the owners of the goals of the action
NO_LEASE = math.inf


class TriggerError(ValueError):
    """A request that cannot be served; `code` names a constant of msg/Result."""

    def __init__(self, message: str, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Trigger:
    """A trigger. It is TRUE of a camera while the best of its texts scores high.

    Attributes:
        owner: Client that added it.
        id: Its name, unique for the owner.
        texts: Texts with the same meaning.
        cameras: Names of cameras; empty: all.
        threshold: Calibrated score from which it becomes TRUE, 0..1; 0: the default.
        release: Share of the threshold below which it becomes FALSE, 0..1; 0: the default.
        hold: Nanoseconds for which a score must stay beyond its limit; 0: the default.
        cooldown: Nanoseconds after it became FALSE in which it does not become TRUE again.
        unknown_while_turning: Whether it is UNKNOWN while the robot turns.
    """

    owner: str
    id: str
    texts: tuple[str, ...]
    cameras: tuple[str, ...] = ()
    threshold: float = 0.0
    release: float = 0.0
    hold: int = 0
    cooldown: int = 0
    unknown_while_turning: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Unique key of the trigger."""
        return self.owner, self.id

    def watches(self, camera: str) -> bool:
        """Whether it is evaluated for this camera."""
        return not self.cameras or camera in self.cameras

    def with_defaults(self, threshold: float, release: float, hold: int) -> Trigger:
        """This trigger with defaults in place of zeros."""
        return replace(
            self,
            threshold=self.threshold or threshold,
            release=self.release or release,
            hold=self.hold or hold,
        )


def checked_trigger(trigger: Trigger, cameras: Sequence[str]) -> Trigger:
    """Check a trigger and remove surrounding blanks.

    Args:
        trigger: Trigger of a request.
        cameras: Names of all cameras.

    Raises:
        TriggerError: A field has a value that is not allowed.
    """
    name = checked_name(trigger.id, "id of a trigger")
    what = f"of the trigger '{name}'"
    try:
        texts = tuple(dict.fromkeys(checked_texts(trigger.texts, f"texts {what}", MAX_TEXTS)))
    except VocabularyError as error:
        raise TriggerError(str(error)) from error
    checked_cameras(trigger.cameras, cameras, what)
    if not (trigger.threshold == 0 or 0 < trigger.threshold < 1):
        raise TriggerError(
            f"threshold {what} is {trigger.threshold:g}, allowed: between 0 and 1, or 0 for the "
            "parameter threshold"
        )
    if not 0 <= trigger.release <= 1:
        raise TriggerError(f"release {what} is {trigger.release:g}, allowed: 0 to 1")
    for field in ("hold", "cooldown"):
        checked_seconds(getattr(trigger, field), f"{field} {what}")
    return replace(trigger, id=name, texts=texts)


def checked_name(name: str, what: str) -> str:
    """Check an owner or an id and remove surrounding blanks. Raises TriggerError."""
    clean = name.strip()
    if not 1 <= len(clean) <= MAX_NAME:
        raise TriggerError(f"{what} has {len(clean)} characters, allowed: 1 to {MAX_NAME}")
    return clean


def checked_owner(name: str) -> str:
    """Check the owner in a request and remove surrounding blanks. Raises TriggerError."""
    owner = checked_name(name, "owner")
    if owner == PARAMETER or owner.startswith(WAIT_FOR):
        raise TriggerError(
            f"owner is '{owner}', allowed: any name but '{PARAMETER}' and '{WAIT_FOR}...', which "
            "are the node's own"
        )
    return owner


def checked_cameras(named: Iterable[str], cameras: Sequence[str], what: str) -> None:
    """Raise TriggerError if a camera does not exist."""
    for name in named:
        if name not in cameras:
            known = ", ".join(cameras)
            raise TriggerError(
                f"unknown camera '{name}' {what}, allowed: {known}", "UNKNOWN_CAMERA"
            )


def checked_seconds(nanoseconds: int, what: str) -> int:
    """Check a duration in nanoseconds. Raises TriggerError if it is negative."""
    if nanoseconds < 0:
        raise TriggerError(f"{what} is {nanoseconds / 1e9:g} s, allowed: 0 or more")
    return nanoseconds


def parse_triggers(entries: Sequence[str]) -> tuple[Trigger, ...]:
    """Read the parameter form: `text` or `text | threshold`; no entry, or a single empty one: none.

    Raises:
        VocabularyError: An empty, overlong or doubled text, a threshold that is no number between
            0 and 1.
    """
    if list(entries) in ([], [""]):
        return ()
    parts = [[part.strip() for part in entry.partition(BAR)] for entry in entries]
    texts = distinct_texts(
        (text for text, _, _ in parts),
        "triggers",
        MAX_TRIGGERS,
        once="each text once",
        separated="text and threshold",
    )
    made = []
    for text, (_, bar, limit) in zip(texts, parts, strict=True):
        try:
            threshold = float(limit) if bar else 0.0
        except ValueError:
            threshold = math.nan
        if bar and not 0.0 < threshold < 1.0:
            raise VocabularyError(
                f"threshold of the trigger '{text}' is {limit!r}, allowed: a text, or 'text {BAR} "
                "threshold' with a threshold between 0 and 1"
            )
        made.append(Trigger(PARAMETER, text, (text,), threshold=threshold))
    return tuple(made)


class Owners:
    """The triggers of all clients; each client has one lease for all of its triggers."""

    def __init__(self) -> None:
        self._triggers: dict[str, dict[str, Trigger]] = {}
        self._ends: dict[str, float] = {}

    @property
    def triggers(self) -> list[Trigger]:
        """The triggers of all owners."""
        return [trigger for own in self._triggers.values() for trigger in own.values()]

    def of(self, owner: str) -> Mapping[str, Trigger]:
        """Id -> trigger of an owner."""
        return self._triggers.get(owner, {})

    def add(self, owner: str, triggers: Iterable[Trigger], end: float = NO_LEASE) -> bool:
        """Add or replace triggers of an owner, and renew its lease.

        Args:
            owner: Name of the owner.
            triggers: Empty: only renew the lease.
            end: Time, of the clock of `expire`, at which all triggers of the owner are removed.

        Returns:
            Whether a trigger is new or different.

        Raises:
            TriggerError: The owner has no trigger then, or all owners together have too many.
        """
        before = self.of(owner)
        after = {**before, **{trigger.id: trigger for trigger in triggers}}
        if not after:
            raise TriggerError(
                f"owner '{owner}' has no triggers (its lease may have run out): add them again",
                "UNKNOWN_ID",
            )
        self.check_number(owner, len(after))
        self._triggers[owner], self._ends[owner] = after, end
        return after != before

    def check_number(self, owner: str, number: int) -> None:
        """Raise TriggerError if an owner cannot have this number, given those of the others."""
        total = len(self.triggers) - len(self.of(owner)) + number
        if total > MAX_TRIGGERS:
            raise TriggerError(
                f"{total} triggers of all owners, allowed: up to {MAX_TRIGGERS}",
                "BUSY" if number <= MAX_TRIGGERS else "BAD_REQUEST",
            )

    def remove(self, owner: str, ids: Iterable[str] = ()) -> int:
        """Remove triggers of an owner and return how many; `ids`: none for all.

        Raises:
            TriggerError: One of them does not exist; then none is removed.
        """
        own = self.of(owner)
        gone = set(ids) or set(own)
        unknown = sorted(gone - set(own))
        if unknown or not own:
            listed = ", ".join(map(repr, unknown[:5])) or "any"
            raise TriggerError(f"owner '{owner}' has no trigger {listed}", "UNKNOWN_ID")
        self.replace(owner, [trigger for name, trigger in own.items() if name not in gone])
        return len(gone)

    def replace(self, owner: str, triggers: Iterable[Trigger]) -> None:
        """Replace all triggers of an owner; its lease stays as it was."""
        self._triggers[owner] = {trigger.id: trigger for trigger in triggers}
        if not self._triggers[owner]:
            del self._triggers[owner]
            self._ends.pop(owner, None)

    def expire(self, now: float) -> list[str]:
        """Remove the triggers of owners whose lease has expired; returns those owners."""
        late = [owner for owner, end in self._ends.items() if now >= end]
        for owner in late:
            self.replace(owner, ())
        return late
