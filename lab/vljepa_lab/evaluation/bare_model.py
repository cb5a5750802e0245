"""The model without ROS: the control that every figure of the graph stands beside."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.timing import measure_ms
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.frames import model_input


class BareModel:
    """One camera's work, image by image: scaling, X-Encoder with its cached frames, Predictor.

    :param pictures: [H, W, 3] uint8 RGB images, shown in turn. fps: their rate; it decides which
        images make a clip, and so what the X-Encoder can take from its cache.
    """

    def __init__(self, engine: Engine, pictures: list[NDArray[np.uint8]], fps: float) -> None:
        self._engine = engine
        self._pictures = pictures
        self._shown = 0
        self._period = round(1e9 / fps)
        self._apart = max(1, round(engine.config.frame_interval * fps))
        self._clip = engine.config.clip_frames
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=self._apart * (self._clip - 1) + 1)
        self._state: Any = None
        while len(self._frames) < self._apart * (self._clip - 1):
            self._show()
        self.step()

    def step(self) -> None:
        """Take one new image and embed the clip that ends with it."""
        self._show()
        newest = self._shown - 1
        stamps = tuple((newest - self._apart * k) * self._period for k in range(self._clip))[::-1]
        clip = Clip(np.stack(list(self._frames)[:: self._apart]), stamps)
        (encoded,) = self._engine.encode([clip], [self._state])
        self._state = encoded.state
        self.tokens = encoded.tokens  # [N, D] float32, of the newest clip
        self._engine.embed([encoded.tokens], self._engine.config.default_query)

    def measure(self, samples: int, warm_up: int) -> list[float]:
        """Milliseconds of each of `samples` steps."""
        return measure_ms(self.step, samples, warm_up)

    def _show(self) -> None:
        picture = self._pictures[self._shown % len(self._pictures)]
        self._frames.append(model_input(picture, self._engine.config.input_size))
        self._shown += 1
