"""The trigger node on the real middleware: owners and leases, events and states, what stops."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
import pytest
from graph import SECOND, Graph, accepted, nanoseconds, status
from trigger_robot import ARM, DOOR, LABEL, STATUS, UNREADABLE, Robot

from vljepa_ros import ros
from vljepa_ros.nodes.topics import LATCHED

DOOR_PROMPT = "is the door open or closed?"


def test_events_begin_with_unknown_and_say_what_decided(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR, f"{ARM} | 0.98"])
    assert robot.watches()
    robot.see(DOOR)
    robot.see(ARM)
    assert robot.received(f"FALSE {ARM}", f"TRUE {DOOR}", f"FALSE {DOOR}", f"TRUE {ARM}")
    previous: dict[str, int] = {}
    for event in robot.events:
        trigger = event.trigger
        assert event.previous_state == previous.get(trigger.id, STATUS.STATE_UNKNOWN)
        previous[trigger.id] = trigger.state
        assert (trigger.owner, trigger.camera) == ("parameter", "front")
        assert (trigger.text, trigger.reason) == (trigger.id, STATUS.REASON_SCORED)
        assert trigger.threshold == pytest.approx(0.98 if trigger.id == ARM else 0.99)
        assert (trigger.score >= trigger.threshold) == (trigger.state == STATUS.STATE_TRUE)
        assert (event.model_id, event.header.frame_id) == (robot.model_id, "front_optical")
        assert trigger.evaluated == event.header.stamp
        assert nanoseconds(trigger.since) <= nanoseconds(event.header.stamp)
        assert 0 <= event.latency < 60
    assert len({event.event_id for event in robot.events}) == 4
    assert robot.shows(DOOR, "FALSE")
    state = robot.states[-1]
    assert [s.id for s in state.triggers] == [DOOR, ARM]
    assert (state.camera, state.model_id) == ("front", robot.model_id)


def test_the_state_is_repeated_once_a_second_also_without_triggers(graph: Graph) -> None:
    robot = Robot(graph, perception=False)
    assert graph.spin(lambda: len(robot.states) >= 3)
    stamps = [nanoseconds(state.header.stamp) for state in robot.states[-2:]]
    assert 0.5 * SECOND < stamps[1] - stamps[0] < 1.5 * SECOND
    assert robot.states[-1].triggers == []
    assert robot.publisher.get_subscription_count() == 0, "nothing to watch for"


def test_two_clients_one_dies_and_the_other_never_flickers(graph: Graph) -> None:
    robot = Robot(graph)
    reply = robot.add("left", DOOR, ARM, lease=1.0)
    assert (reply.result.code, reply.result.message, reply.total) == (0, "", 2)
    assert robot.add("right", DOOR).total == 1
    robot.see(DOOR)
    before = [event.trigger.owner for event in robot.events]
    assert sorted(before) == ["left", "left", "right"]
    assert accepted(robot.add("right"))
    robot.events.clear()
    robot.states.clear()
    assert graph.spin(lambda: len(robot.events) == 2, again=lambda: robot.see(DOOR, 0.2))
    for event in robot.events:
        assert event.trigger.owner == "left"
        assert event.trigger.reason == STATUS.REASON_REMOVED
        assert math.isnan(event.trigger.score)
    robot.see(DOOR)
    assert len(robot.events) == 2
    for state in robot.states:
        (mine,) = [s for s in state.triggers if s.owner == "right"]
        assert mine.state == STATUS.STATE_TRUE
    assert [s.owner for s in robot.states[-1].triggers] == ["right"]
    gone = robot.add("left")
    assert gone.result.code == gone.result.UNKNOWN_ID
    assert accepted(robot.remove("right"))
    assert robot.received(f"UNKNOWN {DOOR}", f"UNKNOWN {ARM}", f"UNKNOWN {DOOR}") or robot.received(
        f"UNKNOWN {ARM}", f"UNKNOWN {DOOR}", f"UNKNOWN {DOOR}"
    )
    assert graph.spin(lambda: robot.publisher.get_subscription_count() == 0)


def test_a_trigger_is_replaced_kept_and_removed_by_its_id(graph: Graph) -> None:
    robot = Robot(graph)
    assert accepted(robot.add("planner", DOOR, ARM))
    robot.see(DOOR)
    assert robot.received(f"FALSE {ARM}", f"TRUE {DOOR}")
    assert accepted(robot.add("planner", DOOR)), "the same"
    robot.see(DOOR)
    assert accepted(robot.add("planner", ARM, threshold=0.9)), "another"
    robot.see(DOOR)
    assert robot.history[2:] == [f"UNKNOWN {ARM}", f"FALSE {ARM}"]
    assert robot.events[2].trigger.reason == STATUS.REASON_NOT_SCORED
    unknown = robot.remove("planner", DOOR, "nothing")
    assert unknown.result.code == unknown.result.UNKNOWN_ID
    assert robot.remove("planner", DOOR).removed == 1
    assert robot.received(*robot.history[:4], f"UNKNOWN {DOOR}")
    assert [s.id for s in robot.states[-1].triggers] == [ARM]


@pytest.mark.parametrize(
    ("owner", "texts", "fields", "message"),
    [
        ("", [DOOR], {}, "owner has 0 characters"),
        ("parameter", [DOOR], {}, "owner is 'parameter', allowed: any name but"),
        ("planner", [DOOR, DOOR], {}, "ids appear twice"),
        ("planner", [DOOR], {"threshold": 2.0}, "is 2, allowed: between 0 and 1"),
        ("planner", [DOOR], {"cameras": ["rear"]}, "unknown camera 'rear'"),
        ("planner", [UNREADABLE], {}, "refused the text: it has too many tokens"),
    ],
)
def test_a_bad_request_is_a_reply_and_changes_nothing(
    graph: Graph, owner: str, texts: list[str], fields: dict[str, Any], message: str
) -> None:
    robot = Robot(graph, triggers=[ARM])
    reply = robot.add(owner, *texts, **fields)
    assert not accepted(reply)
    assert message in reply.result.message
    assert [t.key for t in robot.node.owners.triggers] == [("parameter", ARM)]
    lease = robot.add("planner", DOOR, lease=-1.0)
    assert "lease is -1 s, allowed: 0 or more" in lease.result.message
    result = graph.set(robot.node, "triggers", [DOOR, DOOR])
    assert not result.successful
    assert "allowed: each text once" in result.reason


def test_a_bad_list_at_the_start_is_reported(graph: Graph) -> None:
    robot = Robot(graph, perception=False, triggers=[f"{DOOR} | high"])
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    assert graph.spin(lambda: (s := status(heard, "node: triggers")) and "'high'" in s.message), (
        "the node lives on"
    )
    assert "is not configured (threshold" in robot.add("planner", DOOR).result.message


def test_texts_are_encoded_as_soon_as_somebody_does_that(graph: Graph) -> None:
    robot = Robot(graph, perception=False)
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    reply = robot.add("planner", DOOR, UNREADABLE)
    assert reply.result.code == reply.result.PENDING
    assert "accepted, but not watched yet: service '/vljepa/encode_text'" in reply.result.message
    assert robot.shows(DOOR, "UNKNOWN", "NOT_SCORED")
    robot.start_perception()
    assert graph.spin(lambda: robot.history, again=lambda: robot.see(ARM, 0.2))
    assert robot.received(f"FALSE {DOOR}"), "a text that cannot be encoded stops no other"
    assert graph.spin(lambda: "refused the text" in status(heard, "node: triggers").message)
    assert accepted(robot.remove("planner", UNREADABLE))
    assert graph.spin(lambda: status(heard, "node: triggers").message == "1 triggers of 1 owners")


def test_a_text_of_the_vocabulary_goes_by_its_label(graph: Graph) -> None:
    robot = Robot(graph, triggers=[LABEL, "the door is open"])  # both are labels of the model
    labels = graph.connect(graph.publisher("vljepa_ros/msg/SceneLabels", "front/labels"))
    robot.see(LABEL)
    assert robot.events == [], "its embedding says nothing"

    group = ros.interface("vljepa_ros/msg/LabelGroup")

    def score(open_door: float) -> None:
        """As with top_labels 1: only the best one is there."""
        for _ in range(5):
            graph.stamp += SECOND // 5
            message = ros.interface("vljepa_ros/msg/SceneLabels")(
                camera="front", model_id=robot.model_id
            )
            message.header.stamp = ros.Time(nanoseconds=graph.stamp).to_msg()
            label = ros.interface("vljepa_ros/msg/Label")
            best = label(text="the door is closed", score=1.0 - open_door)
            if open_door > 0.5:
                best = label(text="the door is open", score=open_door)
            message.groups = [group(prompt=DOOR_PROMPT, labels=[best])]
            labels.publish(message)
            graph.spin_once_all()

    score(1.0)
    score(0.1)
    assert robot.received("TRUE the door is open", "FALSE the door is open")
    assert graph.set(robot.perception, "labels", ["a", "b"]).successful
    assert graph.spin(lambda: labels.get_subscription_count() == 0)
    assert robot.watches()
    robot.see(LABEL)
    assert robot.history[2:] == [f"TRUE {LABEL}"]


def test_what_stops_is_unknown_for_its_own_reason(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR], camera_timeout=0.5)
    assert robot.watches()
    robot.see(DOOR)
    assert robot.received(f"TRUE {DOOR}")
    assert robot.shows(DOOR, "UNKNOWN", "CAMERA_STOPPED")
    assert robot.received(f"TRUE {DOOR}", f"UNKNOWN {DOOR}")
    assert robot.events[-1].latency == 0
    robot.see(DOOR)
    assert robot.received(f"TRUE {DOOR}", f"UNKNOWN {DOOR}", f"TRUE {DOOR}"), "and known again"
    robot.see(DOOR, 0.2, in_domain=False)
    assert robot.shows(DOOR, "UNKNOWN", "OUT_OF_DOMAIN")
    assert graph.set(robot.node, "camera_timeout", 60.0).successful
    robot.see(DOOR)
    robot.perception.trigger_deactivate()
    assert robot.shows(DOOR, "UNKNOWN", "MODEL_GONE")
    robot.perception.trigger_activate()
    robot.see(ARM)
    assert robot.shows(DOOR, "FALSE")


def test_another_model_changes_what_scores_mean(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR])
    assert robot.watches()
    robot.see(DOOR)
    robot.see(DOOR, 0.2, model_id="other-12345678")
    assert robot.received(f"TRUE {DOOR}", f"UNKNOWN {DOOR}")
    assert robot.events[-1].trigger.reason == STATUS.REASON_MODEL_CHANGED
    assert "come from model other-12345678" in robot.node.parts()[1].message
    robot.see(DOOR)
    assert robot.received(f"TRUE {DOOR}", f"UNKNOWN {DOOR}", f"TRUE {DOOR}")
    info = graph.connect(graph.publisher("vljepa_ros/msg/ModelInfo", "model_info", LATCHED))
    graph.remove(robot.perception)
    info.publish(ros.interface("vljepa_ros/msg/ModelInfo")(model_id="other", calibration_id="1"))
    assert robot.shows(DOOR, "UNKNOWN", "MODEL_CHANGED")


def test_triggers_that_ask_for_it_are_unknown_while_the_robot_turns(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR], turn_topic="/odom", turn_type="twist_stamped")
    assert accepted(robot.add("planner", ARM, unknown_while_turning=True))
    assert robot.watches()
    odometry = graph.connect(graph.publisher("geometry_msgs/msg/TwistStamped", "/odom"))

    def turn(rate: float) -> None:
        message = ros.interface("geometry_msgs/msg/TwistStamped")()
        message.header.stamp = ros.Time(nanoseconds=graph.stamp).to_msg()
        message.twist.angular.z = rate
        odometry.publish(message)
        graph.spin_once_all()

    robot.see(DOOR)
    turn(0.5)
    robot.see(DOOR, 0.2)
    assert robot.received(f"FALSE {ARM}", f"TRUE {DOOR}", f"UNKNOWN {ARM}")
    assert robot.events[-1].trigger.reason == STATUS.REASON_TURNING
    turn(0.0)
    robot.see(DOOR)
    assert robot.history[3:] == [f"FALSE {ARM}"]
    assert graph.set(robot.node, "turn_rate", 0.6).successful
    turn(0.5)
    robot.see(DOOR, 0.4)
    assert len(robot.history) == 4


def test_deactivation_publishes_last_that_nothing_is_known(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR], autostart=False)
    assert "is not configured; try: ros2 lifecycle set" in robot.add("a", ARM).result.message
    assert robot.node.trigger_configure() == ros.TransitionCallbackReturn.SUCCESS
    reply = robot.add("planner", ARM)
    assert reply.result.code == reply.result.PENDING, "taken while it is inactive"
    assert "the node is not active" in reply.result.message
    for _ in range(2):
        robot.events.clear()
        assert robot.node.trigger_activate() == ros.TransitionCallbackReturn.SUCCESS
        assert robot.watches()
        robot.see(DOOR)
        assert robot.received(f"FALSE {ARM}", f"TRUE {DOOR}")
        assert robot.node.trigger_deactivate() == ros.TransitionCallbackReturn.SUCCESS
        graph.spin_once_all()
        assert sorted(robot.history[2:]) == sorted([f"UNKNOWN {ARM}", f"UNKNOWN {DOOR}"])
        assert {s.reason for s in robot.states[-1].triggers} == {STATUS.REASON_REMOVED}
        assert robot.publisher.get_subscription_count() == 0


def test_unusable_embeddings_are_refused_and_counted(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR])
    assert robot.watches()
    robot.see(DOOR, 0.4, vector=array.array("f", np.full(8, np.nan).tolist()))
    robot.see(DOOR, 0.2, vector=array.array("f", [0.6, 0.8]))
    robot.see(DOOR)
    assert robot.received(f"TRUE {DOOR}")
    assert robot.node.parts()[1].values["refused"] == 3


def test_every_parameter_that_is_live_has_its_effect(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR], settle=0.0)
    assert robot.watches()
    robot.see(DOOR, 0.2)
    assert robot.received(f"TRUE {DOOR}")
    assert graph.set(robot.node, "threshold", 0.7).successful
    assert robot.received(f"TRUE {DOOR}", f"UNKNOWN {DOOR}"), "with other limits it begins anew"
    assert graph.spin(lambda: robot.shown(DOOR).threshold == pytest.approx(0.7))
    assert graph.set(robot.node, "settle", 1.5).successful
    robot.see(DOOR)
    assert robot.shows(DOOR, "UNKNOWN", "NOT_SCORED")
    robot.see(DOOR)
    assert robot.shows(DOOR, "TRUE")
    for name, value in {"release": 0.5, "request_timeout": 3.0, "turn_rate": 0.2}.items():
        assert graph.set(robot.node, name, value).successful
    assert graph.set(robot.node, "triggers", [ARM]).successful
    assert graph.spin(lambda: [s.id for s in robot.states[-1].triggers] == [ARM])
    assert not graph.set(robot.node, "threshold", 1.0).successful
    assert not graph.set(robot.node, "cameras", ["rear"]).successful


def test_labels_that_do_not_come_are_named(graph: Graph) -> None:
    robot = Robot(graph, triggers=[LABEL], camera_timeout=0.5)
    assert robot.watches()
    assert graph.spin(
        lambda: "no labels on '/vljepa/front/labels' for" in robot.node.parts()[1].message,
        again=lambda: robot.see(LABEL, 0.2),
    )
    assert robot.shows(LABEL, "UNKNOWN", "CAMERA_STOPPED")
