"""What a model says about real pictures, as the nodes would: labels, people, indoors, questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.real.measures import Figure, auc, share
from vljepa_lab.evaluation.real.sources import read_picture
from vljepa_lab.evaluation.real.truth import Picture, Question, Seen, Truth
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.perception.answering import Answerer
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.pipeline import Pipeline
from vljepa_ros.perception.questions import checked_question
from vljepa_ros.perception.scoring import ScoredGroup, score_group
from vljepa_ros.perception.vocabulary import EncodedGroup, Group, encode_texts
from vljepa_ros.perception.worker import finished
from vljepa_ros.perception.yes_no import INDOORS, OUTDOORS, PERSON

Floats = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

WHAT, WHERE = "what is here?", "where is this?"  # prompts of the two groups of labels
ANSWERED = 0.5  # score from which a label counts as answered
YES_NO = ("yes", "no")


def judge_pictures(
    engine: Engine, truth: Truth, files: Mapping[str, Path], progress: Progress
) -> JsonObject:
    """All figures of single pictures, as plain JSON types.

    Args:
        engine: to be judged.
        truth: of one half.
        files: name of a picture -> its file; those that are missing are left out.
        progress: receives (what, pictures done, pictures in all).
    """
    pictures = [picture for picture in truth.pictures if picture.file.name in files]
    images: dict[str, NDArray[np.uint8]] = {}
    seen: dict[str, list[Floats]] = {WHAT: [], WHERE: []}
    for done, picture in enumerate(pictures):
        image = fitted(engine, read_picture(picture, files[picture.file.name]))
        images[picture.file.name] = image
        frames = np.repeat(image[None], engine.config.clip_frames, axis=0)
        (encoded,) = engine.encode([Clip(frames, (0,) * len(frames))], [None])
        for prompt, rows in seen.items():
            rows.append(engine.embed([encoded.tokens], prompt)[0])
        progress("pictures", done + 1, len(pictures))
    objects = _Labelled(engine, pictures, seen[WHAT], WHAT, truth.objects, "objects")
    places = _Labelled(engine, pictures, seen[WHERE], WHERE, truth.places, "places")
    person = _contrast(engine, seen[WHAT], PERSON)
    indoors = _contrast(engine, seen[WHERE], INDOORS, OUTDOORS)
    figures = {
        "objects_top1": objects.top1(),
        "places_top1": places.top1(),
        "pool_auc": objects.pool(),
        "person_auc": _auc(person, [picture.person for picture in pictures], pictures),
        "indoors_auc": _auc(indoors, [picture.indoors for picture in pictures], pictures),
        **objects.answered(),
    }
    asked = [question for question in truth.questions if question.picture in images]
    return {
        "pictures": len(pictures),
        "groups": len({picture.group for picture in pictures}),
        "figures": {name: figure.as_json() for name, figure in figures.items()},
        "yes_no": _judge_questions(engine, asked, images),
        "wrong": objects.wrong() + places.wrong(),
    }


def fitted(engine: Engine, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture of any size as the model wants it, [S, S, 3] uint8 RGB."""
    config = engine.config
    return model_input(image, config.input_size, preprocessing=config.preprocessing)


