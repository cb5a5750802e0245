"""Reads a truth file: YAML with the intervals of a recording in which texts are true.

    /camera/image_raw:                            # topic or camera; not needed where there is one
      the kettle is on: [[12.0, 48.5], [1:20, 1:35]]
      a person is at the stove:
        true: [[3, 7], [60, 71]]
        unclear: [[7, 9]]                         # left out
    labels: ['is the kettle on? | the kettle is on | the kettle is off']

Times are seconds from the beginning of the recording, `minutes:seconds`, or absolute: seconds since
1970 or `2026-03-01T10:15:00`. Outside of its intervals a text is not true; with `false` only the
given intervals are evaluated.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from vljepa_ros.perception.checking.spans import Spans, combine, seconds, spans
from vljepa_ros.perception.vocabulary import VocabularyError, checked_texts

LABELS = "labels"
KINDS = ("true", "false", "unclear")
ABSOLUTE_S = 1e8  # seconds since 1970 are more, recordings are shorter
_TIMES = "seconds, minutes:seconds, or a date as 2026-03-01T10:15:00"
_INTERVALS = f"intervals [[begin, end], ...] with times in {_TIMES}"
_MORE = f"{_INTERVALS}, or those for each of {', '.join(KINDS)}"


class TruthError(ValueError):
    """A truth file cannot be used; the message names file, line and what is allowed."""


@dataclass(frozen=True)
class Interval:
    """An interval as it is written, seconds, with its line in the file."""

    begin: float
    end: float
    line: int


@dataclass(frozen=True)
class Truth:
    """When one text is true.

    Attributes:
        file: name of the file.
        line: line of the text.
        camera: name or topic of the camera; empty: the only one.
        text: a text, a label, or the name of a taught label.
        intervals: kind of KINDS -> intervals; without `false`, all other time is false.
    """

    file: str
    line: int
    camera: str
    text: str
    intervals: dict[str, list[Interval]]

    def error(self, problem: str, line: int = 0) -> TruthError:
        """An error about this entry, or about one of its intervals."""
        return TruthError(f"'{self.file}', line {line or self.line}: '{self.text}': {problem}")

    def within(self, start: float, length: float) -> tuple[Spans, Spans]:
        """True and evaluated spans, both [N, 2] seconds from the beginning of the recording.

        Args:
            start: beginning of the recording, seconds since 1970.
            length: length of the recording, seconds.

        Raises:
            TruthError: an interval is outside of the recording, or both true and false.
        """
        found = {}
        for kind in KINDS:
            pairs = []
            for one in self.intervals.get(kind, ()):
                begin, end = (t - start if t >= ABSOLUTE_S else t for t in (one.begin, one.end))
                if begin >= length or end <= 0.0:
                    raise self.error(
                        f"[{one.begin:g}, {one.end:g}] is {begin:.1f} to {end:.1f} s after the "
                        f"recording begins, allowed: 0 to {length:.1f} s",
                        one.line,
                    )
                pairs.append((max(begin, 0.0), min(end, length)))
            found[kind] = spans(pairs)
        both = combine(found["true"], found["false"], np.logical_and)
        if len(both):
            raise self.error(f"{both[0, 0]:.1f} to {both[0, 1]:.1f} s is true and false")
        known = spans([(0.0, length)])
        if "false" in self.intervals:
            known = combine(found["true"], found["false"], np.logical_or)
        judged = combine(known, found["unclear"], np.greater)
        if not seconds(judged):
            raise self.error("no time is left to evaluate")
        return found["true"], judged


@dataclass(frozen=True)
class TruthFile:
    """All entries of a file, and the groups of labels in the form of the parameter `labels`."""

    entries: tuple[Truth, ...]
    labels: tuple[str, ...] = ()


def read_truth(path: Path) -> TruthFile:
    """Read a file.

    Raises:
        TruthError: it cannot be used.
        OSError: it cannot be read.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TruthError(f"'{path}' is not YAML: {reason}") from error
    if root is None:
        raise TruthError(f"'{path}' is empty, allowed: texts with {_INTERVALS}")
    return _Reader(str(path)).file(root)


