"""Parameters of the selective decoder."""

from __future__ import annotations

from dataclasses import dataclass

from vljepa_ros.nodes.model_node import ModelParameters
from vljepa_ros.nodes.parameters import fixed, live
from vljepa_ros.nodes.state_keeper import AUTO_STATE
from vljepa_ros.nodes.turn_input import AUTO, TURN_TYPES


@dataclass(frozen=True)
class DecoderParameters(ModelParameters):
    """Parameters beside the common ones."""

    sensitivity: float = live(
        1.0, "False alarms per hour to expect on a quiet stream: the knob to turn.", 1e-3, 1e3
    )
    threshold: float = live(
        0.06, "Cosine distance from the last state told, below which nothing changed.", 0.0, 2.0
    )
    release: float = live(
        0.8, "Share of the threshold below which a suspected change is dropped.", 0.0, 1.0
    )
    smoothing: float = live(0.3, "Time constant of the smoothing, seconds.", 0.0, 60.0)
    settle: float = live(0.7, "Seconds that a change must last before it is told.", 0.0, 60.0)
    min_gap: float = live(1.0, "Seconds from one change to the next, at least.", 0.0, 3600.0)
    heartbeat: float = live(
        5.0, "Seconds of stamps after which the state is told again on scene.", 0.2, 3600.0
    )
    include_vector: bool = live(False, "Put the state's embedding into events.")
    turn_topic: str = fixed(
        "", "Topic of the robot's turn rate: odometry, an IMU or a twist; empty: no turn guard."
    )
    turn_type: str = fixed(
        AUTO, "Kind of that topic; auto: as the graph says.", choices=(AUTO, *TURN_TYPES)
    )
    turn_rate: float = live(0.1, "Turn rate from which the robot turns, rad/s.", 0.0, 100.0)
    turn_factor: float = live(
        20.0, "How many times larger a change must be while the robot turns.", 1.0, 100.0
    )
    state_file: str = fixed(
        AUTO_STATE,
        "File that keeps what was told last, so that a restart does not tell it again; auto: in "
        "$ROS_HOME/vljepa_ros, named after the node; empty: none.",
    )
    max_state_age: float = live(
        300.0, "Seconds after which what was told before a restart is told again.", 0.0, 1e7
    )
