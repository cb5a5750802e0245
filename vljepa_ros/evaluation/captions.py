"""Does the Y-Decoder's text say what happens in the clip?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vljepa_ros.evaluation.text_match import same_text
from vljepa_ros.world.captions import event_texts

__all__ = ["DecodedEvents"]


@dataclass
class DecodedEvents:
    """Texts of clips whose event is known, judged one by one.

    right: any wording of the event, the object named or not (as a person would accept it). named:
    as right, and the object named where there is one. written: by the decoder, not the nearest
    known text.
    """

    right: list[bool]
    named: list[bool]
    written: list[bool]

    @classmethod
    def empty(cls) -> DecodedEvents:
        """Nothing judged yet."""
        return cls([], [], [])

    def judge(self, text: str, decoded: bool, kind: str, name: str) -> None:
        """Compare a text with the event `kind` (one of ACTIONS) of object `name` ('' for none)."""
        full = _wordings(kind, name)
        self.named.append(same_text(text, full))
        self.right.append(self.named[-1] or same_text(text, _wordings(kind, "")))
        self.written.append(decoded)


def _wordings(kind: str, name: str) -> Sequence[str]:
    return [*event_texts(kind, name), *event_texts(kind, name, unseen=True)]