class _Labelled:
    """The scores of one group of labels in all pictures, without each picture's unclear ones."""

    def __init__(
        self,
        engine: Engine,
        pictures: Sequence[Picture],
        embeddings: Sequence[Floats],
        prompt: str,
        labels: Sequence[str],
        kind: str,
    ) -> None:
        self.pictures = pictures
        vectors = finished(encode_texts(engine, labels))
        self.truths: list[Seen] = [getattr(picture, kind) for picture in pictures]
        self.scored: list[ScoredGroup] = []
        for truth, embedding in zip(self.truths, embeddings, strict=True):
            kept = [i for i, label in enumerate(labels) if label not in truth.unclear]
            group = Group(prompt, tuple(labels[i] for i in kept))
            encoded = EncodedGroup(group, vectors[kept])
            self.scored.append(score_group(embedding, encoded, engine.config.calibration))

    def top1(self) -> Figure:
        """Share of the pictures with such a label whose best one is right."""
        return self._share(lambda truth, found: found.labels[0] in truth.clear)

    def answered(self) -> dict[str, Figure]:
        """How far scores can be trusted where a label fits, and where none does."""
        right, wrong = "right_label_answered", "wrong_label_answered"
        return {
            right: self._share(
                lambda truth, found: found.labels[0] in truth.clear and found.scores[0] >= ANSWERED
            ),
            wrong: self._share(
                lambda truth, found: (
                    found.labels[0] not in truth.clear and found.scores[0] >= ANSWERED
                )
            ),
            "nothing_fits_below": self._share(
                lambda _, found: found.scores[0] < ANSWERED, fitting=False
            ),
        }

    def pool(self) -> Figure:
        """AUC over all pairs of a picture and a label: one threshold for all."""
        cosines, shown, groups = [], [], []
        for picture, truth, found in zip(self.pictures, self.truths, self.scored, strict=True):
            cosines += found.similarities.tolist()
            shown += [label in truth.clear for label in found.labels]
            groups += [picture.group] * len(found.labels)
        return auc(cosines, shown, groups)

    def wrong(self) -> list[str]:
        """One line for each picture whose best label is wrong."""
        return [
            f"{picture.file.name}: {found.labels[0]} {found.scores[0]:.2f}, "
            f"there: {', '.join(sorted(truth.clear))}"
            for picture, truth, found in zip(self.pictures, self.truths, self.scored, strict=True)
            if truth.clear and found.labels[0] not in truth.clear
        ]

    def _share(self, right: Callable[[Seen, ScoredGroup], bool], fitting: bool = True) -> Figure:
        rows = [
            (right(truth, found), picture.group)
            for picture, truth, found in zip(self.pictures, self.truths, self.scored, strict=True)
            if bool(truth.clear) is fitting
        ]
        return share([hit for hit, _ in rows], [group for _, group in rows])


def _contrast(engine: Engine, embeddings: Sequence[Floats], *texts: str) -> NDArray[np.floating]:
    """Cosine with the first text, less that with the second where there is one: [N]."""
    cosines = np.stack(embeddings) @ finished(encode_texts(engine, texts)).T
    return cosines[:, 0] - cosines[:, 1] if len(texts) > 1 else cosines[:, 0]


def _auc(
    scores: NDArray[np.floating], shown: Sequence[bool | None], pictures: Sequence[Picture]
) -> Figure:
    rows = [(i, one) for i, one in enumerate(shown) if one is not None]
    known = [i for i, _ in rows]
    return auc(scores[known], [one for _, one in rows], [pictures[i].group for i in known])


def _judge_questions(
    engine: Engine, questions: Sequence[Question], images: Mapping[str, NDArray[np.uint8]]
) -> JsonObject:
    """Share of yes/no questions that are answered, and of those that are answered rightly."""
    answerer = Answerer(Pipeline(engine, [], lambda observation: 0.0, lambda vocabulary: None))
    config = engine.config
    reads = config.family != "dual_encoder"
    answered, right, wrong = [], [], []
    for question in questions:
        asked = checked_question(question.ask, YES_NO, engine.capabilities, reads)
        task = answerer.ask_about(images[question.picture], asked, config.calibration.abstain_below)
        answer = finished(task)
        answered.append(answer.status == "ANSWERED")
        right.append(answer.text == question.answer)
        if answered[-1] and not right[-1]:
            wrong.append(f"{question.picture}: {question.ask} {answer.text}")
    rows = list(zip(questions, answered, right, strict=True))
    kinds = {"all": rows} | {
        kind: [row for row in rows if kind in row[0].kinds]
        for kind in ("negated", "absent", "elsewhere", "people")
    }
    return {kind: _answered(some) for kind, some in kinds.items()} | {"wrong": wrong}


def _answered(rows: Sequence[tuple[Question, bool, bool]]) -> JsonObject:
    """Of rows of a question, whether it was answered, and rightly."""
    sure = [row for row in rows if row[1]]
    return {
        "answered": share([answered for _, answered, _ in rows], range(len(rows))).as_json(),
        "right": share([right for _, _, right in sure], range(len(sure))).as_json(),
    }
