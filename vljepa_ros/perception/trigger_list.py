"""Lists of semantic triggers, as parameter and as request: read, checked, written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vljepa_ros.perception.vocabulary import BAR, VocabularyError, checked_texts

MAX_TRIGGERS = 1000


class TriggerError(ValueError):
    """A list of triggers that cannot be used: the message says what was wrong and what is
    allowed."""


@dataclass(frozen=True)
class Trigger:
    """A text to watch for. threshold: calibrated score, 0..1; None: the default."""

    text: str
    threshold: float | None = None


def checked_triggers(texts: Sequence[str], thresholds: Sequence[float]) -> tuple[Trigger, ...]:
    """Triggers from parallel lists.

    :param thresholds: one for each text, or none at all: the default for each.
    :raises TriggerError: too many, an empty, overlong or doubled text, a text with a bar, a number
        of thresholds that does not fit, a threshold that is not between 0 and 1.
    """
    if len(thresholds) not in (0, len(texts)):
        raise TriggerError(
            f"{len(thresholds)} thresholds for {len(texts)} texts, allowed: one for each text, or "
            "none for the default"
        )
    limits: list[float | None] = [*thresholds] or [None] * len(texts)
    return _checked([Trigger(t, limit) for t, limit in zip(texts, limits, strict=True)])


def parse_triggers(entries: Sequence[str]) -> tuple[Trigger, ...]:
    """Read the parameter form: `text` or `text | threshold`; no entry, or a single empty one: none.

    :raises TriggerError: a threshold that is no number, and all of `checked_triggers`.
    """
    if list(entries) in ([], [""]):
        return ()
    found = []
    for entry in entries:
        text, bar, limit = (part.strip() for part in entry.partition(BAR))
        try:
            found.append(Trigger(text, float(limit) if bar else None))
        except ValueError:
            raise TriggerError(
                f"threshold {limit!r} of the trigger '{text}' is no number; allowed: a text, or "
                f"'text {BAR} threshold' with a threshold between 0 and 1"
            ) from None
    return _checked(found)


def trigger_strings(triggers: Sequence[Trigger]) -> list[str]:
    """The form that `parse_triggers` reads."""
    return [
        t.text if t.threshold is None else f"{t.text} {BAR} {t.threshold:.9g}" for t in triggers
    ] or [""]


def _checked(triggers: Sequence[Trigger]) -> tuple[Trigger, ...]:
    if not triggers:
        return ()
    try:
        texts = checked_texts([t.text for t in triggers], "triggers", MAX_TRIGGERS)
    except VocabularyError as error:
        raise TriggerError(str(error)) from None
    doubled = [text for text, count in Counter(texts).items() if count > 1]
    if doubled:
        raise TriggerError(
            f"triggers appear twice: {', '.join(map(repr, doubled[:5]))}; allowed: each text once"
        )
    barred = [text for text in texts if BAR in text]
    if barred:
        raise TriggerError(f"{barred[0]!r} contains '{BAR}', which separates text and threshold")
    for trigger in triggers:
        if trigger.threshold is not None and not 0.0 < trigger.threshold < 1.0:
            raise TriggerError(
                f"threshold of the trigger '{trigger.text}' is {trigger.threshold:g}, allowed: "
                "between 0 and 1, both excluded"
            )
    return tuple(Trigger(text, t.threshold) for text, t in zip(texts, triggers, strict=True))
