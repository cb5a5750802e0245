"""What goes wrong with a bag; the message says what was found and what would help."""

from __future__ import annotations


class BagError(RuntimeError):
    """A bag that is missing, truncated or damaged, has no images, or cannot be written."""
