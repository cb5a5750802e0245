"""What nano's tokenizer keeps whole and what its demo asks: words and prompts of the world."""

from __future__ import annotations

from vljepa_lab.world.captions import event_text, state_text
from vljepa_lab.world.records import ACTIONS, COLORS, SHAPES
from vljepa_lab.world.wordings import wordings
from vljepa_ros.models.vl_jepa.nano_text import split_words


def world_words() -> list[str]:
    """Every word of the world's texts: they stay whole in the tokenizer."""
    texts = [
        text
        for subject in ("events", "states", "questions")
        for which in ("wide", "unseen")
        for options in wordings(subject, which).values()
        for text in options
    ]
    return sorted({word for text in (*texts, *SHAPES, *COLORS) for word in split_words(text)})


def demo_vocabulary() -> dict[str, list[str]]:
    """Prompt -> labels: what happens, the door, the lights, whether somebody is here."""

    def states(*keys: str) -> list[str]:
        return [state_text(key) for key in keys]

    questions = wordings("questions")
    return {
        questions["action"][0]: [event_text(kind) for kind in ACTIONS],
        questions["door"][0]: states("door:open", "door:closed"),
        questions["lights"][0]: states("lights:on", "lights:off"),
        questions["person_yes"][0]: states("person:yes", "person:no"),
    }
