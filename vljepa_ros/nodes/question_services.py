"""Serves answer_question, answer_questions and answer_about_image of the perception node."""

from __future__ import annotations

import array
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vljepa_ros import ros
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.nodes.topics import age_of, to_duration, to_nanoseconds, to_seconds, to_stamp
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.pipeline import PerceptionError, Pipeline
from vljepa_ros.perception.vocabulary import VocabularyError
from vljepa_ros.perception.worker import CooperativeTask

if TYPE_CHECKING:  # loaded with the first question: many robots are never asked one
    from vljepa_ros.perception.answering import AskedCamera
    from vljepa_ros.perception.questions import Answer, Question

MAX_ANSWERS = 1024  # per request
NO_LIMIT_S = 2**31 - 1  # as max_age
SPARE_AGE_S = 2.0  # default maximum age of an image, in addition to the length of a clip


class QuestionServices:
    """The question services, which exist before the node is configured and then report that.

    Args:
        node: Has the parameters `abstain_below` and `answer_max_age`.

    Attributes:
        pipeline: Set by the node while configured.
    """

    def __init__(self, node: ModelNode[Any]) -> None:
        self._node = node
        self.pipeline: Pipeline
        for kind, name, callback in (
            ("AnswerQuestion", "answer_question", self._answer_question),
            ("AnswerQuestions", "answer_questions", self._answer_questions),
        ):
            node.serve(kind, name, callback, needs_active=lambda request: True)
        node.serve("AnswerAboutImage", "answer_about_image", self._answer_about_image)

    async def _answer_question(self, request: ros.Message, response: ros.Message) -> None:
        camera = self._node.which_camera(request.camera)
        question = self._question(request.question)
        response.answer = (await self._ask([camera], [question], request))[0]
        self._report(response)

    async def _answer_questions(self, request: ros.Message, response: ros.Message) -> None:
        from vljepa_ros.perception.questions import checked_questions

        cameras = self._which_cameras(request.cameras)
        questions = checked_questions(request.questions, *self._abilities())
        total = len(cameras) * len(questions)
        if total > MAX_ANSWERS:
            raise VocabularyError(
                f"{len(cameras)} cameras times {len(questions)} questions are {total} answers, "
                f"allowed: {MAX_ANSWERS}"
            )
        response.answers = await self._ask(cameras, questions, request)

    async def _answer_about_image(self, request: ros.Message, response: ros.Message) -> None:
        question = self._question(request.question)
        images = [*request.image, *request.compressed]
        if len(images) != 1:
            raise FrameError(f"{len(images)} pictures in image and compressed, allowed: 1")
        header = images[0].header
        answer = await self._node.run_in_worker(lambda _: self._about_image(images[0], question))
        stamp = to_nanoseconds(header.stamp)
        response.answer = self._message("", question, answer)
        response.answer.header, response.answer.clip_start = header, header.stamp
        response.answer.age = self._age(stamp) if stamp else ros.Duration().to_msg()
        self._report(response)

    def _about_image(self, image: ros.Message, question: Question) -> CooperativeTask[Answer]:
        from vljepa_ros.perception.answering import Answerer

        config = self.pipeline.engine.config
        frame = FrameDecoder(config.input_size, preprocessing=config.preprocessing)(image)
        return Answerer(self.pipeline).ask_about(frame, question, self._abstain_below())

    async def _ask(
        self, cameras: Sequence[str], questions: Sequence[Question], request: ros.Message
    ) -> list[ros.Message]:
        """Ask in the worker's thread; returns a msg/Answer for each camera and question."""
        from vljepa_ros.perception.answering import Answerer, Freshness

        node = self._node
        wait = min(_seconds("wait", request.wait), node.settings.request_timeout)
        fresh = Freshness(
            self._now,
            to_nanoseconds(request.after),
            self._max_age(request.max_age),
            time.monotonic() + wait,
        )
        answerer, abstain_below = Answerer(self.pipeline), self._abstain_below()
        asked: list[AskedCamera] = await node.run_in_worker(
            lambda _: answerer.ask(cameras, questions, abstain_below, fresh), wait
        )
        messages = []
        for one in asked:
            for question, answer in zip(questions, one.answers, strict=True):
                message = self._message(one.camera, question, answer)
                if one.clip is not None:
                    stamps = one.clip.clip.stamps
                    message.header.stamp = to_stamp(stamps[-1])
                    message.header.frame_id = one.clip.tag
                    message.clip_start = to_stamp(stamps[0])
                    message.age = self._age(one.clip.times[1])
                messages.append(message)
        return messages

    def _message(self, camera: str, question: Question, answer: Answer) -> ros.Message:
        kind = ros.interface("vljepa_ros/msg/Answer")
        return kind(
            camera=camera,
            question=question.text,
            status=getattr(kind, answer.status),
            message=answer.message,
            answer=answer.text,
            index=answer.index,
            scores=array.array("f", answer.scores.tobytes()),
            none_score=answer.none_score,
            margin=answer.margin,
            in_domain=answer.in_domain,
            model_id=self.pipeline.engine.config.model_id,
        )

    def _report(self, response: ros.Message) -> None:
        """Set the result of a response whose only question could not be answered."""
        answer = response.answer
        for code in ("STALE", "UNSUPPORTED"):
            if answer.status == getattr(answer, code):
                response.result = self._node.result(code, answer.message)

    def _question(self, question: ros.Message) -> Question:
        from vljepa_ros.perception.questions import checked_question

        return checked_question(question.text, question.candidates, *self._abilities())

    def _abilities(self) -> tuple[frozenset[str], bool]:
        """Capabilities of the model, and whether it can read questions."""
        engine = self.pipeline.engine
        return engine.capabilities, engine.config.family != "dual_encoder"

    def _which_cameras(self, names: Sequence[str]) -> list[str]:
        """The cameras that a request names; none: all.

        Raises:
            PerceptionError: A name is unknown, empty or repeated.
        """
        known = self._node.cameras
        for place, name in enumerate(names):
            if name not in known:
                raise PerceptionError(
                    f"cameras[{place}]: unknown camera '{name}', allowed: {', '.join(known)}",
                    "UNKNOWN_CAMERA",
                )
            if name in names[:place]:
                raise PerceptionError(
                    f"cameras[{place}]: '{name}' is repeated, allowed: once", "BAD_REQUEST"
                )
        return list(names or known)

    def _max_age(self, asked: ros.Message) -> float:
        """Maximum age of the newest image, nanoseconds."""
        if asked.sec == NO_LIMIT_S:
            return math.inf
        config = self.pipeline.engine.config
        default = (config.clip_frames - 1) * config.frame_interval + SPARE_AGE_S
        own = self._node.settings.answer_max_age
        return (_seconds("max_age", asked) or own or default) * 1e9

    def _abstain_below(self) -> float:
        own = self._node.settings.abstain_below
        return own if own >= 0 else self.pipeline.engine.config.calibration.abstain_below

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _age(self, nanoseconds: int) -> ros.Message:
        return to_duration(age_of(self._node, nanoseconds))


def _seconds(name: str, duration: ros.Message) -> float:
    """Convert a builtin_interfaces/Duration to seconds.

    Raises:
        PerceptionError: It is negative.
    """
    seconds = to_seconds(duration)
    if seconds < 0:
        raise PerceptionError(f"{name} is {seconds:g} s, allowed: 0 or more", "BAD_REQUEST")
    return seconds
