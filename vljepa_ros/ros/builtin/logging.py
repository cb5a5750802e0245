"""Loggers: one line each on stderr, in ROS's format, and on ``/rosout``."""

from __future__ import annotations

import enum
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


class LoggingSeverity(enum.IntEnum):
    """Levels, with the numbers of ``rcl_interfaces/msg/Log``."""

    UNSET = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    FATAL = 50


Sink = Callable[[LoggingSeverity, str, str, Any], None]  # level, logger, text, frame

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


def set_logger_level(name: str, level: str | int | LoggingSeverity) -> None:
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
    """A named logger. Options of every method: ``throttle_duration_sec``, ``once``, ``skip_first``.

    Such an option counts for the line of code that the call stands on.
    """

    def __init__(self, name: str, sink: Sink | None = None) -> None:
        self.name = name
        self._sink = sink
        self._last: dict[tuple[str, int], float] = {}

    def get_child(self, name: str) -> Logger:
        """Logger `name` below this one."""
        return Logger(f"{self.name}.{name}", self._sink)

    def set_level(self, level: str | int | LoggingSeverity) -> None:
        """Level of this logger and of those below it."""
        set_logger_level(self.name, level)

    def get_effective_level(self) -> LoggingSeverity:
        """Level that applies here."""
        return get_logger_effective_level(self.name)

    def is_enabled_for(self, level: int) -> bool:
        """Whether a message of `level` would be written."""
        return level >= self.get_effective_level()

    def _log(
        self,
        level: LoggingSeverity,
        message: object,
        *,
        throttle_duration_sec: float | None = None,
        throttle_time_source_type: Any = None,
        once: bool = False,
        skip_first: bool = False,
        name: str | None = None,
    ) -> bool:
        if not self.is_enabled_for(level):
            return False
        frame = sys._getframe(2)
        if throttle_duration_sec is not None or once or skip_first:
            key = (frame.f_code.co_filename, frame.f_lineno)
            now = time.monotonic()
            with _lock:
                last = self._last.get(key)
                if last is None:
                    self._last[key] = now
                    if skip_first:
                        return False
                elif once or (
                    throttle_duration_sec is not None and now - last < throttle_duration_sec
                ):
                    return False
                else:
                    self._last[key] = now
        text = str(message)
        logger = name or self.name
        if _stdout_enabled:
            line = f"[{level.name}] [{time.time():.9f}] [{logger}]: {text}\n"
            try:
                sys.stderr.write(line)
                sys.stderr.flush()
            except (OSError, ValueError):
                pass  # stderr was closed; there is nobody left to tell
        if self._sink is not None:
            self._sink(level, logger, text, frame)
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

    def fatal(self, message: object, **options: Any) -> bool:
        """Log at level FATAL."""
        return self._log(LoggingSeverity.FATAL, message, **options)

    warn = warning


def get_logger(name: str) -> Logger:
    """A logger that belongs to no node: stderr only."""
    return Logger(name)
