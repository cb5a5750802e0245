"""When are two texts the same?"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["same_text"]


def same_text(text: str, valid: Sequence[str]) -> bool:
    """Whether `text` is one of `valid`, whatever the case, blanks and final stop."""
    plain = _plain(text)
    return any(plain == _plain(other) for other in valid)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")
