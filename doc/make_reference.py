"""Write all that is generated: the reference in doc/*.md and the parameter files in config/.

python doc/make_reference.py     # with both packages installed, for the commands of the lab

In a document it replaces what stands between `<!-- NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

from interfaces_reference import ROOT, SERVICE, TOPIC, escaped, overview, read_all, reference

from vljepa_ros.cli import main as cli
from vljepa_ros.models.catalogue import read_catalogue

NODES = sorted(path.name for path in (ROOT / "scripts").glob("*_node"))
CONFIG = {"trigger_node": "triggers.yaml"}  # else the node's name without `_node`
PAGE = "while a page looks"
IMAGES = "sensor_msgs/Image or CompressedImage"
DIAGNOSTICS = ("publishes", "/diagnostics", "diagnostic_msgs/DiagnosticArray", "once a second")
LATER = "while its results are subscribed to"
# What the interfaces do not say: topics of other packages' types, and subscriptions.
TOPICS = {
    "camera_node": [
        ("publishes", "image", "sensor_msgs/Image", "unless `transport` is compressed"),
        ("publishes", "image/compressed", "sensor_msgs/CompressedImage", "if it is"),
        ("publishes", "ground_truth", "std_msgs/String", "JSON: what is true, where it is known"),
    ],
    "console_node": [
        ("subscribes", topic, kind, PAGE)
        for topic, kind in (
            ("`<camera>.image_topic` of perception_node", IMAGES),
            ("<camera>/labels", "vljepa_ros/SceneLabels"),
            ("<camera>/scene", "vljepa_ros/SceneEvent"),
            ("<camera>/trigger_state", "vljepa_ros/TriggerState"),
            ("events", "vljepa_ros/SceneEvent"),
            ("model_info", "vljepa_ros/ModelInfo"),
            ("teach_progress", "vljepa_ros/TeachProgress"),
            ("triggers", "vljepa_ros/TriggerEvent"),
            ("vocabulary", "vljepa_ros/Vocabulary"),
            ("/diagnostics", "diagnostic_msgs/DiagnosticArray"),
        )
    ],
    "memory_node": [
        ("subscribes", "`<camera>.image_topic`", IMAGES, "if it is not empty"),
        ("subscribes", "<camera>/embeddings", "vljepa_ros/Embedding", "while active"),
        ("subscribes", "events", "vljepa_ros/SceneEvent", "while active"),
        ("subscribes", "<camera>/scene", "vljepa_ros/SceneEvent", "while active"),
        ("subscribes", "model_info", "vljepa_ros/ModelInfo", "while active"),
        ("subscribes", "`pose_topic`", "as `pose_type` says", "if it is not empty"),
        ("subscribes", "/tf", "tf2_msgs/TFMessage", "if `pose_type` is tf"),
        ("subscribes", "/tf_static", "tf2_msgs/TFMessage", "if `pose_type` is tf"),
    ],
    "overlay_node": [
        ("publishes", "<camera>/overlay", "sensor_msgs/Image", "text and labels drawn over"),
        ("publishes", "<camera>/overlay/compressed", "sensor_msgs/CompressedImage", "the same"),
        ("subscribes", "`image_topic`", IMAGES, LATER),
        ("subscribes", "<camera>/labels", "vljepa_ros/SceneLabels", LATER),
        ("subscribes", "<camera>/scene", "vljepa_ros/SceneEvent", LATER),
    ],
    "perception_node": [
        ("publishes", "<camera>/classification", "vision_msgs/Classification", "if installed"),
        ("subscribes", "`<camera>.image_topic`", IMAGES, "while active"),
        ("subscribes", "events", "vljepa_ros/SceneEvent", "with `evidence`"),
        ("subscribes", "triggers", "vljepa_ros/TriggerEvent", "with `evidence`"),
    ],
    "selective_decoder_node": [
        ("subscribes", "<camera>/embeddings", "vljepa_ros/Embedding", LATER),
        ("subscribes", "<camera>/labels", "vljepa_ros/SceneLabels", "without a Y-Decoder"),
        ("subscribes", "model_info", "vljepa_ros/ModelInfo", "while active"),
        ("subscribes", "`turn_topic`", "as `turn_type` says", "if it is not empty"),
    ],
    "trigger_node": [
        ("subscribes", "<camera>/embeddings", "vljepa_ros/Embedding", "while there are triggers"),
        ("subscribes", "<camera>/labels", "vljepa_ros/SceneLabels", "if a trigger is a label"),
        ("subscribes", "model_info", "vljepa_ros/ModelInfo", "while configured"),
        ("subscribes", "vocabulary", "vljepa_ros/Vocabulary", "while configured"),
        ("subscribes", "`turn_topic`", "as `turn_type` says", "if it is not empty"),
    ],
}


class Parameter(NamedTuple):
    """One parameter, as its dataclass declares it."""

    name: str
    kind: str
    default: Any
    allowed: str  # empty: anything of its kind
    live: bool
    description: str


def parameters(kind: Any) -> list[Parameter]:
    """The parameters of a dataclass, those that are read once first."""
    found = []
    for field in dataclasses.fields(kind):
        default, known = getattr(kind(), field.name), field.metadata
        names = {bool: "bool", int: "integer", float: "double", str: "string"}
        several = isinstance(default, tuple)
        typed = names[type(default[0] if several else default)] + " array" * several
        allowed = ", ".join(map(str, known["choices"]))
        if known["low"] is not None:
            allowed = f"{known['low']} to {known['high']}"
        value = list(default) if several else default
        live = not known["read_only"]
        found.append(Parameter(field.name, typed, value, allowed, live, known["description"]))
    return sorted(found, key=lambda parameter: parameter.live)


class Node(NamedTuple):
    """A node's parameters and what it is for."""

    summary: str
    main: list[Parameter]
    of_camera: list[Parameter]


