#!/usr/bin/env bash
# Starts perception; the arguments are those of the launch file. In a container and under systemd.
set -eo pipefail
workspace=$(cd "$(dirname "$0")/../../.." && pwd)
# shellcheck source=/dev/null
. "/opt/ros/${DISTRO:?the ROS distribution, such as jazzy}/setup.bash"
# shellcheck source=/dev/null
. "$workspace/.venv/bin/activate"
# shellcheck source=/dev/null
. "$workspace/install/setup.bash"
exec ros2 launch vljepa_ros perception.launch.py "$@"
