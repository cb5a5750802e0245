"""The services of the perception node: answer_question, encode_text, set_labels."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

from vljepa_ros import ros
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.scoring import Answer, Question, checked_question
from vljepa_ros.perception.vocabulary import checked_texts, encode_texts
from vljepa_ros.perception.worker import CooperativeTask

if TYPE_CHECKING:
    from vljepa_ros.nodes.perception_node import PerceptionNode


_MAX_TEXTS = 1000


class PerceptionServices:
    """Created with the node: before activation they answer what is missing."""

    def __init__(self, node: PerceptionNode) -> None:
        self._node = node
        for name, kind, callback in (
            ("answer_question", "AnswerQuestion", self._answer_question),
            ("encode_text", "EncodeText", self._encode_text),
            ("set_labels", "SetLabels", self._set_labels),
        ):
            node.serve(kind, name, callback)

    async def _answer_question(self, request: Any, response: Any) -> Any:
        node = self._node
        response.index = -1
        refusal = node.refusal(active=not request.image)
        if refusal:
            response.message = refusal
            return response
        model_id = node.pipeline.engine.config.model_id  # it may be gone after the wait
        try:
            question = checked_question(
                request.question, request.candidates, "caption" in node.capabilities
            )
            if request.image:
                answer, stamp = await node.lend(
                    lambda _: self._ask_about(request.image[0], question)
                )
            else:
                camera = node.which_camera(request.camera)
                oldest = self._oldest(request.max_age)
                answer, stamp = await node.lend(
                    lambda _: node.pipeline.ask(camera, question, node.abstain_below, oldest)
                )
        except Exception as error:
            response.message = node.explain(error)
            return response
        response.success = True
        response.answer, response.index = answer.text, answer.index
        response.scores = array.array("f", answer.scores.tobytes())
        response.margin, response.abstained = answer.margin, answer.abstained
        response.stamp = ros.Time(nanoseconds=stamp).to_msg()
        response.model_id = model_id
        return response

    def _ask_about(self, image: Any, question: Question) -> CooperativeTask[tuple[Answer, int]]:
        pipeline = self._node.pipeline
        config = pipeline.engine.config
        seen = FrameDecoder(config.input_size, preprocessing=config.preprocessing)(image)
        answer = yield from pipeline.ask_about(seen, question, self._node.abstain_below)
        stamp = image.header.stamp
        return answer, stamp.sec * 1_000_000_000 + stamp.nanosec

    def _oldest(self, max_age: float) -> int | None:
        if max_age <= 0:
            return None
        return int(self._node.get_clock().now().nanoseconds - max_age * 1e9)

    async def _encode_text(self, request: Any, response: Any) -> Any:
        node = self._node
        response.message = node.refusal(active=False)
        if response.message:
            return response
        model_id = node.pipeline.engine.config.model_id
        try:
            texts = checked_texts(request.texts, "texts", _MAX_TEXTS)
            vectors = await node.lend(lambda _: encode_texts(node.pipeline.engine, texts))
        except Exception as error:
            response.message = node.explain(error)
            return response
        response.success = True
        response.model_id = model_id
        response.dim = int(vectors.shape[1])
        response.vectors = array.array("f", vectors.tobytes())
        return response

    async def _set_labels(self, request: Any, response: Any) -> Any:
        node = self._node
        response.message = node.refusal(active=False)
        if response.message:
            return response
        try:
            prompt = request.prompt.strip() or node.pipeline.engine.config.default_query
            wanted = node.vocabulary.with_group(prompt, request.labels)
            parameter = ros.Parameter("labels", value=wanted.as_strings())
            (result,) = node.set_parameters([parameter])
            if not result.successful:
                response.message = result.reason
                return response
            version = node.vocabulary_version
            in_use = await node.vocabulary_in_use(version)
        except Exception as error:
            response.message = node.explain(error)
            return response
        response.success = True
        response.accepted = len(request.labels)
        response.vocabulary_version = version
        if not in_use:
            response.message = "accepted, but still being encoded: the topic vocabulary tells when"
        return response
