"""Messages as bytes (CDR) and as JSON (console): decoded, or refused with the one exception.

What was decoded must be fit to be used: it encodes again, and the page can be sent it.
"""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

from vljepa_ros.console.server import MOST_BODY
from vljepa_ros.nodes.console_node import SERVICES
from vljepa_ros.nodes.message_json import from_json, to_json
from vljepa_ros.ros.builtin.cdr import CdrError, decode, encode
from vljepa_ros.ros.builtin.definitions import INTEGER_LIMITS, Field
from vljepa_ros.ros.builtin.message import FieldError, interface, is_numeric_sequence, message_class

TYPES = (
    *("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "nav_msgs/msg/Odometry"),
    *("diagnostic_msgs/msg/DiagnosticArray", "rcl_interfaces/msg/ParameterEvent"),
    *("rcl_interfaces/srv/SetParameters_Request", "rmw_dds_common/msg/ParticipantEntitiesInfo"),
    *(f"vljepa_ros/msg/{name}" for name in ("Embedding", "SceneLabels", "SceneEvent")),
    *(f"vljepa_ros/msg/{name}" for name in ("ModelInfo", "Vocabulary", "TriggerState")),
    *(f"vljepa_ros/srv/{name}_Request" for name in (*SERVICES.values(), "AnswerAboutImage")),
)
TEXTS = (
    "",
    "a",
    "front",
    "is it open?",
    "x" * 200,
    "\0",
    "\n",
    "🚪",
    "</script>",
    "'; --",
    "\udcff",
)
NUMBERS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-45, 0.5, 1.0, 2.5, 3e38, -3e38)
LENGTHS = (0, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF)
JSON_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**64, 10**400, 1.5, math.inf, math.nan, "", "a", "\0", "\ud800"),
    *([], {}, [[]], [None], ["a", 1], {"a": {}}, {"data": "AAAA"}, [{"texts": ["a"]}], "x" * 9000),
)


def value(random: Random, field: Field, depth: int = 0) -> Any:
    """A value that the field can hold: of the edges of its range, mostly."""
    kind = field.type
    if kind.kind != "scalar":
        count = kind.size if kind.kind == "array" else min(kind.size or 9, random.randrange(4))
        scalar = Field(field.name, type(kind)(kind.base, kind.string_bound))
        return [value(random, scalar, depth + 1) for _ in range(count)]
    if kind.nested:
        return message(random, kind.base, depth + 1)
    if kind.base in INTEGER_LIMITS:
        low, high = INTEGER_LIMITS[kind.base]
        return random.choice((low, high, max(low, -1), 0, 1, min(high, random.randrange(2**40))))
    if kind.base == "string":
        return random.choice(TEXTS)
    if kind.base == "bool":
        return random.random() < 0.5
    if kind.base == "byte":
        return random.randbytes(1)
    return random.choice(NUMBERS)


def message(random: Random, name: str, depth: int = 0) -> Any:
    """A message, a third of whose fields are not the default."""
    made = message_class(name)()
    for field in made._definition.fields:
        if random.random() < 1 / 3:
            setattr(made, field.name, value(random, field, depth))
    return made


def mutated(random: Random, data: bytes) -> bytes:
    """Bytes overwritten, cut, repeated or put in; lengths above all."""
    harmed = bytearray(data)
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        at = random.randrange(len(harmed) + 1)
        how = random.randrange(5)
        if how == 0:
            at -= at % 4
            harmed[at : at + 4] = random.choice(LENGTHS).to_bytes(4, "little")
        elif how == 1:
            harmed[at : at + 1] = random.randbytes(1)
        elif how == 2:
            del harmed[at:]
        elif how == 3:
            del harmed[at : at + random.randrange(9)]
        else:
            harmed[at:at] = random.choice((b"\0" * 4, b"\xff" * 4, harmed[:at][-64:]))
    return bytes(harmed)


def used(name: str, data: bytes) -> str:
    """Decode, and use what comes out."""
    try:
        made = decode(name, data)
    except CdrError as error:
        return "refused" if name in str(error) else "refused, the type not named"
    for field in made._definition.fields:
        if is_numeric_sequence(field.type):
            assert len(getattr(made, field.name)) <= len(data)
    assert decode(name, encode(made)) == made or b"\xff" in data or b"\x7f" in data  # NaN
    json.dumps(to_json(made))
    return "decoded"


def cdr(random: Random) -> str:
    name = random.choice(TYPES)
    return used(name, mutated(random, encode(message(random, name))))


def console_request(random: Random) -> str:
    """JSON of a request, near one that is allowed."""
    name = random.choice(list(SERVICES.values()))
    kind = interface(f"vljepa_ros/srv/{name}").Request
    fields = to_json(message(random, f"vljepa_ros/srv/{name}_Request"))
    for _ in range(random.randrange(3)):
        holder: Any = fields
        while isinstance(holder, (dict, list)) and holder:
            key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            if isinstance(holder[key], (dict, list)) and holder[key] and random.random() < 0.7:
                holder = holder[key]
                continue
            holder[key] = copy.deepcopy(random.choice(JSON_VALUES))
            break
        if random.random() < 0.1:
            fields[random.choice(("", "a", "__class__", "_text"))] = copy.deepcopy(
                random.choice(JSON_VALUES)
            )
    text = json.dumps(fields)
    if random.random() < 0.05:
        deep = "[" * random.choice((5, 500, 990, 90_000))
        text = f'{{"{next(iter(fields), "a")}": {deep}'[: MOST_BODY // 2] + "]" * len(deep) + "}"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # as the server refuses it
        return "no JSON"
    try:
        made = from_json(kind, found)
    except ValueError as error:
        return "refused" if str(error) else "refused without a reason"
    encode(made)
    return "read"


def wrong_assignment(random: Random) -> str:
    """A field takes a value or refuses it with FieldError; what it took is encoded."""
    name = random.choice(TYPES)
    made = message(random, name)
    field = random.choice(made._definition.fields)
    try:
        setattr(made, field.name, random.choice((*JSON_VALUES, *TEXTS, *NUMBERS)))
        encode(made)
    except FieldError as error:
        return "refused" if field.name in str(error) else "refused, the field not named"
    return "taken"


TARGETS = {
    "CDR": cdr,
    "console request": console_request,
    "field of a message": wrong_assignment,
}
