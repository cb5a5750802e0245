"""How the events, states and questions that only the richer world has are worded.

As in `event_wordings`, `wordings` and `unseen_wordings`: the first wording of each is the canonical
one, `{x}` stands for an object with its article, and what is in the UNSEEN tables is never trained.
No word that the plain never-trained wordings alone have occurs in the trained ones here.
"""

from __future__ import annotations

RICH_EVENTS: dict[str, tuple[str, ...]] = {
    "handover to person": (
        "the robot hands {x} to the person",
        "handing {x} to the person",
        "the robot gives {x} to the person",
        "the person takes {x} from the gripper",
        "{x} is handed to the person",
        "the gripper passes {x} to the person",
        "the person receives {x} from the robot",
        "{x} goes from the gripper to the person",
        "giving {x} to someone",
        "someone takes {x} out of the gripper",
        "the arm holds out {x} and the person takes it",
        "the robot arm hands over {x} to a human",
        "{x} is given to the person by the robot",
        "somebody gets {x} from the robot",
        "the human grabs {x} that the robot holds out",
    ),
    "handover from person": (
        "the person hands {x} to the robot",
        "taking {x} from the person",
        "the person gives {x} to the robot",
        "the gripper takes {x} from the person",
        "{x} is handed to the robot",
        "the person passes {x} to the gripper",
        "the robot receives {x} from the person",
        "{x} goes from the person to the gripper",
        "getting {x} from someone",
        "someone puts {x} into the gripper",
        "the person holds out {x} and the robot takes it",
        "a human hands over {x} to the robot arm",
        "{x} is given to the robot by the person",
        "the robot gets {x} from somebody",
        "the gripper grabs {x} that the human holds out",
    ),
    "drawer opens": (
        "the drawer opens",
        "opening of the drawer",
        "someone opens the drawer",
        "the drawer is being opened",
        "the drawer slides open",
        "the drawer comes out of the cabinet",
        "the drawer slides out",
        "a drawer opens",
        "the drawer goes from closed to open",
        "the drawer has just been opened",
        "the cabinet's drawer opens",
        "the drawer is moved out",
        "the cabinet opens its drawer",
        "drawer opening",
    ),
    "drawer closes": (
        "the drawer closes",
        "closing of the drawer",
        "someone closes the drawer",
        "the drawer is being closed",
        "the drawer slides shut",
        "the drawer goes back into the cabinet",
        "the drawer slides in",
        "a drawer closes",
        "the drawer goes from open to closed",
        "the drawer has just been closed",
        "the cabinet's drawer closes",
        "the drawer is pushed in",
        "the cabinet closes its drawer",
        "drawer closing",
    ),
    "obstacle appears": (
        "an obstacle comes into the way of the robot",
        "an obstacle appears",
        "something moves into the way",
        "an obstacle appears before the robot",
        "something slides between the robot and the table",
        "an obstacle slides into the way",
        "something comes to stand before the robot",
        "the way of the robot gets closed by an obstacle",
        "an obstacle moves before the camera",
        "something big comes in from the side and stops before the table",
        "an obstacle is put into the way of the robot",
        "a thing on the floor moves into the way",
        "an obstacle arrives right before the robot",
        "something gets into the way of the robot",
    ),
    "obstacle leaves": (
        "the obstacle goes out of the way of the robot",
        "the obstacle disappears",
        "what stood before the robot moves off",
        "the obstacle before the robot goes away",
        "something slides out from between the robot and the table",
        "the obstacle slides out of the way",
        "the thing before the robot moves to the side",
        "the way of the robot becomes open",
        "the obstacle moves away from the camera",
        "something big goes off to the side and one sees the whole table",
        "the obstacle is moved out of the way of the robot",
        "the thing on the floor moves out of the way",
        "the obstacle leaves the way of the robot",
        "no obstacle is left before the robot",
    ),
}

