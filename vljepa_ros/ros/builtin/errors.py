"""Exceptions that node code may meet, under rclpy's names."""

from __future__ import annotations


class InvalidHandle(RuntimeError):  # noqa: N818 - rclpy's name
    """The entity was destroyed, or the context was shut down."""


class NotInitializedException(RuntimeError):  # noqa: N818
    """`init` was not called, or `shutdown` was."""


class ParameterException(Exception):  # noqa: N818
    """Base of what parameters raise."""


class ParameterNotDeclaredException(ParameterException):
    """The parameter was not declared."""


class ParameterAlreadyDeclaredException(ParameterException):
    """The parameter was declared before."""


class ParameterUninitializedException(ParameterException):
    """The parameter has a type, but no value was given."""


class ParameterImmutableException(ParameterException):
    """The parameter is read-only."""


class InvalidParameterTypeException(ParameterException):
    """The value's type is not the parameter's."""


class InvalidParameterValueException(ParameterException):
    """The value was refused, by a range or by a callback."""
