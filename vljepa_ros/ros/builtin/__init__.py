"""A small ROS 2 runtime without ROS: rclpy's shape over Cyclone DDS, on ROS 2's wire protocol.

See doc/runtime.md for what it covers, and what it does not.
"""
