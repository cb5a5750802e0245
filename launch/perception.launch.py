"""Start perception: cameras in; embeddings, labels, events and answers out.

ros2 launch vljepa_ros perception.launch.py source:=demo
ros2 launch vljepa_ros perception.launch.py image:=/camera/color/image_raw
"""

import os

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from vljepa_ros.resources import choose_model

# name: (default, description, choices)
ARGUMENTS = {
    "source": (
        "none",
        "none: the robot's own cameras; demo: the shipped clip in a loop; world: the simulated "
        "world; else a video file, a folder of images or a webcam (0, /dev/video0)",
        None,
    ),
    "cameras": ("", "names of the cameras, separated by commas; empty: as in params_file", None),
    "image": ("", "image topic of the first camera; empty: as in params_file", None),
    "transport": ("", "of the first camera; empty: as in params_file", ["", "raw", "compressed"]),
    "model": (
        "auto",
        "auto: nano for source demo and world, else everyday, unless params_file names one; a name "
        "that `vljepa models` lists, a folder, or a hub id; empty: as in params_file",
        None,
    ),
    "engine": ("", "auto, onnxruntime, torch, tensorrt ...; empty: as in params_file", None),
    "params_file": ("", "parameter file read after the package's own in config/", None),
    "namespace": ("", "the robot's namespace; nodes live in `vljepa` inside it", None),
    "use_sim_time": ("false", "take the time from /clock", ["true", "false"]),
    "log_level": ("info", "level of the log", ["debug", "info", "warn", "error", "fatal"]),
    "autostart": ("true", "configure and activate at once", ["true", "false"]),
    "decoder": ("true", "start the selective decoder, too", ["true", "false"]),
    "triggers": ("true", "start the trigger node, too", ["true", "false"]),
    "memory": ("false", "start the memory node, too (needs LanceDB)", ["true", "false"]),
}


def text(value):
    """Keep a text a text: launch_ros would read `0` or `yes` as YAML."""
    return ParameterValue(value, value_type=str)


def make_nodes(context):
    """One plain Node action for each node; they configure and activate themselves."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    config = os.path.join(get_package_share_directory("vljepa_ros"), "config")
    cameras = [name.strip() for name in given["cameras"].split(",") if name.strip()]
    common = {"use_sim_time": given["use_sim_time"] == "true"}
    of_all = {"autostart": given["autostart"] == "true"}
    if cameras:
        of_all["cameras"] = cameras
    params_files = [given["params_file"]] if given["params_file"] else []
    model, why = choose_model(given["model"], given["source"], params_files)
    of_model = {**of_all, "model": text(model)} if model else of_all
    engine = {"engine": text(given["engine"])} if given["engine"] else {}
    first = cameras[0] if cameras else "front"
    of_camera = {}
    if given["source"] != "none":
        packed = given["transport"] == "compressed"
        of_camera[f"{first}.image_topic"] = text("image/compressed" if packed else "image")
    if given["image"]:
        of_camera[f"{first}.image_topic"] = text(given["image"])
    if given["transport"]:
        of_camera[f"{first}.transport"] = text(given["transport"])

    def node(name, file, *overrides):
        files = [os.path.join(config, file), *params_files]
        return Node(
            package="vljepa_ros",
            executable=name,
            name=name,
            namespace="/".join(filter(None, [given["namespace"].strip("/"), "vljepa"])),
            parameters=[*files, common, *[values for values in overrides if values]],
            ros_arguments=["--log-level", given["log_level"]],
            output="screen",
        )

    nodes = [node("perception_node", "perception.yaml", of_model, engine, of_camera)]
    if given["decoder"] == "true":
        nodes.append(node("selective_decoder_node", "selective_decoder.yaml", of_model, engine))
    if given["triggers"] == "true":
        nodes.append(node("trigger_node", "triggers.yaml", of_all))
    if given["memory"] == "true":
        nodes.append(node("memory_node", "memory.yaml", of_model, of_camera))
    if given["source"] != "none":
        played = {"source": text(given["source"])}
        if given["transport"]:
            played["transport"] = text(given["transport"])
        nodes.append(node("camera_node", "camera.yaml", played))
    return [LogInfo(msg=why), *nodes]


def generate_launch_description():
    """Arguments, then nodes."""
    arguments = []
    for name, (default, description, choices) in ARGUMENTS.items():
        options = {"choices": choices} if choices else {}
        arguments.append(
            DeclareLaunchArgument(name, default_value=default, description=description, **options)
        )
    return LaunchDescription([*arguments, OpaqueFunction(function=make_nodes)])
