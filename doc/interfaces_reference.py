"""The generated parts of doc/interfaces.md, from the files in msg/, srv/ and action/.

Comments before the first field are about the interface; a comment behind a field may continue in
comment lines. Two kinds of sentence have a fixed form: `Topic: NAME of NODE. QoS: ...` and, for a
service or an action, `NODE: NAME.`
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PARTS = {"msg": ("",), "srv": ("Request", "Reply"), "action": ("Goal", "Result", "Feedback")}
HEAD = ["| type | name | value, default | meaning |", "|---|---|---|---|"]
TOPIC = re.compile(r"Topic: (\S+) of (\w+)(?:, ([^.]*))?\. QoS: (.*?)\.(?:\s|$)")
SERVICE = re.compile(r"(\w+_node): (\w+)\.(?:\s|$)")
FIELD = re.compile(r"([\w/]+(?:\[[<=\d]*\])?)\s+(\w+)\s*(=)?\s*([^#]*?)\s*(?:#\s*(.*))?")


class Field(NamedTuple):
    """A field or a constant of an interface."""

    part: str  # of PARTS
    type: str
    name: str
    constant: bool
    value: str  # of a constant, else the default or nothing
    comment: str


class Interface(NamedTuple):
    """A file."""

    kind: str
    name: str
    header: str
    fields: list[Field]


def read(path: Path) -> Interface:
    """Read one file. Raises ValueError for a line that is neither a comment nor a field."""
    kind = path.suffix[1:]
    parts = iter(PARTS[kind])
    part, header, fields = next(parts), "", list[Field]()
    for line in map(str.strip, path.read_text(encoding="utf-8").splitlines()):
        if line == "---":
            part = next(parts)
        elif line.startswith("#") and fields:
            last = fields.pop()
            fields.append(last._replace(comment=f"{last.comment} {line[1:].strip()}"))
        elif line.startswith("#"):
            header = f"{header} {line[1:].strip()}".strip()
        elif line:
            found = FIELD.fullmatch(line)
            if found is None:
                raise ValueError(f"{path.name}: not a field: {line}")
            typed, name, constant, value, comment = found.groups()
            fields.append(Field(part, typed, name, bool(constant), value, comment or ""))
    return Interface(kind, path.stem, header, fields)


def read_all() -> list[Interface]:
    """All interfaces, by kind and name."""
    return [read(path) for kind in PARTS for path in sorted((ROOT / kind).glob(f"*.{kind}"))]


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    pieces = text.replace("|", r"\|").split("`")
    pieces[::2] = [piece.replace("<", "&lt;") for piece in pieces[::2]]
    return "`".join(pieces)


def overview(interfaces: list[Interface]) -> str:
    """One row for each topic, service and action."""
    rows = []
    for found in interfaces:
        link = f"[{found.kind}/{found.name}](#{found.kind}{found.name.lower()})"
        for topic, node, note, qos in TOPIC.findall(found.header):
            rows.append(f"| `{topic}` | {link} | {node} | {qos}{note and '; '}{note} |")
        kind = "service" if found.kind == "srv" else "action"
        for node, name in SERVICE.findall(found.header):
            rows.append(f"| `{name}` | {link} | {node} | {kind} |")
    return "\n".join(["| name | type | node | QoS |", "|---|---|---|---|", *rows])


def reference(interfaces: list[Interface]) -> str:
    """One section for each interface."""
    lines: list[str] = []
    links = {found.name: f"#msg{found.name.lower()}" for found in interfaces if found.kind == "msg"}
    for found in interfaces:
        lines += [f"### {found.kind}/{found.name}", "", escaped(found.header), ""]
        for part in PARTS[found.kind]:
            lines += [f"**{part}**", "", *HEAD] if part else HEAD
            for field in (field for field in found.fields if field.part == part):
                base = field.type.partition("[")[0]
                link = f"[`{field.type}`]({links[base]})" if base in links else f"`{field.type}`"
                value = f"{'= ' * field.constant}{field.value}"
                lines.append(f"| {link} | `{field.name}` | {value} | {escaped(field.comment)} |")
            lines.append("")
    return "\n".join(lines).strip()
