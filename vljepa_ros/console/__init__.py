"""The console: a page in a browser, and the HTTP server behind it.

The server gives it pictures, messages and replies. It knows no ROS; `vljepa_ros.nodes.console_node`
connects both.
"""
