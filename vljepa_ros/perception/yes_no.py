"""Answers yes/no questions with models that cannot read a question, by the presence of a thing.

A dual encoder has no Predictor, but it can judge a single text. So a question is reduced to the
noun phrase that it asks about, and the calibrated presence of that text decides: yes above one
limit, no below another, no answer between them. What presence does not settle (where the thing is,
what it does) is never answered with yes; other forms, such as states and counts, are not answered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import calibration_for
from vljepa_ros.models.config import ModelConfig

YES, NO, UNSURE = "yes", "no", "unsure"
PERSON = "a person"
INDOORS, OUTDOORS = "indoors", "outdoors"

_VIEW = r"(?:picture|image|photo(?:graph)?|frame|scene|view|camera|video|clip|shot|footage)s?"
_ROOM = (
    rf"(?:the|this|that|your) (?:{_VIEW}|robot|room|place|area|space|office|kitchen|hall|corridor"
    r"|building|house|shop|street)"
)
_HERE = (
    r"(?:right )?(?:here|there|present|visible|around|nearby|shown|seen|to be seen|on camera"
    r"|in (?:here|there)|(?:in|within) (?:sight|view)(?: of the (?:camera|robot))?"
    rf"|(?:in|on|within) (?:the|this|that|your) (?:{_VIEW}|room|place|area)"
    r"|in front of (?:the camera|the robot|you|me|us))"
)
_GONE = rf"(?:not {_HERE}|nowhere.*|(?:missing|absent|gone|away)(?: from {_ROOM})?)"
_THERE = (
    r"(?:(?:is|are) there|there (?:is|are)|(?:could|might|may) there be|(?:do|does) (?:we|you) have"
    r"|(?:(?:do|can|could) )?(?:you|we|i|one) (?:can |could )?(?P<blind>not )?"
    r"(?:see|spot|notice|detect|recogni[sz]e|find|make out)|(?:are|am) (?:you|we|i) looking at"
    r"|(?:are|is) (?:you|we|the (?:camera|robot)) in(?= an? )"
    rf"|(?:does )?(?:{_ROOM}|it(?=.* show))(?: does)? (?P<bare>not )?"
    r"(?:show|contain|include|depict|feature|have|see)s?)"
)
_PLACE = (
    r"(?:in|inside|outside|indoors|outdoors|on|onto|at|under|underneath|beneath|below|above|over"
    r"|behind|beside|between|among|near|next|close|by|along|against|across|opposite|through|to|from"
    r"|for|with|without|within|who|that|which|whose)"
)
_STATE = (
    r"(?:open|closed|shut|locked|on|off|empty|full|lit|clean|dirty|wet|dry|broken|free|busy"
    r"|occupied|asleep|awake|alone|ready|left|red|green|blue|yellow|black|white)"
)
_NOUN_IN_ING = (
    r"(?:build|paint|ceil|r|k|str|w|sw|spr|th|cloth|draw|rail|earr|awn|sl|pudd|wedd|light"
    r"|wash|swimm|din|liv|park|cutt|shopp|sew)ing"
)
_UNCHECKED = (
    rf"(?:(?:{_PLACE}|else|as \w+ as|(?:\w+er|(?:more|less) \w+) than"
    rf"|(?!{_NOUN_IN_ING}\b)\w+ing)\b.*|{_STATE})"
)
_PEOPLE = (
    r"(?:(?:some|any) ?(?:body|one)|(?:(?:any|some|an?|the|other) )?"
    r"(?:people|persons?|humans?(?: beings?)?|individuals?))"
)
_COUNT = (
    r"(?:(?:the|these|those) )?(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|many|several"
    r"|multiple|few|a few|both|all|every|each|most|more|less|fewer|another|exactly|only|just|enough"
    r"|at least|at most|lots|a lot|plenty|a couple|half|(?:any|some|every) ?thing"
    r"|every ?(?:body|one)|same|right|wrong|last)\b.*"
)
_NAMELESS = r"(?:it|this|that|these|those|he|she|they|you|we|i|(?:wh\w+|how)\b.*)?"
_NEXT = r" (?=(?:an?|any|some|the) )"  # before another noun phrase

_FORMS: tuple[tuple[str, bool], ...] = (
    (rf"{_THERE} (?P<what>.+)", False),
    (rf"(?:is|are) (?P<what>.+?) {_GONE}", True),
    (rf"(?P<what>.+?) (?:is|are) {_GONE}", True),
    (
        rf"(?:is )?{_ROOM} (?:is )?"
        r"(?:(?:empty|free|clear) of (?P<what>.+)|empty|deserted|unoccupied|vacant)",
        True,
    ),
    (rf"(?:is )?{_ROOM} (?:is )?occupied", False),
    (
        r"(?:(?:is|does) (?:this|that|it)(?: look like)?|(?:this|it) is) (?P<what>(?:an?|the) .+)",
        False,
    ),
    (r"(?:are (?:these|those|they)|(?:these|those|they) are) (?P<what>.+)", False),
    (rf"(?:is|are) (?P<what>.+ (?:{_HERE}|{_PLACE} .+))", False),
    (rf"(?P<what>.+?) (?:is|are) (?P<where>{_HERE}|{_PLACE} .+)", False),
    (r"(?P<what>(?:any|some|no|an?) .+|(?:any|some|no) ?(?:body|one)\b.*|people\b.*)", False),
)
"""Forms of questions, the first match counts, and whether yes means absent."""

_WHERE_WE_ARE = re.compile(
    rf"(?:(?:is|are|was|were) )?(?:it|this|that|we|you|{_ROOM})(?: is| are)?"
    r"(?: taken| shot| filmed| located)? (?:an? )?"
    rf"(?:(?P<inside>indoors?|inside)|outdoors?|outside|out of doors)(?: {_VIEW})?"
)
_PREAMBLE = re.compile(
    r"(?:(?:can|could|would|will|do|please|tell|say|i|let|check|is it|are you)\b[\w', ]*?"
    r"\b(?:(?:if|whether) |(?:true|think|say|sure) (?:that )?(?=there |this |it |you |an? ))"
    r"|(?:hey|hello|ok|okay|so|well|and|now|robot|excuse me|tell me)[,:]? )"
)
_TAIL = re.compile(
    r",? (?:or not|right|now|right now|at the moment|at all|today|anywhere|too"
    r"|(?:is|are|do|can)(?: not)? (?:there|it|they|you|we))$"
)
_FILLER = re.compile(
    r",? ?\b(?:please|really|actually|also|perhaps|still|currently|by any chance)\b,?(?= |$)"
)


@dataclass(frozen=True)
class Presence:
    """A yes/no question reduced to the presence of things.

    Attributes:
        texts: Things that are asked about; two with `contrast`.
        absent: Whether yes means that they are not there.
        every: Whether all of them must be there, or only one.
        contrast: Whether the first text is compared with the second.
        unchecked: The part of the question that presence does not settle; empty: none.
    """

    texts: tuple[str, ...]
    absent: bool = False
    every: bool = False
    contrast: bool = False
    unchecked: str = ""


def answer_kind(candidate: str) -> str:
    """YES, NO or UNSURE if a candidate answer means that, else empty."""
    said = _plain(candidate)
    unsure = (
        r"(?:maybe|perhaps|unknown|unsure|unclear|uncertain|not sure|i do not know|can not tell)"
    )
    if re.match(rf"{unsure}\b", said):
        return UNSURE
    if re.match(r"(?:y|yes|yeah|yep|yup|true|correct|affirmative)\b", said) or re.fullmatch(
        r"(?:there|it|they|i|we) (?:is|are|do|can)(?: one| some| any)?", said
    ):
        return YES
    no = r"(?:n|no|nope|not|none|nobody|false|incorrect|negative|absent)\b"
    return NO if re.match(rf"{no}|.*\b(?:is|are|do|can) not\b", said) else ""


def is_yes_or_no(question: str, candidates: Sequence[str]) -> bool:
    """Whether yes or no can answer a question, and each candidate means yes, no or neither."""
    if re.match(r"(?:(?!whether)wh\w+|how)\b", _plain(question)):
        return False
    kinds = {answer_kind(one) for one in candidates}
    return "" not in kinds and bool(kinds & {YES, NO})


def parse(question: str) -> Presence | None:
    """Reduce a yes/no question to presence; None: it has another form."""
    asked, before = _FILLER.sub("", _plain(question)).strip(), ""
    while asked != before:
        before, start = asked, _PREAMBLE.match(asked)
        asked = _TAIL.sub("", asked[start.end() :] if start else asked)
    # "isn't there" and "do you not see" expect a yes if it is there; "there isn't" does not
    asked = re.sub(r"^(is|are|does|do|can|could) not ", r"\1 ", asked)
    asked = re.sub(r"^((?:is|are) there|(?:do|can|could) (?:you|we|i)) not ", r"\1 ", asked)
    if place := _WHERE_WE_ARE.fullmatch(asked):
        pair = (INDOORS, OUTDOORS) if place["inside"] else (OUTDOORS, INDOORS)
        return Presence(pair, contrast=True)
    for form, absent in _FORMS:
        if found := re.fullmatch(form, asked):
            named = found.groupdict()
            what = " ".join(filter(None, (named.get("what"), named.get("where"))))
            return _presence(what or PERSON, absent ^ bool(named.get("blind") or named.get("bare")))
    return None


def _presence(what: str, absent: bool) -> Presence | None:
    """The presence of a noun phrase, with what follows it."""
    what = re.sub(rf"^(?:not )?(?:any (?:signs?|traces?)|an? {_VIEW}) of ", "", what)
    what = re.sub(rf"(?: {_HERE})+$", "", what)
    if none := re.match(r"(?:no(?= ?one\b|body\b)|(?:no|not|zero) )", what):
        absent, what = not absent, what[none.end() :].strip()
        what = re.sub(r"^(?:one|body)\b", PERSON, what)
    if re.fullmatch(_COUNT, what):
        return None
    split = re.fullmatch(rf"((?:(?:an?|any|some|the|this|that|your) )?\S+.*?) {_UNCHECKED}", what)
    head = split[1] if split else what
    every = bool(re.search(f" and{_NEXT}", head))
    if every and re.search(f" or{_NEXT}", head):
        return None
    texts = tuple(map(_text, re.split(f",? (?:and|or){_NEXT}|,{_NEXT}", head)))
    unchecked = what[len(head) :].strip()
    return Presence(texts, absent, every, False, unchecked) if all(texts) else None


def _text(noun: str) -> str:
    """A noun phrase in the form of a label; empty: it names nothing."""
    if re.fullmatch(_PEOPLE, noun):
        return PERSON
    if re.fullmatch(_NAMELESS, noun):
        return ""
    return re.sub(r"^(?:any|some|the|this|that|your|my|our) ", "", noun.strip(" ,"))


def _plain(text: str) -> str:
    """Lower case, without punctuation at the ends, with contractions written out."""
    said = re.sub(r"\s+", " ", text.lower().replace("\u2019", "'")).strip(" ?!.,;:'\"")
    said = said.replace("can't", "can not").replace("cannot", "can not").replace("n't", " not")
    return re.sub(r"\b(there|it|that|this)'s\b", r"\1 is", said)


def judged(
    asked: Presence, cosines: NDArray[np.float32], config: ModelConfig
) -> tuple[dict[str, float], str]:
    """Probabilities of YES, NO and UNSURE, which add up to 1, and the reason for UNSURE.

    Args:
        asked: The question.
        cosines: [asked.texts], cosine of each text with the clip.
        config: Configuration of the model.
    """
    scores = config.calibration
    if asked.contrast:
        logit = scores.logit_scale * float(cosines[0] - cosines[1])
        yes, no = _sigmoid(logit - CONTRAST_BAND), _sigmoid(-logit - CONTRAST_BAND)
        why = f"'{asked.texts[0]}' and '{asked.texts[1]}' fit about equally well"
        return {YES: yes, NO: no, UNSURE: 1.0 - yes - no}, why
    least = [calibration_for(config, text).none_similarity for text in asked.texts]
    logits = scores.logit_scale * (np.asarray(cosines, np.float64) - least)
    logit = float(logits.min() if asked.every else logits.max())
    there = 0.0 if asked.unchecked else _sigmoid(logit - _logit(scores.yes_above))
    missing = _sigmoid(_logit(scores.no_below) - logit)
    yes, no = (missing, there) if asked.absent else (there, missing)
    named = (" and " if asked.every else " or ").join(asked.texts)
    named = f"'{named}' (probability {_sigmoid(logit):.2f})"
    if asked.unchecked:
        why = (
            f"there may be {named}, but this model cannot tell whether it is {asked.unchecked!r}: "
            "it compares pictures with texts. Give candidates that name what may be seen"
        )
    else:
        why = (
            f"it is not clear whether there is {named}: from {scores.yes_above} on it is there, "
            f"below {scores.no_below} it is not"
        )
    return {YES: yes, NO: no, UNSURE: 1.0 - yes - no}, why


CONTRAST_BAND = 0.8
"""Logits by which the better of two texts that exclude each other must lead."""


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(value, -60.0), 60.0)))


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
