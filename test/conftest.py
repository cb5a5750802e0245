"""Fixtures of all tests."""

from ros_domain import domain, ros_home

__all__ = ["domain", "ros_home"]
