"""More wordings of events, states and questions, for training alone, and some for validation.

With a dozen wordings of an action the text side learns those wordings; with a hundred it learns
what they mean. None of these is asked in an evaluation, counted as a valid text or written by the
decoder. No word that occurs in the never-trained wordings alone (`unseen_wordings`) occurs here, so
those stay new in their words as well (a test holds this). The texts kept for the check are not
trained either: the text side is chosen by them, never by the unseen ones.

The texts lie in `texts/*.yaml`, key -> list; `{x}` and `{y}` stand for objects with their article.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

Wordings = dict[str, tuple[str, ...]]

LEAD_INS = (
    "now {s}",
    "here {s}",
    "it seems that {s}",
    "in this video {s}",
    "one can watch how {s}",
    "{s} at this point",
    "{s} right now",
    "apparently {s}",
    "as the camera films, {s}",
    "{s} in the scene",
)
"""Put before or after any wording now and then: what they add means nothing."""


def wide_events() -> Wordings:
    """Kind of event -> wordings for training, beside those of `event_wordings`."""
    return _read("wide_events")


def wide_states() -> Wordings:
    """Key of a state -> wordings for training, beside those of `wordings`."""
    return _read("wide_states")


def wide_questions() -> Wordings:
    """Form of a question -> wordings for training, beside those of `wordings`."""
    return _read("wide_questions")


def check_events() -> Wordings:
    """Kind of event -> wordings that are neither trained nor tested."""
    return _read("check_events")


def check_states() -> Wordings:
    """Key of a state -> wordings that are neither trained nor tested."""
    return _read("check_states")


@cache
def _read(name: str) -> Wordings:
    # libyaml where the wheel has it: 30 times as quick
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (files("vljepa_lab.world") / "texts" / f"{name}.yaml").read_text(encoding="utf-8")
    return {key: tuple(texts) for key, texts in yaml.load(text, loader).items()}
