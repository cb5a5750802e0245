"""Stores the last published states, so that a restart does not publish them again."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.files import JsonObject, atomic_write
from vljepa_ros.perception.change.detector import CHANGE, CORRECTION, FIRST
from vljepa_ros.perception.selective_decoder import SceneUpdate

FORMAT = 2
RETRY_INTERVAL_S = 1.0  # from a write that failed to the next
REFRESH_INTERVAL_S = 30.0  # a lasting state is written again, so that it does not look old


@dataclass(frozen=True)
class CameraState:
    """The state of one camera.

    Attributes:
        query: query of the embeddings.
        seen: Unix time in seconds at which its last embedding arrived.
        last: the last published update.
    """

    query: str
    seen: float
    last: SceneUpdate


@dataclass(eq=False)
class StateFile:
    """The last published states of a decoder's cameras, written atomically.

    Attributes:
        path: path of the file.
        model_id: states of another model are discarded.
        dim: length of a state.
        wall: clock, Unix time in seconds.
        steady: clock, seconds.
    """

    path: Path
    model_id: str
    dim: int
    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _written: float = field(default=-math.inf, init=False)
    _changed: bool = field(default=False, init=False)
    _seen: list[float] = field(default_factory=list, init=False)

    def read(self, max_age: float) -> tuple[dict[str, CameraState], str]:
        """States by camera that are at most `max_age` seconds old, and a warning or an empty text.

        A file that is damaged, or of another model, gives no states and a warning. It never raises.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            return {}, f"cannot read the state in '{self.path}': {error}; starting afresh"
        try:
            raw = json.loads(content)
            if raw["format"] != FORMAT:
                raise ValueError(f"format is {raw['format']!r}, allowed: {FORMAT}")
            if raw["model_id"] != self.model_id:
                return {}, (
                    f"the state in '{self.path}' is of model {raw['model_id']}, "
                    f"this is {self.model_id}; starting afresh"
                )
            states = {str(k): _from_json(v, self.dim) for k, v in raw["cameras"].items()}
        except Exception as error:  # a damaged file raises many kinds
            return {}, f"the state in '{self.path}' is damaged ({error!r}); starting afresh"
        now = self.wall()
        return {k: v for k, v in states.items() if abs(now - v.seen) <= max_age}, ""

    def keep(self, states: Callable[[], Mapping[str, CameraState]], news: bool) -> None:
        """Write at once at an event, so that a kill cannot repeat it, or if the last write is old.

        Args:
            states: called if a write may be due.
            news: whether there was an event.

        Raises:
            OSError: it cannot be written.
        """
        self._changed |= news
        since = self.steady() - self._written
        if not news and since < (RETRY_INTERVAL_S if self._changed else REFRESH_INTERVAL_S):
            return
        present = states()
        if self._changed or [state.seen for state in present.values()] != self._seen:
            self.write(present)

    def write(self, states: Mapping[str, CameraState]) -> None:
        """Write now.

        Raises:
            OSError: it cannot be written; the old content stays.
        """
        self._written = self.steady()
        self._seen = [state.seen for state in states.values()]
        content = {
            "format": FORMAT,
            "model_id": self.model_id,
            "cameras": {camera: _as_json(state) for camera, state in states.items()},
        }
        with atomic_write(self.path, "w") as file:
            json.dump(content, file, indent=1)
        self._changed = False


def _as_json(state: CameraState) -> JsonObject:
    vector = np.asarray(state.last.state, "<f4").tobytes()
    last = {**asdict(state.last), "state": base64.b64encode(vector).decode("ascii")}
    return {"query": state.query, "seen": state.seen, "last": last}


def _from_json(raw: Any, dim: int) -> CameraState:
    """Read the JSON of a state; any exception means that it is damaged."""
    last = raw["last"]
    vector = np.frombuffer(base64.b64decode(last["state"], validate=True), "<f4").astype(np.float32)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    sequence, corrects = last["sequence"], last["corrects"]
    if vector.shape != (dim,) or not 0.5 < norm < 2.0:
        raise ValueError(f"a state has {vector.size} values of norm {norm}, expected {dim}, norm 1")
    for number in (sequence, corrects):
        if not isinstance(number, int) or not 0 <= number < 2**32:
            raise ValueError(f"{number!r} is not the number of an event")
    fields: dict[str, Any] = {
        name: check(last[name])
        for check, names in (
            (bool, ("is_event", "decoded")),
            (_text, ("text", "previous_text")),
            (_reason, ("reason",)),
            (_number, ("stamp", "onset", "change", "confidence")),
        )
        for name in names
    }
    update = SceneUpdate(sequence=sequence, corrects=corrects, state=vector, **fields)
    return CameraState(_text(raw["query"]), _number(raw["seen"]), update)


def _number(value: object) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 2**31:  # type: ignore[operator]
        raise ValueError(f"{value!r} is not a number from 0 to 2^31, as times have")
    return float(value)  # type: ignore[arg-type]


def _reason(value: object) -> str:
    if value not in (FIRST, CHANGE, CORRECTION):
        raise ValueError(f"{value!r} is not a reason")
    return str(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
