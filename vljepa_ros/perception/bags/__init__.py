"""Recorded ROS 2 bags without ROS: read, embedded, segmented, indexed and annotated."""
