"""The console: one page in a browser, and the HTTP server that gives it pictures, messages and
replies. It knows no ROS; `vljepa_ros.nodes.console_node` connects both."""
