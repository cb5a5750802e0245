"""The trigger node on the real middleware: edges, lists, cameras that stop, models that change."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from graph import MODEL, SECOND, Graph, accepted, status

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.trigger_node import TriggerNode

EVENT = "vljepa_ros/msg/TriggerEvent"
STATE = "vljepa_ros/msg/TriggerState"
SET = "vljepa_ros/srv/SetTriggers"
EMBEDDING = "vljepa_ros/msg/Embedding"
DOOR, ARM = "the door swings open", "an object is being picked up"  # no labels of the model
LIGHTS, LABEL = "the lights are turned off", "the lights go off"
KINDS = ros.interface(EVENT)


class Robot:
    """A trigger node, a perception node that encodes texts, and a publisher of embeddings."""

    def __init__(self, graph: Graph, perception: bool = True, **parameters: Any) -> None:
        self.graph = graph
        self.events = graph.listen(EVENT, "triggers")
        self.states = graph.listen(STATE, "front/trigger_state", latched=True)
        self.model_id = ""
        if perception:
            self.start_perception()
        self.node = graph.add(TriggerNode, model=MODEL, threshold=0.99, **parameters)
        self.publisher = graph.publisher(EMBEDDING, "front/embeddings")

    def start_perception(self) -> None:
        self.perception = self.graph.add(PerceptionNode, model=MODEL)
        self.model_id = self.perception.engine.config.model_id
        self.vectors = dict(
            zip(
                (DOOR, ARM, LIGHTS, LABEL),
                self.perception.engine.encode_text([DOOR, ARM, LIGHTS, LABEL]),
                strict=True,
            )
        )

    def set(self, texts: list[str], thresholds: tuple[float, ...] = ()) -> Any:
        values = array.array("f", thresholds)
        return self.graph.call(SET, "set_triggers", texts=texts, thresholds=values)

    def watched(self, *texts: str) -> bool:
        """Whether these texts are compared with what comes."""
        return self.graph.spin(lambda: self.node.used is not None and self.node.used.texts == texts)

    def see(self, text: str, seconds: float = 1.0, **fields: Any) -> None:
        """Five embeddings a second of stamps."""
        self.graph.connect(self.publisher)
        for _ in range(round(seconds * 5)):
            self.graph.stamp += SECOND // 5
            message = ros.interface(EMBEDDING)(
                **{
                    "camera": "front",
                    "model_id": self.model_id,
                    "vector": array.array("f", self.vectors[text].tobytes()),
                    **fields,
                }
            )
            message.header.stamp = ros.Time(nanoseconds=self.graph.stamp).to_msg()
            message.header.frame_id = "front_optical"
            self.publisher.publish(message)
            self.graph.spin_once_all()

    def told(self, *expected: tuple[str, bool]) -> bool:
        """Whether these edges, and no others, have come."""
        enough = self.graph.spin(lambda: len(self.events) >= len(expected))
        self.graph.spin_once_all()
        return enough and [(e.text, e.rising) for e in self.events] == list(expected)


def test_edges_are_told_once_with_image_score_and_threshold(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR, f"{ARM} | 0.98"])
    assert robot.watched(DOOR, ARM)
    robot.see(DOOR)
    robot.see(ARM)
    robot.see(LIGHTS)
    assert robot.told((DOOR, True), (DOOR, False), (ARM, True), (ARM, False)) or robot.told(
        (DOOR, True), (ARM, True), (DOOR, False), (ARM, False)
    ), [(e.text, e.rising) for e in robot.events]
    first = robot.events[0]
    assert (first.camera, first.model_id, first.reason) == ("front", robot.model_id, KINDS.CROSSED)
    assert first.header.frame_id == "front_optical"
    assert first.score > first.threshold == pytest.approx(0.99)
    limits = {event.text: event.threshold for event in robot.events}
    assert limits[ARM] == pytest.approx(0.98)
    for event in robot.events:
        assert event.rising or event.score < 0.8 * event.threshold
    assert graph.spin(lambda: robot.states and not any(robot.states[-1].active))
    state = robot.states[-1]
    assert list(state.texts) == [DOOR, ARM]
    assert state.known


def test_a_text_of_the_vocabulary_goes_by_its_label(graph: Graph) -> None:
    robot = Robot(graph, triggers=[LABEL, "the door is open"])  # both are labels of the model
    assert graph.spin(lambda: robot.node._cameras["front"].labels.is_open)
    robot.see(LABEL)
    graph.spin_once_all()
    assert robot.events == [], "its embedding says nothing"
    labels = graph.connect(graph.publisher("vljepa_ros/msg/SceneLabels", "front/labels"))

    def score(open_door: float) -> None:
        for _ in range(5):
            graph.stamp += SECOND // 5
            message = ros.interface("vljepa_ros/msg/SceneLabels")(
                camera="front", model_id=robot.model_id
            )
            message.header.stamp = ros.Time(nanoseconds=graph.stamp).to_msg()
            label = ros.interface("vljepa_ros/msg/Label")
            message.groups = [
                ros.interface("vljepa_ros/msg/LabelGroup")(
                    prompt="?",
                    labels=[
                        label(text="the door is open", score=open_door),
                        label(text="the door is closed", score=1.0 - open_door),
                    ],
                )
            ]
            labels.publish(message)
            graph.spin_once_all()

    score(1.0)
    score(0.1)
    assert robot.told(("the door is open", True), ("the door is open", False))
    assert graph.set(robot.perception, "labels", ["a", "b"]).successful
    assert graph.spin(lambda: not robot.node._cameras["front"].labels.is_open)
    robot.see(LABEL)
    assert graph.spin(lambda: len(robot.events) == 3)
    assert robot.events[-1].text == LABEL


def test_without_triggers_nothing_is_subscribed(graph: Graph) -> None:
    robot = Robot(graph)
    graph.spin_for(0.5)
    assert robot.publisher.get_subscription_count() == 0
    assert accepted(robot.set([DOOR]))
    assert graph.spin(lambda: robot.publisher.get_subscription_count() > 0)
    assert robot.set([]).accepted == 0
    assert graph.spin(lambda: robot.publisher.get_subscription_count() == 0)


def test_a_list_is_replaced_by_service_and_what_is_shared_goes_on(graph: Graph) -> None:
    robot = Robot(graph)
    reply = robot.set([DOOR, LIGHTS], (0.9, 0.95))
    assert (reply.result.code, reply.result.message, reply.accepted) == (0, "", 2)
    assert robot.node.get_parameter("triggers").value == [
        f"{DOOR} | 0.899999976",
        f"{LIGHTS} | 0.949999988",
    ]
    robot.see(DOOR)
    assert robot.told((DOOR, True))
    assert accepted(robot.set([ARM, DOOR]))
    robot.see(DOOR)
    assert robot.told((DOOR, True)), "it is not told again"
    assert accepted(robot.set([ARM]))
    assert robot.told((DOOR, True), (DOOR, False))
    assert robot.events[-1].reason == KINDS.REMOVED


@pytest.mark.parametrize(
    ("texts", "thresholds", "message"),
    [
        (
            [DOOR, DOOR],
            (),
            "triggers appear twice: 'the door swings open'; allowed: each text once",
        ),
        ([""], (), "text 0 of the triggers has 0 characters, allowed: 1 to 512"),
        ([DOOR], (0.5, 0.5), "2 thresholds for 1 texts, allowed: one for each text, or none"),
        ([DOOR], (2.0,), "is 2, allowed: between 0 and 1"),
    ],
)
def test_a_bad_list_is_a_reply_and_changes_nothing(
    graph: Graph, texts: list[str], thresholds: tuple[float, ...], message: str
) -> None:
    robot = Robot(graph, perception=False, triggers=[ARM])
    reply = robot.set(texts, thresholds)
    assert not accepted(reply)
    assert message in reply.result.message
    assert robot.node.get_parameter("triggers").value == [ARM]
    result = graph.set(robot.node, "triggers", [DOOR, DOOR])
    assert not result.successful
    assert "allowed: each text once" in result.reason


def test_a_bad_list_at_the_start_is_told(graph: Graph) -> None:
    robot = Robot(graph, perception=False, triggers=[f"{DOOR} | high"])
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    assert graph.spin(lambda: (s := status(heard, "node: triggers")) and "'high'" in s.message), (
        "the node lives on"
    )
    assert "is not configured (threshold 'high'" in robot.set([DOOR]).result.message


def test_texts_are_encoded_as_soon_as_somebody_does_that(graph: Graph) -> None:
    robot = Robot(graph, perception=False)
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    reply = robot.set([DOOR])
    assert accepted(reply)
    assert "accepted, but not watched yet: service '/vljepa/encode_text'" in reply.result.message
    assert graph.spin(
        lambda: (s := status(heard, "node: triggers")) and "is not available" in s.message
    )
    robot.start_perception()
    assert robot.watched(DOOR)
    robot.see(DOOR)
    assert robot.told((DOOR, True))
    assert graph.spin(lambda: status(heard, "node: triggers").message == "1 triggers")


def test_a_camera_that_stops_is_no_longer_known(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR], camera_timeout=0.5)
    assert robot.watched(DOOR)
    assert graph.spin(  # on a busy machine it may stop in between
        lambda: any(e.rising for e in robot.events), again=lambda: robot.see(DOOR, 0.4)
    )
    assert graph.spin(lambda: robot.events[-1].reason == KINDS.CAMERA_STOPPED)
    assert (robot.events[-1].text, robot.events[-1].rising) == (DOOR, False)
    assert graph.spin(lambda: not robot.states[-1].known)
    assert list(robot.states[-1].active) == [False]
    count = len(robot.events)
    assert graph.spin(lambda: len(robot.events) > count, again=lambda: robot.see(DOOR, 0.4))
    assert robot.events[count].rising, "and known again"


def test_texts_are_encoded_again_when_the_model_changes(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR])
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    assert robot.watched(DOOR)
    robot.see(DOOR)
    assert robot.told((DOOR, True))
    before = robot.node.used
    robot.see(DOOR, 0.2, model_id="other-12345678")
    assert robot.told((DOOR, True), (DOOR, False))
    assert robot.events[-1].reason == KINDS.MODEL_CHANGED
    assert graph.spin(lambda: robot.node.used is not None and robot.node.used is not before), (
        "encoded again"
    )
    robot.see(DOOR)
    assert robot.told((DOOR, True), (DOOR, False), (DOOR, True))
    assert graph.spin(lambda: status(heard, "node: triggers").message == "1 triggers")


def test_deactivation_ends_what_was_true(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR], autostart=False)
    assert "is not configured; try: ros2 lifecycle set" in robot.set([DOOR]).result.message
    assert robot.node.trigger_configure() == ros.TransitionCallbackReturn.SUCCESS
    assert accepted(robot.set([ARM, DOOR])), "a list is taken while it is inactive"
    assert robot.node.trigger_activate() == ros.TransitionCallbackReturn.SUCCESS
    robot.see(DOOR)
    assert robot.told((DOOR, True))
    assert robot.node.trigger_deactivate() == ros.TransitionCallbackReturn.SUCCESS
    assert robot.told((DOOR, True), (DOOR, False))
    assert robot.events[-1].reason == KINDS.REMOVED
    assert robot.publisher.get_subscription_count() == 0
    assert robot.node.trigger_activate() == ros.TransitionCallbackReturn.SUCCESS
    robot.see(DOOR)
    assert robot.told((DOOR, True), (DOOR, False), (DOOR, True))


def test_unusable_embeddings_are_refused_and_counted(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR])
    assert robot.watched(DOOR)
    robot.see(DOOR, 0.6, vector=array.array("f", np.full(8, np.nan).tolist()))
    robot.see(DOOR)
    assert robot.told((DOOR, True))
    assert robot.node._cameras["front"].part().values["refused"] == 3


def test_every_parameter_that_is_live_has_its_effect(graph: Graph) -> None:
    robot = Robot(graph, triggers=[DOOR])
    assert robot.watched(DOOR)
    for name, value in {"threshold": 0.7, "release": 0.5}.items():
        assert graph.set(robot.node, name, value).successful
    used = robot.node.used
    assert used.thresholds.tolist() == [0.7]
    assert used.scores(used.fall)[0] == pytest.approx(0.35, abs=1e-4)
    assert graph.set(robot.node, "settle", 2.5).successful
    assert robot.node._cameras["front"].board.settle == 2.5
    assert graph.set(robot.node, "triggers", [ARM]).successful
    assert robot.watched(ARM)
    assert graph.set(robot.node, "camera_timeout", 3600.0).successful
    robot.see(DOOR)
    assert robot.node._cameras["front"].board.known
    assert graph.set(robot.node, "camera_timeout", 0.2).successful
    assert graph.spin(lambda: not robot.node._cameras["front"].board.known)
    assert graph.set(robot.node, "request_timeout", 3.0).successful
    assert not graph.set(robot.node, "threshold", 1.0).successful
    assert not graph.set(robot.node, "cameras", ["rear"]).successful
