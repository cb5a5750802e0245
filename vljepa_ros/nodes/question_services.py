"""The service answer_question of the perception node."""

from __future__ import annotations

import array
from typing import Any

from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.nodes.topics import to_nanoseconds, to_stamp
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.pipeline import Pipeline
from vljepa_ros.perception.scoring import Answer, Question, checked_question
from vljepa_ros.perception.worker import CooperativeTask


class QuestionServices:
    """Created with the node: before it is configured they answer what is missing.

    Args:
        node: Has the parameter `abstain_below`.

    Attributes:
        pipeline: Set by the node while it is configured.
    """

    def __init__(self, node: ModelNode[Any]) -> None:
        self._node = node
        self.pipeline: Pipeline
        node.serve(
            "AnswerQuestion",
            "answer_question",
            self._answer_question,
            needs_active=lambda request: not request.image,
        )

    async def _answer_question(self, request: Any, response: Any) -> None:
        node, pipeline = self._node, self.pipeline
        config = pipeline.engine.config
        own = node.settings.abstain_below
        abstain_below = own if own >= 0 else config.calibration.abstain_below
        question = checked_question(
            request.question, request.candidates, pipeline.engine.capabilities
        )
        if request.image:
            answer, stamp = await node.run_in_worker(
                lambda _: self._ask_about(request.image[0], question, abstain_below)
            )
        else:
            camera = node.which_camera(request.camera)
            oldest = None  # stamp in nanoseconds before which no clip may end
            if request.max_age > 0:
                oldest = int(node.get_clock().now().nanoseconds - request.max_age * 1e9)
            answer, stamp = await node.run_in_worker(
                lambda _: pipeline.ask(camera, question, abstain_below, oldest)
            )
        response.answer, response.index = answer.text, answer.index
        response.scores = array.array("f", answer.scores.tobytes())
        response.margin, response.abstained = answer.margin, answer.abstained
        response.stamp = to_stamp(stamp)
        response.model_id = config.model_id

    def _ask_about(
        self, image: Any, question: Question, abstain_below: float
    ) -> CooperativeTask[tuple[Answer, int]]:
        config = self.pipeline.engine.config
        frame = FrameDecoder(config.input_size, preprocessing=config.preprocessing)(image)
        answer = yield from self.pipeline.ask_about(frame, question, abstain_below)
        return answer, to_nanoseconds(image.header.stamp)
