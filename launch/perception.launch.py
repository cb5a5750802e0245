"""Start perception: cameras in; embeddings, labels, events and answers out.

ros2 launch vljepa_ros perception.launch.py source:=demo
ros2 launch vljepa_ros perception.launch.py image:=/camera/color/image_raw
ros2 launch vljepa_ros perception.launch.py cameras:="front=/camera/image_raw rear=/rear/image_raw"
"""

import os
import re

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from vljepa_ros.cli.up import camera
from vljepa_ros.resources import choose_model

RESPAWN_DELAY_S = 0.5

# name: (default, description, choices)
ARGUMENTS = {
    "source": (
        "none",
        "none: the robot's own cameras; demo: the shipped clip in a loop; world: the simulated "
        "world; else a video file, a folder of images or a webcam (0, /dev/video0)",
        None,
    ),
    "cameras": (
        "",
        "cameras, NAME or NAME=TOPIC, separated by spaces or commas: "
        "'front=/camera/image_raw rear=/rear/image_raw'; empty: as in params_file",
        None,
    ),
    "image": ("", "image topic of the first camera; empty: as in params_file", None),
    "transport": (
        "",
        "of the cameras whose topics are given here, of the first one if none is; empty: "
        "compressed where a topic ends in /compressed, else as in params_file",
        ["", "raw", "compressed"],
    ),
    "model": (
        "auto",
        "auto: nano for source demo and world, else everyday, unless params_file names one; a name "
        "that `vljepa models` lists, a folder, or a hub id; empty: as in params_file",
        None,
    ),
    "engine": ("", "auto, onnxruntime, torch, tensorrt ...; empty: as in params_file", None),
    "params_file": ("", "parameter file read after the package's own; it must exist", None),
    "namespace": ("", "the robot's namespace; nodes live in `vljepa` inside it", None),
    "use_sim_time": ("false", "use the time of /clock", ["true", "false"]),
    "log_level": ("info", "level of the log", ["debug", "info", "warn", "error", "fatal"]),
    "autostart": ("true", "configure and activate at startup", ["true", "false"]),
    "overlay": ("false", "draw text and labels over each camera's images", ["true", "false"]),
    "use_respawn": ("false", "restart a node that has ended, after 0.5 s", ["true", "false"]),
    "decoder": ("true", "start the selective decoder, too", ["true", "false"]),
    "triggers": ("true", "start the trigger node, too", ["true", "false"]),
    "memory": ("false", "start the memory node, too (needs LanceDB)", ["true", "false"]),
    "console": ("false", "serve a page at http://localhost:8420/, too", ["true", "false"]),
}


def texts(values):
    """Keep texts texts: launch_ros would read `0` or `yes` as YAML."""
    return {name: ParameterValue(value, value_type=str) for name, value in values.items()}


def read_cameras(given):
    """The cameras that the arguments name, and the image topics that they give."""
    named = [camera(entry) for entry in re.split(r"[,\s]+", given["cameras"]) if entry]
    cameras = [name for name, _ in named]
    if len(set(cameras)) < len(cameras):
        raise ValueError(f"cameras: names must differ, given: {', '.join(cameras)}")
    first = cameras[0] if cameras else "front"
    topics = {name: topic for name, topic in named if topic}
    if given["image"]:
        if first in topics:
            raise ValueError(f"image: cameras gives the topic of {first} already")
        topics[first] = given["image"]
    elif given["source"] != "none":
        played = "image/compressed" if given["transport"] == "compressed" else "image"
        topics.setdefault(first, played)
    return cameras, topics


def camera_parameters(given, cameras, topics):
    """Of perception and memory: topic and transport of each camera that the arguments give."""
    values = {f"{name}.image_topic": topic for name, topic in topics.items()}
    if given["transport"]:
        for name in topics or cameras[:1] or ["front"]:
            values[f"{name}.transport"] = given["transport"]
    else:
        packed = [name for name, topic in topics.items() if topic.endswith("/compressed")]
        values |= {f"{name}.transport": "compressed" for name in packed}
    return values


def read_params_file(given):
    """The user's parameter file in a list, empty: none was given."""
    file = os.path.expanduser(given["params_file"])
    if file and not os.path.isfile(file):
        raise ValueError(f"params_file: there is no file '{file}'")
    return [file] if file else []


def overlays(config, params_files, cameras, seen):
    """Parameters of an overlay for each camera that perception sees, by arguments or files."""
    found = {}

    def flatten(prefix, values):
        for name, value in values.items():
            if isinstance(value, dict):
                flatten(f"{prefix}{name}.", value)
            else:
                found[f"{prefix}{name}"] = value

    for file in (os.path.join(config, "perception.yaml"), *params_files):
        with open(file, encoding="utf-8") as stream:
            content = yaml.safe_load(stream) or {}
        for name, section in content.items():
            if name.rsplit("/", 1)[-1] in ("perception_node", "*", "**"):
                flatten("", section.get("ros__parameters") or {})
    found |= seen
    return [
        {"camera": name}
        | {
            parameter: str(found[f"{name}.{parameter}"])
            for parameter in ("image_topic", "transport")
            if f"{name}.{parameter}" in found
        }
        for name in cameras or found["cameras"]
    ]


def make_nodes(context):
    """One plain Node action for each node; they configure and activate themselves."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    config = os.path.join(get_package_share_directory("vljepa_ros"), "config")
    cameras, topics = read_cameras(given)
    common = {"use_sim_time": given["use_sim_time"] == "true"}
    of_all = {"autostart": given["autostart"] == "true"}
    if cameras:
        of_all["cameras"] = cameras
    params_files = read_params_file(given)
    model, why = choose_model(given["model"], given["source"], params_files)
    of_model = {**of_all, **texts({"model": model} if model else {})}
    engine = texts({"engine": given["engine"]} if given["engine"] else {})
    seen = camera_parameters(given, cameras, topics)
    of_camera = texts(seen)

    def node(executable, file, *overrides, name=""):
        files = [os.path.join(config, file), *params_files]
        return Node(
            package="vljepa_ros",
            executable=executable,
            name=name or executable,
            namespace="/".join(filter(None, [given["namespace"].strip("/"), "vljepa"])),
            parameters=[*files, common, *[values for values in overrides if values]],
            ros_arguments=["--log-level", given["log_level"]],
            output="screen",
            respawn=given["use_respawn"] == "true",
            respawn_delay=RESPAWN_DELAY_S,
        )

    nodes = [node("perception_node", "perception.yaml", of_model, engine, of_camera)]
    if given["overlay"] == "true":
        drawn = overlays(config, params_files, cameras, seen)
        for one in drawn:
            name = "" if len(drawn) == 1 else f"{one['camera']}_overlay_node"
            nodes.append(node("overlay_node", "overlay.yaml", texts(one), name=name))
    if given["decoder"] == "true":
        nodes.append(node("selective_decoder_node", "selective_decoder.yaml", of_model, engine))
    if given["triggers"] == "true":
        nodes.append(node("trigger_node", "triggers.yaml", of_all))
    if given["memory"] == "true":
        nodes.append(node("memory_node", "memory.yaml", of_model, of_camera))
    if given["console"] == "true":
        nodes.append(node("console_node", "console.yaml"))
    if given["source"] != "none":
        played = {"source": given["source"]}
        if given["transport"]:
            played["transport"] = given["transport"]
        nodes.append(node("camera_node", "camera.yaml", texts(played)))
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
