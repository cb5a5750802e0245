"""Texts as a dual encoder was trained to see them: prompt templates, and questions as
statements."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Short, general templates; the mean of several wordings is steadier than one (CLIP, section 3.1.4).
TEMPLATES = ("{}", "a photo of {}.", "an image of {}.", "a video of {}.")

_YES = {"yes", "true", "yeah"}
_NO = {"no", "false", "nope"}
_VERB = r"(is|are|was|were|does|do|did|has|have|can)"


def expand(text: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """The wordings of one text, one for each template.

    :raises ValueError: a template without `{}`.
    """
    for template in templates:
        if "{}" not in template:
            raise ValueError(
                f"a prompt template needs '{{}}' for the text, this has none: {template!r}"
            )
    return [template.replace("{}", text) for template in templates]


def as_statement(question: str, candidate: str) -> str:
    """A declarative sentence that is true of an image if `candidate` answers `question`.

    A dual encoder cannot read a question; it can only say how well a sentence fits an image. The
    rules cover the usual wordings in English; anything else becomes "question? candidate".

    >>> as_statement("Is the door open?", "no")
    'the door is not open'
    >>> as_statement("What colour is the cup?", "red")
    'the colour of the cup is red'
    """
    asked = question.strip().rstrip("?. ").lower()
    answer = candidate.strip().rstrip(".")
    if not asked:
        return answer
    if answer.lower() in _YES | _NO:
        statement = _polar(asked, answer.lower() in _YES)
        if statement:
            return statement
    for pattern, form in _OPEN:
        match = re.fullmatch(pattern, asked)
        if match:
            return form.format(*match.groups(), answer=answer)
    return f"{asked}? {answer}"


def _polar(asked: str, yes: bool) -> str:
    there = re.fullmatch(r"(is|are) there (any |an? |some )?(.+)", asked)
    if there:
        verb, article, rest = there.groups()
        kept = "" if article in (None, "any ") else article
        return f"there {verb} {kept}{rest}" if yes else f"there {verb} no {rest}"
    being = re.fullmatch(r"(is|are|was|were|can|has|have) ((?:the |an? |any)?\S+) (.+)", asked)
    if being:
        verb, subject, rest = being.groups()
        return f"{subject} {verb} {rest}" if yes else f"{subject} {verb} not {rest}"
    doing = re.fullmatch(r"(does|do|did) ((?:the |an? )?\S+) (.+)", asked)
    if doing:
        verb, subject, rest = doing.groups()
        return f"{subject} {verb} {rest}" if yes else f"{subject} {verb} not {rest}"
    return ""


_OPEN: tuple[tuple[str, str], ...] = (
    (r"how many (.+?)(?: are there| do you see| can be seen)?", "there are {answer} {0}"),
    (r"wh(?:at|ich) colou?r (?:is|are|has) (.+)", "the colour of {0} is {answer}"),
    (r"what is (?:happening|going on)(?: in .+| here)?", "{answer}"),
    (r"what (?:do|can) you see(?: .+)?", "{answer}"),
    (r"where (is|are) (.+)", "{1} {0} {answer}"),
    (r"who (is|are) (.+)", "{answer} {0} {1}"),
    (r"what (is|are) (.+) (doing|holding|carrying)", "{1} {0} {2} {answer}"),
    (r"wh(?:at|ich) (\w+) (is|are) (.+)", "the {0} {answer} {1} {2}"),
    (rf"(?:what|which) {_VERB} (.+)", "{1} {0} {answer}"),
)
