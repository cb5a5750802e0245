"""What a selective decoder told last, on the disk: after a restart it is not told again."""

from __future__ import annotations

import base64
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.files import atomic_write
from vljepa_ros.perception.selective_decoder import SceneUpdate

FORMAT = 1
SOONEST = 1.0  # seconds from one write to the next, at least
REFRESH = 30.0  # seconds after which a state that goes on is written again, so that it keeps young

_KEYS = {"is_event": "news", "is_first": "first", "is_heartbeat": "beat"}  # names in the file


@dataclass(frozen=True)
class CameraState:
    """The state of one camera.

    query: what the embeddings answered. seen: Unix time, seconds, at which its last embedding came.
    """

    query: str
    seen: float
    last: SceneUpdate


class StateFile:
    """Of one decoder. Written whole or not at all: a crash amid a write leaves the old content.

    :param model_id: states of another model are discarded.
    :param dim: length of a state.
    :param wall, steady: clocks, seconds.
    """

    def __init__(
        self,
        path: Path,
        model_id: str,
        dim: int,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._model_id = model_id
        self._dim = dim
        self._wall = wall
        self._steady = steady
        self._written = -math.inf
        self._changed = False
        self._seen: list[float] = []

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
            if raw["model_id"] != self._model_id:
                return {}, (
                    f"the state in '{self.path}' is of model {raw['model_id']}, "
                    f"this is {self._model_id}; starting afresh"
                )
            states = {str(k): _from_json(v, self._dim) for k, v in raw["cameras"].items()}
        except (
            ArithmeticError,
            AttributeError,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            return {}, f"the state in '{self.path}' is damaged ({error!r}); starting afresh"
        now = self._wall()
        return {k: v for k, v in states.items() if abs(now - v.seen) <= max_age}, ""

    def keep(self, states: Callable[[], Mapping[str, CameraState]], news: bool) -> None:
        """Write if there was news, or the file grows old while embeddings come; not more than once
        a second.

        :param states: asked where it may be time to write.
        :raises OSError: it cannot be written.
        """
        self._changed |= news
        since = self._steady() - self._written
        if since < (SOONEST if self._changed else REFRESH):
            return
        present = states()
        if self._changed or [state.seen for state in present.values()] != self._seen:
            self.write(present)

    def write(self, states: Mapping[str, CameraState]) -> None:
        """Write now.

        :raises OSError: it cannot be written; the old content stays.
        """
        self._written = self._steady()
        self._seen = [state.seen for state in states.values()]
        content = {
            "format": FORMAT,
            "model_id": self._model_id,
            "cameras": {camera: _as_json(state) for camera, state in states.items()},
        }
        with atomic_write(self.path, "w") as file:
            json.dump(content, file, indent=1)
        self._changed = False


def _as_json(state: CameraState) -> dict[str, Any]:
    vector = np.asarray(state.last.state, "<f4").tobytes()
    told = {_KEYS.get(name, name): value for name, value in asdict(state.last).items()}
    told["state"] = base64.b64encode(vector).decode("ascii")
    return {"query": state.query, "seen": state.seen, "told": told}


def _from_json(raw: Any, dim: int) -> CameraState:
    """Raises what a wrong type, a missing field or a value out of its range raises."""
    told = raw["told"]
    vector = np.frombuffer(base64.b64decode(told["state"], validate=True), "<f4").astype(np.float32)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    sequence = told["sequence"]
    if vector.shape != (dim,) or not 0.5 < norm < 2.0:
        raise ValueError(f"a state has {vector.size} values of norm {norm}, expected {dim}, norm 1")
    if not isinstance(sequence, int) or not 0 <= sequence < 2**32:
        raise ValueError(f"sequence is {sequence!r}")
    last = SceneUpdate(
        is_event=bool(told["news"]),
        is_first=bool(told["first"]),
        sequence=sequence,
        text=_text(told["text"]),
        previous_text=_text(told["previous_text"]),
        decoded=bool(told["decoded"]),
        state=vector,
        stamp=_number(told["stamp"]),
        onset=_number(told["onset"]),
        change=_number(told["change"]),
        confidence=_number(told["confidence"]),
    )
    return CameraState(_text(raw["query"]), _number(raw["seen"]), last)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
