"""How events, states and questions are worded: the sentences in `texts/*.yaml`, key -> list.

`{x}` and `{y}` stand for objects with their article. The first wording of everything is the
canonical one, and texts are drawn by their place in a list: the order counts. There are four sets:

- train: what a model is trained and asked with. Forms of questions that end in `_yes` are answered
  yes or no.
- wide: for training alone. With a dozen wordings of an action the text side learns those wordings;
  with a hundred it learns what they mean. None of them is asked in an evaluation, counted as a
  valid text or written by the decoder.
- unseen: for tests alone, never trained. No word that occurs only in these occurs in `wide`, so
  they stay new in their words as well (a test holds this).
- check: neither trained nor tested: the text side is chosen by them, never by the unseen ones.

Importable without mujoco.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

Wordings = dict[str, tuple[str, ...]]

ARTICLES = ("the", "a")
UNNAMED = ("an object", "something", "an item", "a thing")
"""What stands for {x} where the object is not named."""
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


@cache
def wordings(subject: str, which: str = "train") -> Wordings:
    """The wordings of one subject.

    Args:
        subject: events (by kind), states (by semantic key) or questions (by form).
        which: train, unseen, check (events and states only), or wide: those of train and after them
            the ones for training alone.
    """
    table = _read(f"{which}_{subject}")
    if which != "wide":
        return table
    trained = _read(f"train_{subject}")
    return {key: trained.get(key, ()) + table.get(key, ()) for key in trained | table}


def _read(name: str) -> Wordings:
    # libyaml where the wheel has it: 30 times as quick
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = (files("vljepa_lab.world") / "texts" / f"{name}.yaml").read_text(encoding="utf-8")
    return {key: tuple(texts) for key, texts in yaml.load(text, loader).items()}
