"""Two cameras of a robot in one launch file, each with labels, a rate and a view of its own.

ros2 launch examples/two_cameras.launch.py front:=/front/image_raw arm:=/arm/image_raw/compressed

The cameras' own parameters and the triggers are in two_cameras.yaml.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

PERCEPTION = "launch/perception.launch.py"


def generate_launch_description():
    """The nodes are the package's own: one perception node sees both, as one batch."""
    front, arm = LaunchConfiguration("front"), LaunchConfiguration("arm")
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "front", default_value="/front/image_raw", description="image topic of the front"
            ),
            DeclareLaunchArgument(
                "arm", default_value="/arm/image_raw", description="image topic of the arm"
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    f"{get_package_share_directory('vljepa_ros')}/{PERCEPTION}"
                ),
                launch_arguments={
                    "cameras": ["front=", front, " arm=", arm],
                    "params_file": str(Path(__file__).with_name("two_cameras.yaml")),
                    "overlay": "true",
                }.items(),
            ),
        ]
    )
