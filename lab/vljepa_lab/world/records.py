"""What the simulated world knows of itself: its words, and the records of scenes and their clips.

Importable without mujoco: the records of a data set and of the shipped clip are read with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vljepa_ros.files import JsonObject

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.07, 0.07),
    "green": (0.10, 0.62, 0.16),
    "blue": (0.08, 0.22, 0.88),
    "yellow": (0.98, 0.86, 0.06),
    "orange": (1.00, 0.45, 0.02),
    "purple": (0.52, 0.12, 0.68),
    "white": (0.96, 0.96, 0.95),
    "black": (0.06, 0.06, 0.07),
}
SHAPES = ("box", "ball", "can", "mug", "bottle", "bowl", "cone", "banana", "book", "toy car")
NEVER_TRAINED = frozenset(
    {
        ("red", "mug"),
        ("blue", "cone"),
        ("green", "ball"),
        ("yellow", "book"),
        ("orange", "can"),
        ("purple", "bottle"),
        ("white", "toy car"),
        ("black", "bowl"),
        ("yellow", "banana"),
        ("green", "box"),
    }
)
"""Each colour and each shape is trained, these pairs of them never are: test_b asks for them."""
OBJECT_ACTIONS = ("pick up", "put down", "drop", "push left", "push right", "fall off", "roll")
CONTACT_ACTIONS = ("put down", "drop", "push left", "push right")
"""The gripper goes home after these: a moment of motion without an event."""
GRIP_CHANGE = {"pick up": 0.5, "put down": 0.72, "drop": 0.45}
"""When the object changes between table and gripper, as a share of the event's duration."""
ACTIONS = (
    "nothing",
    *OBJECT_ACTIONS,
    "door opens",
    "door closes",
    "lights off",
    "lights on",
    "person enters",
    "person leaves",
    "turn left",
    "turn right",
    "move forward",
    "move back",
)
SPLITS = ("train", "val", "test_a", "test_b")
CLIP_FRAMES, INTERVAL = 4, 0.5  # frames of nano's clip, seconds between them and between a record's
PERSON_SEEN = 0.3  # visible share from which a person counts as seen


def named(color: str, shape: str) -> str:
    """'red', 'mug' -> 'red mug'."""
    return f"{color} {shape}"


def trained_pairs() -> list[tuple[str, str]]:
    """All (color, shape) pairs but the never-trained ones, in a fixed order."""
    return [(c, s) for c in COLORS for s in SHAPES if (c, s) not in NEVER_TRAINED]


@dataclass(frozen=True)
class Event:
    """Something that happens.

    Attributes:
        kind: one of ACTIONS.
        object: `color shape`, empty if it happens to none.
        start, end: seconds of scene time.
    """

    kind: str
    object: str
    start: float
    end: float


@dataclass(frozen=True)
class ObjectState:
    """One object at one instant.

    Attributes:
        color, shape: its name.
        place: table, gripper or floor.
        position: metres, world frame.
        uv: its centre in the image, in units of half the image height from the image centre (u
            right, v down; +-1 is the edge of the centre square).
        size_uv: its extent in the same units.
        visible: share of its box inside the centre square and not hidden by what stands before it,
            0..1.
    """

    color: str
    shape: str
    place: str
    position: tuple[float, float, float]
    uv: tuple[float, float]
    size_uv: tuple[float, float]
    visible: float

    @property
    def name(self) -> str:
        """`color shape`."""
        return named(self.color, self.shape)


@dataclass(frozen=True)
class State:
    """The whole world at one instant; uv and visible as in ObjectState.

    Attributes:
        stamp: seconds of scene time.
        objects: all of them.
        held: `color shape` of what the gripper holds, or "".
        door, door_uv, door_visible: 0 closed .. 1 open; where it is; whether it can be seen.
        lights: whether they are on.
        person, person_uv, person_visible: 0 out .. 1 at the place where they stay; where they are;
            the share of them that can be seen, 0..1.
        gripper_uv, gripper_visible: where it is; whether it can be seen.
        yaw, forward: of the robot: radians, left positive; metres towards the table.
    """

    stamp: float
    objects: tuple[ObjectState, ...]
    held: str
    door: float
    door_uv: tuple[float, float]
    door_visible: bool
    lights: bool
    person: float
    person_uv: tuple[float, float]
    person_visible: float
    gripper_uv: tuple[float, float]
    gripper_visible: bool
    yaw: float
    forward: float

    def as_dict(self) -> JsonObject:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: JsonObject) -> State:
        """The inverse of `as_dict`, lists read as tuples.

        Raises:
            TypeError: a field is missing or unknown.
        """
        values = _tuples(data)
        values["objects"] = tuple(ObjectState(**_tuples(o)) for o in data["objects"])
        return cls(**values)


def _tuples(data: JsonObject) -> JsonObject:
    """JSON's lists as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}


@dataclass(frozen=True)
class Record:
    """A scene's record, read from a line of a data set."""

    split: str
    events: tuple[Event, ...]
    states: tuple[State, ...]

    @classmethod
    def from_dict(cls, data: JsonObject) -> Record:
        """From one parsed line of `shard_*.jsonl`."""
        return cls(
            data["split"],
            tuple(Event(**e) for e in data["events"]),
            tuple(State.from_dict(s) for s in data["states"]),
        )


@dataclass(frozen=True)
class ClipEvent:
    """What happens in one clip.

    Attributes:
        kind: one of ACTIONS, or None if it cannot be said.
        object: `color shape`, or "".
    """

    kind: str | None
    object: str


def clip_event(record: Record, t: int) -> ClipEvent:
    """The event of the clip that ends at frame t: CLIP_FRAMES frames INTERVAL seconds apart.

    An event counts where the clip covers 60% of it (or is covered by it), and no other one by more
    than 35%; nothing, where no event touches the clip and the gripper is not on its way home.
    """
    end = record.states[t].stamp
    start = end - (CLIP_FRAMES - 1) * INTERVAL
    shares = []
    for e in record.events:
        after = 0.5 if e.kind in CONTACT_ACTIONS else 0.0
        if min(end, e.end + after) - max(start, e.start) > 0:
            covered = min(end, e.end) - max(start, e.start)
            shares.append((covered / min(e.end - e.start, end - start), e))
    if not shares:
        return ClipEvent("nothing", "")
    shares.sort(key=lambda s: -s[0])
    share, event = shares[0]
    if share < 0.6 or (len(shares) > 1 and shares[1][0] > 0.35) or not _in_view(record, t, event):
        return ClipEvent(None, "")
    return ClipEvent(event.kind, event.object)


def _in_view(record: Record, t: int, event: Event) -> bool:
    """Whether enough of the clip's frames show the event."""
    frames = record.states[max(0, t - CLIP_FRAMES + 1) : t + 1]
    if event.object:
        seen = sum(o.visible >= 0.5 for s in frames for o in s.objects if o.name == event.object)
        return seen >= (1 if event.kind == "fall off" else 2)
    if event.kind.startswith("door"):
        return all(s.door_visible for s in frames)
    if event.kind.startswith("person"):
        return sum(s.person_visible >= PERSON_SEEN for s in frames) >= 2
    return True


def between_places(record: Record, stamp: float) -> bool:
    """Whether an object is just leaving or reaching the gripper, or falling, at `stamp` seconds."""
    for e in record.events:
        change = GRIP_CHANGE.get(e.kind)
        if change is not None and abs(stamp - e.start - change * (e.end - e.start)) < 0.25:
            return True
        if e.kind == "fall off" and 0.3 < (stamp - e.start) / (e.end - e.start) < 1.0:
            return True
    return False
