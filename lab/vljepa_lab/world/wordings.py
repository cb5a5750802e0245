"""How states and questions are worded in training, and names for objects that are not named.

Importable without mujoco. The first wording of everything is the canonical one. `{x}` and `{y}`
stand for objects with their article. Events: event_wordings; never trained: unseen_wordings.
"""

from __future__ import annotations

ARTICLES = ("the", "a")
# what stands for {x} where the object is not named
UNNAMED = ("an object", "something", "an item", "a thing")

STATES: dict[str, tuple[str, ...]] = {
    "door:open": ("the door is open", "there is an open door", "the doorway is open"),
    "door:closed": ("the door is closed", "there is a closed door", "the door is shut"),
    "lights:on": ("the lights are on", "the room is bright", "the lamp is on"),
    "lights:off": ("the lights are off", "the room is dark", "the lamp is off"),
    "person:yes": (
        "a person is in the room",
        "someone is in the room",
        "there is a person",
        "somebody is here",
    ),
    "person:no": (
        "nobody is in the room",
        "there is no person",
        "the room is empty of people",
        "no one is here",
    ),
    "held": ("the gripper holds {x}", "the robot is holding {x}", "{x} is in the gripper"),
    "held:nothing": (
        "the gripper is empty",
        "the robot holds nothing",
        "there is nothing in the gripper",
    ),
}

# per form of a task: the wordings of its question. Forms that end in _yes are answered yes or no.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "event": (
        "what is happening?",
        "what is going on?",
        "describe the event",
        "what happens here?",
        "what is taking place?",
        "which event do you see?",
    ),
    "action": (
        "which action is this?",
        "name the action",
        "what kind of event is it?",
        "what type of action takes place?",
        "classify the action",
    ),
    "colour": (
        "what color is {x}?",
        "which color does {x} have?",
        "what is the color of {x}?",
        "name the color of {x}",
        "tell me the color of {x}",
    ),
    "count": (
        "how many objects are on the table?",
        "how many things lie on the table?",
        "count the objects on the table",
        "what is the number of objects on the table?",
    ),
    "exists_yes": (
        "is there {x}?",
        "can you see {x}?",
        "is {x} visible?",
        "is there {x} in the picture?",
        "do you see {x} anywhere?",
    ),
    "side_yes": (
        "is {x} left of {y}?",
        "is {x} to the left of {y}?",
        "does {x} stand to the left of {y}?",
        "is {y} to the right of {x}?",
    ),
    "side": (
        "is {x} left or right of {y}?",
        "on which side of {y} is {x}?",
        "where is {x}, left or right of {y}?",
        "does {x} stand left or right of {y}?",
    ),
    "door_yes": (
        "is the door open?",
        "has the door been opened?",
        "is there an open door?",
        "does the door stand open?",
    ),
    "door": (
        "is the door open or closed?",
        "state of the door?",
        "how is the door?",
        "what is the state of the door?",
    ),
    "lights_yes": (
        "are the lights on?",
        "is the room lit?",
        "is the light on?",
        "is it bright in here?",
    ),
    "lights": (
        "are the lights on or off?",
        "light on or off?",
        "what is the state of the lights?",
        "how is the lighting?",
    ),
    "person_yes": (
        "is there a person?",
        "is someone in the room?",
        "do you see a human?",
        "is there somebody in the room?",
        "can you see a person?",
    ),
    "held": (
        "what is the gripper holding?",
        "what does the robot hold?",
        "which object is in the gripper?",
        "what does the arm carry?",
    ),
    "holding_anything_yes": (
        "is the gripper holding anything?",
        "does the robot hold an object?",
        "is there an object in the gripper?",
        "does the arm carry something?",
    ),
    "moved": (
        "which object is moving?",
        "what object is being moved?",
        "which thing moves?",
        "what is being moved?",
    ),
    "caption": (
        "describe the scene",
        "what do you see?",
        "caption the image",
        "describe what you see",
    ),
}