def node(name: str) -> Node:
    """What the module of a node says."""
    module = import_module(f"vljepa_ros.nodes.{name}")
    own = [value for value in vars(module).values() if value.__class__ is type]
    (kind,) = (k for k in own if k.__module__ == module.__name__ and dataclasses.is_dataclass(k))
    (made,) = (k for k in own if k.__name__ == name.title().replace("_", ""))
    camera = getattr(made, "camera_kind", None)
    summary = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return Node(summary, parameters(kind), parameters(camera) if camera else [])


def config(name: str) -> str:
    """The parameter file of a node, with its defaults."""
    found = node(name)
    lines = [
        f"# Parameters of {name}, with their defaults. Made by doc/make_reference.py.",
        f"# `/**/{name}:` matches in every namespace; a bare `{name}:` would be ignored there.",
        f"/**/{name}:",
        "  ros__parameters:",
        "    # --- read once, at the start ---",
    ]
    lines += [line for one in found.main if not one.live for line in entry(one, 4)]
    if found.of_camera:
        lines += ["    # Of each camera, here `front`; those marked so are live.", "    front:"]
        for one in found.of_camera:
            lines += entry(one, 6, " Live." if one.live else "")
    if live := [line for one in found.main if one.live for line in entry(one, 4)]:
        lines += ["", "    # --- live: may be changed while the node runs ---", *live]
    return "\n".join(lines) + "\n"


def entry(one: Parameter, indent: int, mark: str = "") -> list[str]:
    """A parameter in a parameter file, below a comment."""
    allowed = f" Allowed: {one.allowed}." if one.allowed else ""
    comment = textwrap.wrap(f"{one.description}{allowed}{mark}", 96 - indent)
    value = json.dumps(one.default)
    return [" " * indent + line for line in (*(f"# {c}" for c in comment), f"{one.name}: {value}")]


def nodes() -> str:
    """One section for each node: topics, services, parameters."""
    lines = []
    for name in NODES:
        found = node(name)
        lines += [
            f"## {name}",
            "",
            escaped(found.summary),
            "",
            *endpoint_table(endpoints(name)),
            "",
        ]
        lines += [f"Parameters (`config/{file_of(name)}`):", "", *table(found.main), ""]
        if found.of_camera:
            lines += ["Parameters of each camera, as in `front.crop`:", ""]
            lines += [*table(found.of_camera), ""]
    return "\n".join(lines).strip()


def file_of(name: str) -> str:
    """The file in config/ with a node's parameters."""
    return CONFIG.get(name, f"{name.removesuffix('_node')}.yaml")


class Endpoint(NamedTuple):
    """A topic or a service of a node."""

    role: str  # publishes, subscribes, service or action
    name: str  # `PARAMETER`: the parameter that names it
    kind: str
    note: str
    link: str = ""


def endpoints(name: str) -> list[Endpoint]:
    """The topics, services and actions of a node."""
    rows = []
    for found in read_all():
        kind, link = f"vljepa_ros/{found.name}", f"#{found.kind}{found.name.lower()}"
        for topic, node_name, note, _ in TOPIC.findall(found.header):
            if node_name == name:
                rows.append(Endpoint("publishes", topic, kind, note, link))
        for node_name, service in SERVICE.findall(found.header):
            if node_name == name:
                role = "service" if found.kind == "srv" else "action"
                rows.append(Endpoint(role, service, kind, "", link))
    return [*rows, *(Endpoint(*row) for row in (*TOPICS.get(name, []), DIAGNOSTICS))]


