"""The one place that knows which ROS this is: real rclpy, or the built-in runtime."""
