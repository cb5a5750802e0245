"""What the lab's tests share with the robot's: a home for ROS and a domain of their own."""

from ros_domain import domain, ros_home

__all__ = ["domain", "ros_home"]