def endpoint_table(found: list[Endpoint]) -> list[str]:
    """The table of some topics and services."""
    rows = []
    for one in found:
        shown = f"parameter {one.name}" if one.name.startswith("`") else f"`{one.name}`"
        kind = f"[{one.kind}](interfaces.md{one.link})" if one.link else one.kind
        rows.append(f"| {one.role} | {shown} | {kind} | {escaped(one.note)} |")
    return ["| | name | type | |", "|---|---|---|---|", *rows]


def table(found: list[Parameter]) -> list[str]:
    """The table of some parameters."""
    rows = [
        f"| `{p.name}` | {p.kind} | `{json.dumps(p.default)}` | {p.allowed} "
        f"| {'live' if p.live else 'start'} | {escaped(p.description)} |"
        for p in found
    ]
    head = "| name | type | default | allowed | read | meaning |"
    return [head, "|---|---|---|---|---|---|", *rows]


def commands() -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every command and subcommand, with its line of help."""

    def below(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
                for name, child in action.choices.items():
                    yield child, helps.get(name, "")
                    yield from below(child)

    return below(cli.build_parser())


def synopsis() -> str:
    """One row for each command that does something."""
    rows = [
        f"| [`{parser.prog}`](#{parser.prog.replace(' ', '-')}) | {escaped(what)} |"
        for parser, what in commands()
        if arguments(parser)
    ]
    codes = (cli.__doc__ or "").split("\n\n")[1].replace("\n", " ").strip()
    return "\n".join(["| command | does |", "|---|---|", *rows, "", codes])


def arguments(parser: argparse.ArgumentParser) -> list[str]:
    """The rows of a command's arguments and options."""
    rows = []
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        shown = action.metavar or (action.option_strings and action.dest.upper()) or action.dest
        if action.choices:
            shown = "{" + ",".join(map(str, action.choices)) + "}"
        shown = " ".join(shown) if isinstance(shown, tuple) else shown
        if action.option_strings:
            shown = ", ".join(action.option_strings) + (f" {shown}" if action.nargs != 0 else "")
        many = {"+": "...", "*": "...", argparse.REMAINDER: "..."}.get(str(action.nargs), "")
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        rows.append(f"| `{shown}{many}` | {escaped(text)} |".replace("``", "`"))
    return rows


def options() -> str:
    """One section for each command."""
    lines = []
    for parser, what in commands():
        rows = arguments(parser)
        about = [text for text in (parser.description or what, parser.epilog) if text]
        if rows:
            lines += [f"### {parser.prog}", "", escaped(" ".join(about)), ""]
            lines += ["| argument | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines).strip()


def launch_arguments() -> dict[str, tuple[str, str, list[str] | None]]:
    """Default, description and choices of the launch file's arguments, read without ROS."""
    tree = ast.parse((ROOT / "launch" / "perception.launch.py").read_text(encoding="utf-8"))
    (found,) = (
        statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ARGUMENTS"
    )
    return ast.literal_eval(found)


def launch() -> str:
    """The table of the launch file's arguments."""
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {escaped(meaning)} |"
        for name, (default, meaning, _) in launch_arguments().items()
    ]
    return "\n".join(["| argument | default | meaning |", "|---|---|---|", *rows])


def catalogue() -> str:
    """The table of models that can be had by a short name."""
    rows = [
        f"| `{name}` | {escaped(one.best_at)} "
        f"| {f'{one.download_gb:g} / {one.gpu_gb:g}' if one.hub else ''} "
        f"| {escaped(one.licence)} | {escaped(one.tried)} |"
        for name, one in read_catalogue(ROOT / "models" / "catalogue.yaml").items()
    ]
    head = "| name | best at | GB: download / GPU | licence | run here |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


PARTS = {
    "interfaces.md": {
        "overview": lambda: overview(read_all()),
        "reference": lambda: reference(read_all()),
    },
    "nodes.md": {"nodes": nodes},
    "cli.md": {"commands": synopsis, "options": options},
    "families.md": {"catalogue": catalogue},
    "install.md": {"launch": launch},
}


def made() -> dict[str, str]:
    """The content of each generated file, by its path in the repository."""
    files = {f"config/{file_of(name)}": config(name) for name in NODES}
    for document, parts in PARTS.items():
        text = (ROOT / "doc" / document).read_text(encoding="utf-8")
        for name, part in parts.items():
            mark, end = f"<!-- {name} -->\n", "\n<!-- end -->"
            before, found, rest = text.partition(mark)
            if not found:
                raise ValueError(f"doc/{document} has no {mark.strip()}")
            text = f"{before}{mark}\n{part()}\n{end}{rest.partition(end)[2]}"
        files[f"doc/{document}"] = text
    return files


if __name__ == "__main__":
    for path, text in made().items():
        (ROOT / path).write_text(text, encoding="utf-8")
