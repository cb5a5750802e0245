from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vljepa_lab.evaluation.quality.vqa import Answerer, QuestionMajority, VqaQuery
from vljepa_lab.world.questions import Question
from vljepa_ros.engines.protocol import Clip, EncodedClip, Generated
from vljepa_ros.models.config import Calibration, ModelConfig


class DirectionEngine:
    """Texts are directions; a clip's tokens hold the direction it answers with, whatever is asked.

    Zeroed tokens answer `blind`. It counts what it is asked to do.
    """

    def __init__(self, texts: Sequence[str], blind: str) -> None:
        self.place = {text: i for i, text in enumerate(texts)}
        self.blind = blind
        self.encoded: list[str] = []
        self.passes: list[tuple[str, int]] = []

    @property
    def config(self) -> ModelConfig:
        from pathlib import Path

        return ModelConfig(
            Path(),
            "d",
            "vl_jepa",
            "d-1",
            len(self.place),
            2,
            0.5,
            4,
            "?",
            calibration=Calibration(logit_scale=10.0, none_similarity=0.0),
        )

    def token(self, text: str) -> np.ndarray:
        return np.eye(len(self.place), dtype=np.float32)[[self.place[text]]]

    def embed(self, tokens: Sequence[np.ndarray], query: str) -> np.ndarray:
        self.passes.append((query, len(tokens)))
        return np.concatenate([t if t.any() else self.token(self.blind) for t in tokens])

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        self.encoded += texts
        return np.concatenate([self.token(text) for text in texts])

    def encode(self, clips: Sequence[Clip], states: Sequence[object]) -> list[EncodedClip]:
        return [
            EncodedClip(clip.frames[-1, :1, :, 0].astype(np.float32), len(clip.stamps))
            for clip in clips
        ]

    def generate(self, embeddings: np.ndarray) -> list[Generated]:
        words = list(self.place)
        return [Generated(words[int(e.argmax())], 0.9, True) for e in embeddings]


def question(text: str = "what?", answer: str = "red") -> Question:
    texts = ("red", "blue", "green")
    return Question("colour", text, answer, f"k:{answer}", texts, tuple(f"k:{t}" for t in texts))


def test_answers_scores_and_answers_that_do_not_look():
    engine = DirectionEngine(["red", "blue", "green"], blind="green")
    tokens = [engine.token("red"), engine.token("blue"), engine.token("red")]
    questions = [question(), question(), question("which?", "green")]
    asked = [VqaQuery(t, s) for t, s in zip(tokens, questions, strict=True)]
    asked[1] = VqaQuery(tokens[1], questions[1], other=engine.token("red"))
    answered = Answerer(engine).answer(asked)
    assert [a.index for a in answered] == [0, 1, 0]
    assert [a.blind_index for a in answered] == [2, 2, 2]
    assert [a.other_index for a in answered] == [-1, 0, -1]  # what the other clip shows
    assert [a.rank for a in answered] == [1, 2, 2]
    assert [s.right(a.index) for s, a in zip(questions, answered, strict=True)] == [
        True,
        False,
        False,
    ]
    assert answered[0].score == pytest.approx(np.exp(10) / (np.exp(10) + 3), rel=1e-4)
    assert answered[0].none == pytest.approx(1 / (np.exp(10) + 3), rel=1e-4)


def test_one_pass_for_each_question_and_texts_are_embedded_once():
    engine = DirectionEngine(["red", "blue", "green"], blind="green")
    answerer = Answerer(engine)
    for _ in range(2):
        asked = [VqaQuery(engine.token("red"), s) for s in [question()] * 4 + [question("which?")]]
        answerer.answer(asked)
    assert sorted(engine.encoded) == ["blue", "green", "red"]
    assert engine.passes.count(("what?", 4)) == 2
    assert engine.passes.count(("what?", 1)) == 1  # the blind one


def test_prefers_the_questions_own_majority_then_the_tasks():
    blind = QuestionMajority()
    blind.learn([("colour", "what colour is the mug?", "red")] * 3)
    blind.learn([("colour", "what colour is the box?", "blue")] * 7)
    candidates = ["green", "blue", "red"]
    assert blind.answer("colour", "what colour is the mug?", candidates) == 2
    assert blind.answer("colour", "what colour is the box?", candidates) == 1
    assert blind.answer("colour", "what colour is the ball?", candidates) == 1  # the task's
    assert blind.answer("count", "how many mugs?", candidates) == 0  # nothing known: the first


def test_majority_answer_that_is_no_candidate_backs_off():
    blind = QuestionMajority()
    blind.learn([("exists", "is there a red mug?", "maybe")] * 3)
    blind.learn([("exists", "is there a blue box?", "no")] * 2)
    assert blind.answer("exists", "is there a red mug?", ["yes", "no"]) == 1


def test_no_candidates_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        QuestionMajority().answer("exists", "is there a mug?", [])
