"""What the classes of the two networks mean, as sentence embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]
"""Texts to [N, D] float32 of norm 1."""

FORMS = ("{}", "a photo of {}.")
_NEARER, _PLACE = 0.5, 0.2
"""Weights: of a hypernym for each step above its class, and of where a thing is met."""
_HYPERNYM_WORDS = 2


@dataclass(frozen=True)
class Concepts:
    """Rows of norm 1 that scores of classes are the weights of.

    Attributes:
        classes: [1000, D] of ImageNet's classes.
        detected: [80, D] of COCO's.
    """

    classes: Floats
    detected: Floats


def read_table() -> dict[str, Any]:
    """`classes.json` and `words.yaml`: synsets, classes, detector, places."""
    folder = Path(__file__).parent
    table: dict[str, Any] = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    return table | yaml.safe_load((folder / "words.yaml").read_text(encoding="utf-8"))


def concepts(table: dict[str, Any], encode: Encode) -> Concepts:
    """The table, embedded."""
    synsets, places = table["synsets"], table["places"]
    detector = [next(iter(e.items())) if isinstance(e, dict) else (e, "")
                for e in table["detector"]]  # fmt: skip
    words = [word for some in synsets.values() for word in some]
    words += [name for name, _ in detector] + [place for _, place in detector if place]
    known = dict.fromkeys([*words, *places.values()])
    wordings = [form.format(word) for word in known for form in FORMS]
    vectors = encode(wordings).reshape(len(known), len(FORMS), -1)
    mean = dict(zip(known, _unit(vectors.mean(1)), strict=True))
    plain = dict(zip(known, vectors[:, 0], strict=True))

    def meaning(some: Sequence[str]) -> Floats:
        return _unit(np.mean([mean[word] for word in some], 0))

    rows = []
    for offset, above in table["classes"]:
        row = meaning(synsets[offset])
        for other, steps in above:
            row = row + _NEARER**steps * meaning(synsets[other][:_HYPERNYM_WORDS])
        row = _unit(row)
        chain = [synsets[o] for o in (offset, *(o for o, _ in above))]
        met = next((places[word] for some in chain for word in some if word in places), "")
        rows.append(_unit(row + _PLACE * plain[met]) if met else row)
    detected = [
        _unit(mean[name] + _PLACE * plain[place]) if place else mean[name]
        for name, place in detector
    ]
    return Concepts(np.stack(rows), np.stack(detected))


def _unit(values: Floats) -> Floats:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)
