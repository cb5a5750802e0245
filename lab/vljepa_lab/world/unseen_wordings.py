"""How events, states and questions are worded in tests only: none of this is ever trained.

`{x}` and `{y}` stand for objects with their article. The keys are those of the trained tables.
"""

from __future__ import annotations

UNSEEN_EVENTS: dict[str, tuple[str, ...]] = {
    "nothing": (
        "no action can be seen",
        "the situation does not change",
        "all is calm and motionless",
        "no activity",
    ),
    "pick up": (
        "the machine hoists {x} up",
        "{x} gets taken up into the air by the claw",
        "the manipulator seizes {x} and elevates it",
        "the hand snatches {x} up off the desk",
    ),
    "put down": (
        "the machine deposits {x} on the desk",
        "{x} gets set back down by the claw",
        "the manipulator rests {x} on the surface",
        "the hand lowers and frees {x}",
    ),
    "drop": (
        "the claw lets {x} plunge",
        "{x} slips out of the hand and hits the desk",
        "the manipulator unclenches and {x} plummets",
        "the machine dumps {x} from a height",
    ),
    "push left": (
        "the claw drives {x} over to the left hand side",
        "{x} gets shifted left by the machine",
        "the manipulator forces {x} leftward",
        "the hand scoots {x} left",
    ),
    "push right": (
        "the claw drives {x} over to the right hand side",
        "{x} gets shifted right by the machine",
        "the manipulator forces {x} rightward",
        "the hand scoots {x} right",
    ),
    "fall off": (
        "{x} plunges from the desk to the ground",
        "{x} topples over the rim and hits the floor",
        "{x} ends up on the ground below the table",
        "gravity pulls {x} off the table",
    ),
    "roll": (
        "{x} trundles along the surface",
        "{x} turns over and over across the desk",
        "{x} spins along without being touched",
        "{x} travels over the surface by rolling",
    ),
    "door opens": (
        "the entrance is unlocked and pulled open",
        "the door gets pulled ajar",
        "somebody has pushed the door open",
        "the entry is revealed as the door turns",
    ),
    "door closes": (
        "the entrance gets sealed",
        "the door gets pulled to",
        "somebody has slammed the door",
        "the entry is blocked as the door turns shut",
    ),
    "lights off": (
        "the illumination ceases",
        "all bulbs are extinguished",
        "the place turns gloomy",
        "power to the lamps is cut",
    ),
    "lights on": (
        "the illumination starts",
        "all bulbs begin to shine",
        "the place turns luminous",
        "power to the lamps is restored",
    ),
    "person enters": (
        "a visitor shows up",
        "an individual strolls into the place",
        "a pedestrian comes inside",
        "a newcomer turns up in front of the camera",
    ),
    "person leaves": (
        "the visitor goes away",
        "an individual strolls out of the place",
        "a pedestrian exits",
        "the person in front of the camera is going off",
    ),
    "turn left": (
        "the vehicle veers left",
        "the field of view shifts leftward",
        "the platform yaws to port",
        "the observer faces more to the left",
    ),
    "turn right": (
        "the vehicle veers right",
        "the field of view shifts rightward",
        "the platform yaws to starboard",
        "the observer faces more to the right",
    ),
    "move forward": (
        "the vehicle proceeds toward the desk",
        "the platform travels onward",
        "the observer gets nearer to the furniture",
        "everything in view grows larger as the machine drives on",
    ),
    "move back": (
        "the vehicle reverses away from the desk",
        "the platform travels rearward",
        "the observer gets farther off the furniture",
        "everything in view shrinks as the machine reverses",
    ),
}

UNSEEN_STATES: dict[str, tuple[str, ...]] = {
    "door:open": ("the entrance stands wide open", "one could walk through the doorway"),
    "door:closed": ("the entrance is shut tight", "one could not walk through the doorway"),
    "lights:on": ("the place is illuminated", "the bulbs are shining"),
    "lights:off": ("the place is unlit", "the bulbs are not shining"),
    "person:yes": ("a human being is present", "we are not alone"),
    "person:no": ("not a soul is around", "we are alone"),
    "held": ("the claw has {x} in its grip", "the machine carries {x}"),
    "held:nothing": ("the claw is free", "the machine carries nothing"),
}

UNSEEN_QUESTIONS: dict[str, tuple[str, ...]] = {
    "event": ("what occurs in this clip?", "tell me what goes on at the moment"),
    "action": ("what is being done?", "which activity is shown?"),
    "colour": ("in what color is {x} painted?", "what hue does {x} have?"),
    "count": ("how many items rest on the tabletop?", "number of things on the desk?"),
    "exists_yes": ("does the image contain {x}?", "have you spotted {x}?"),
    "side_yes": ("can {x} be found on the left of {y}?", "is {x} further left than {y}?"),
    "side": ("relative to {y}, is {x} left or right?", "which side of {y} does {x} lie on?"),
    "door_yes": ("could I walk through the door?", "is the entrance open?"),
    "door": ("open or shut, how is the entrance?", "in what position is the door?"),
    "lights_yes": ("is the lamp switched on?", "is the place illuminated?"),
    "lights": ("is the lamp switched on or off?", "how is the illumination?"),
    "person_yes": ("is anybody in here?", "is any human being present?"),
    "held": ("what is in the robot's hand?", "what has the claw got?"),
    "holding_anything_yes": ("is the robot's hand full?", "has the claw got anything?"),
    "moved": ("what has changed its place?", "which item is in motion?"),
    "caption": ("give a description of the picture", "what is in this view?"),
}