class _Reader:
    """Reads the YAML nodes of a file, which have line numbers."""

    def __init__(self, path: str) -> None:
        self._path = path

    def file(self, root: yaml.Node) -> TruthFile:
        labels: tuple[str, ...] = ()
        entries = []
        for name, key, value in self._pairs(root, "the file", "texts, or cameras with texts"):
            if name == LABELS:
                labels = self._labels(value)
            elif _is_text(value):
                entries.append(self._entry("", name, key, value))
            else:
                allowed = f"texts with {_INTERVALS}"
                for text, inner, intervals in self._pairs(value, f"'{name}'", allowed):
                    entries.append(self._entry(name, text, inner, intervals))
        if not entries:
            raise self._error(root, f"there is no text, allowed: texts with {_INTERVALS}")
        return TruthFile(tuple(entries), labels)

    def _entry(self, camera: str, text: str, key: yaml.Node, value: yaml.Node) -> Truth:
        try:
            (text,) = checked_texts([text], f"texts of '{camera}'", 1)
        except VocabularyError as error:
            raise self._error(key, str(error)) from error
        pairs = [("true", key, value)]
        if isinstance(value, yaml.MappingNode):
            pairs = self._pairs(value, f"'{text}'", _MORE)
        intervals = {}
        for kind, inner, listed in pairs:
            if kind not in KINDS:
                raise self._error(inner, f"'{text}' has '{kind}', allowed: {', '.join(KINDS)}")
            if not isinstance(listed, yaml.SequenceNode):
                raise self._error(
                    listed, f"'{text}' has {_shown(listed)}, allowed: {_MORE}; [] for never"
                )
            intervals[kind] = [self._interval(text, one) for one in listed.value]
        return Truth(self._path, key.start_mark.line + 1, camera, text, intervals)

    def _interval(self, text: str, node: yaml.Node) -> Interval:
        times = node.value if isinstance(node, yaml.SequenceNode) else ()
        if len(times) != 2:
            raise self._error(
                node, f"'{text}' has {_shown(node)}, allowed: [begin, end] with times in {_TIMES}"
            )
        begin, end = (self._time(text, one) for one in times)
        if not begin < end:
            raise self._error(node, f"'{text}' has an interval that ends at or before its begin")
        return Interval(begin, end, node.start_mark.line + 1)

    def _time(self, text: str, node: yaml.Node) -> float:
        found = _seconds(node.value) if isinstance(node, yaml.ScalarNode) else math.nan
        if not 0.0 <= found < math.inf:
            raise self._error(
                node, f"'{text}' has the time {_shown(node)}, allowed: 0 or more {_TIMES}"
            )
        return found

    def _labels(self, node: yaml.Node) -> tuple[str, ...]:
        listed = node.value if isinstance(node, yaml.SequenceNode) else []
        if not listed or not all(isinstance(one, yaml.ScalarNode) for one in listed):
            raise self._error(
                node, "labels are not a list of texts, allowed: ['prompt | label | label', ...]"
            )
        return tuple(one.value for one in listed)

    def _pairs(
        self, node: yaml.Node, what: str, allowed: str
    ) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """Name, its node and its value, each name once."""
        if not isinstance(node, yaml.MappingNode) or not node.value:
            raise self._error(node, f"{what} has {_shown(node)}, allowed: {allowed}")
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, f"{what} has {_shown(key)} as a name, allowed: a text")
            line = seen.setdefault(key.value, key.start_mark.line + 1)
            if line != key.start_mark.line + 1:
                raise self._error(key, f"'{key.value}' is in line {line} already, allowed: once")
        return [(key.value, key, value) for key, value in node.value]

    def _error(self, node: yaml.Node, problem: str) -> TruthError:
        return TruthError(f"'{self._path}', line {node.start_mark.line + 1}: {problem}")


def _is_text(value: yaml.Node) -> bool:
    """Whether what stands under a name are intervals, so that it is the name of a text."""
    if isinstance(value, yaml.MappingNode):
        return any(key.value in KINDS for key, _ in value.value)
    return True


def _shown(node: yaml.Node) -> str:
    """A value of the file, for messages."""
    if isinstance(node, yaml.ScalarNode):
        return f"'{node.value}'" if node.value else "nothing"
    kind = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    return f"{kind} of {len(node.value)}"


def _seconds(text: str) -> float:
    """A time in any of the accepted forms, seconds; NaN: not a time."""
    parts = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d*)?)", text.strip())
    if parts:
        hours, minutes, rest = parts.groups(default="0")
        return 3600 * int(hours) + 60 * int(minutes) + float(rest)
    for read in (float, lambda t: datetime.datetime.fromisoformat(t).timestamp()):
        try:
            return read(text.strip())
        except (ValueError, OverflowError):
            continue
    return math.nan
