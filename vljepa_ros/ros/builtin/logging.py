"""Loggers: one line each on stderr, in ROS's format, and on `/rosout`."""

from __future__ import annotations

import contextlib
import enum
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


class LoggingSeverity(enum.IntEnum):
    """Levels, with the numbers of `rcl_interfaces/msg/Log`."""

    UNSET = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    FATAL = 50


Sink = Callable[[LoggingSeverity, str, Any], None]  # level, text, frame

_lock = threading.Lock()
_levels: dict[str, LoggingSeverity] = {"": LoggingSeverity.INFO}
_stdout_enabled = True


def severity(text: str | int) -> LoggingSeverity:
    """A level by name or number. Raises ValueError."""
    if isinstance(text, int):
        return LoggingSeverity(text)
    name = {"WARNING": "WARN"}.get(text.upper(), text.upper())
    if name not in LoggingSeverity.__members__ or name == "UNSET":
        raise ValueError(f"unknown log level {text!r}: debug, info, warn, error or fatal")
    return LoggingSeverity[name]


def set_logger_level(name: str, level: str | int) -> None:
    """Level of a logger and of those below it; the empty name is the root."""
    _levels[name] = severity(level)


def get_logger_effective_level(name: str) -> LoggingSeverity:
    """Level that applies to a logger: its own or that of the nearest one above."""
    while name:
        if name in _levels:
            return _levels[name]
        name = name.rpartition(".")[0]
    return _levels[""]


def enable_output(enabled: bool) -> None:
    """Whether loggers write to stderr."""
    global _stdout_enabled
    _stdout_enabled = enabled


class Logger:
    """A named logger; what it writes is also given to `sink`."""

    def __init__(self, name: str, sink: Sink | None = None) -> None:
        self.name = name
        self._sink = sink
        self._last: dict[tuple[str, int], float] = {}

    def _log(
        self,
        level: LoggingSeverity,
        message: object,
        *,
        throttle_duration_sec: float | None = None,
    ) -> bool:
        """Write a message; whether that was done.

        Args:
            level: Its level; below the level that applies to this logger nothing is written.
            message: Converted to text.
            throttle_duration_sec: The line of code that calls writes this often, at most.
        """
        if level < get_logger_effective_level(self.name):
            return False
        frame = sys._getframe(2)
        if throttle_duration_sec is not None:
            key = (frame.f_code.co_filename, frame.f_lineno)
            now = time.monotonic()
            with _lock:
                if now - self._last.get(key, -math.inf) < throttle_duration_sec:
                    return False
                self._last[key] = now
        text = str(message)
        if _stdout_enabled:
            line = f"[{level.name}] [{time.time():.9f}] [{self.name}]: {text}\n"
            # stderr is closed
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(line)
                sys.stderr.flush()
        if self._sink is not None:
            self._sink(level, text, frame)
        return True

    def debug(self, message: object, **options: Any) -> bool:
        """Log at level DEBUG."""
        return self._log(LoggingSeverity.DEBUG, message, **options)

    def info(self, message: object, **options: Any) -> bool:
        """Log at level INFO."""
        return self._log(LoggingSeverity.INFO, message, **options)

    def warning(self, message: object, **options: Any) -> bool:
        """Log at level WARN."""
        return self._log(LoggingSeverity.WARN, message, **options)

    def error(self, message: object, **options: Any) -> bool:
        """Log at level ERROR."""
        return self._log(LoggingSeverity.ERROR, message, **options)


def get_logger(name: str) -> Logger:
    """A logger that belongs to no node: stderr only."""
    return Logger(name)