RICH_UNSEEN_EVENTS: dict[str, tuple[str, ...]] = {
    "handover to person": (
        "the machine delivers {x} into a human palm",
        "the claw presents {x} and an individual accepts it",
        "{x} changes owner from the machine to the visitor",
        "the visitor relieves the manipulator of {x}",
    ),
    "handover from person": (
        "a human palm delivers {x} to the machine",
        "an individual presents {x} and the claw accepts it",
        "{x} changes owner from the visitor to the machine",
        "the manipulator relieves the visitor of {x}",
    ),
    "drawer opens": (
        "the compartment of the dresser is drawn outward",
        "the chest reveals its clothes",
        "the dresser's tray glides forth",
        "somebody has tugged the dresser's compartment ajar",
    ),
    "drawer closes": (
        "the compartment of the dresser is thrust back inward",
        "the chest conceals its clothes",
        "the dresser's tray glides back",
        "somebody has shoved the dresser's compartment home",
    ),
    "obstacle appears": (
        "the route ahead becomes obstructed",
        "a hindrance rolls up ahead of the machine",
        "an impediment shows up on the path",
        "passage toward the desk is barred all at once",
    ),
    "obstacle leaves": (
        "the route ahead becomes unobstructed",
        "the hindrance rolls off sideways",
        "the impediment withdraws and the path is clear",
        "passage toward the desk is possible once more",
    ),
}

RICH_STATES: dict[str, tuple[str, ...]] = {
    "drawer:open": (
        "the drawer is open",
        "there is an open drawer",
        "the drawer stands out of the cabinet",
        "the cabinet has an open drawer",
    ),
    "drawer:closed": (
        "the drawer is closed",
        "there is a closed drawer",
        "the drawer is shut",
        "the cabinet has a closed drawer",
    ),
    "obstacle:yes": (
        "an obstacle is in the way of the robot",
        "there is an obstacle before the robot",
        "something stands before the robot",
        "the robot has an obstacle in its way",
    ),
    "obstacle:no": (
        "no obstacle is in the way of the robot",
        "there is no obstacle before the robot",
        "nothing stands before the robot",
        "the robot has no obstacle in its way",
    ),
    "person_held": (
        "the person holds {x}",
        "someone is holding {x}",
        "{x} is in the person's hand",
        "a person has {x} in the hand",
    ),
}

RICH_UNSEEN_STATES: dict[str, tuple[str, ...]] = {
    "drawer:open": ("the dresser's compartment is ajar", "one can look into the dresser's tray"),
    "drawer:closed": ("the dresser's compartment is sealed", "one cannot look into the dresser"),
    "obstacle:yes": ("the route ahead is obstructed", "a hindrance bars the passage"),
    "obstacle:no": ("the route ahead is unobstructed", "no hindrance bars the passage"),
    "person_held": ("the visitor carries {x}", "{x} rests on a human palm"),
}

RICH_QUESTIONS: dict[str, tuple[str, ...]] = {
    "drawer_yes": (
        "is the drawer open?",
        "has the drawer been opened?",
        "is there an open drawer?",
        "does the drawer stand out of the cabinet?",
    ),
    "drawer": (
        "is the drawer open or closed?",
        "state of the drawer?",
        "how is the drawer?",
        "what is the state of the drawer?",
    ),
    "obstacle_yes": (
        "is there an obstacle in the way?",
        "does something stand before the robot?",
        "is something in the way of the robot?",
        "do you see an obstacle before the robot?",
    ),
    "person_held": (
        "what does the person hold?",
        "what is the person holding?",
        "which object does the person have in the hand?",
        "what has somebody in the hand?",
    ),
    "person_holding_yes": (
        "does the person hold anything?",
        "is the person holding an object?",
        "has somebody an object in the hand?",
        "does someone hold something?",
    ),
}

RICH_UNSEEN_QUESTIONS: dict[str, tuple[str, ...]] = {
    "drawer_yes": ("is the dresser's compartment ajar?", "could I look into the dresser?"),
    "drawer": ("ajar or shut, how is the dresser?", "in what position is the compartment?"),
    "obstacle_yes": ("is the route ahead obstructed?", "does any hindrance bar the passage?"),
    "person_held": ("what has the visitor got?", "what does the individual carry?"),
    "person_holding_yes": ("is the visitor carrying anything?", "is the individual's palm full?"),
}
