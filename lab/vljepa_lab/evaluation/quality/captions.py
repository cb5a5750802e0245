"""Does the Y-Decoder's text say what happens in the clip?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vljepa_lab.world.captions import event_texts
from vljepa_ros.perception.vocabulary import same_text

_LONGEST = 4


@dataclass
class DecodedEvents:
    """Texts of clips whose event is known, judged one by one.

    right: any wording of the event, the object named or not (as a person would accept it). named:
    as right, and the object named where there is one. written: by the decoder, not the nearest
    known text. texts: as written, with the event's wordings.
    """

    right: list[bool]
    named: list[bool]
    written: list[bool]
    texts: list[tuple[str, Sequence[str]]]

    @classmethod
    def empty(cls) -> DecodedEvents:
        """Nothing judged yet."""
        return cls([], [], [], [])

    def judge(self, text: str, decoded: bool, kind: str, name: str) -> None:
        """Compare a text with the event `kind` (one of ACTIONS) of object `name` ('' for none)."""
        full = _wordings(kind, name)
        self.named.append(same_text(text, full))
        self.right.append(self.named[-1] or same_text(text, _wordings(kind, "")))
        self.written.append(decoded)
        self.texts.append((text, event_texts(kind, name)))


def _wordings(kind: str, name: str) -> Sequence[str]:
    return [*event_texts(kind, name), *event_texts(kind, name, which="unseen")]


def bleu(texts: Sequence[tuple[str, Sequence[str]]]) -> float:
    """BLEU-4 of a corpus, 0..1: (text, its references), see Papineni and others 2002, section 2.3.

    Texts shorter than four words count with the n-grams that they have. References that are
    many are the wordings of one meaning.
    """
    hits, totals = [0] * _LONGEST, [0] * _LONGEST
    length = nearest = 0
    for text, references in texts:
        words = text.lower().split()
        others = [reference.lower().split() for reference in references]
        length += len(words)
        nearest += min((abs(len(o) - len(words)), len(o)) for o in others)[1]
        for n in range(1, _LONGEST + 1):
            own = _grams(words, n)
            most: Counter[tuple[str, ...]] = Counter()
            for other in others:
                most |= _grams(other, n)
            hits[n - 1] += sum((own & most).values())
            totals[n - 1] += sum(own.values())
    if not length or not all(hits):
        return 0.0
    precision = sum(math.log(h / t) for h, t in zip(hits, totals, strict=True)) / _LONGEST
    return math.exp(precision + min(0.0, 1 - nearest / length))


def _grams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
