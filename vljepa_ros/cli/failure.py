"""What a command raises when it cannot do what was asked."""

from __future__ import annotations


class CliError(Exception):
    """The work failed; the message is one line that says what was wrong and what to do. Exit code
    1."""


class CliUsageError(Exception):
    """The command line makes no sense; the message says what is allowed. Exit code 2."""
