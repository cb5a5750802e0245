"""What people write: truth files, triggers, labels, options of the command line; and the small
files that nodes keep. Read, or refused with the error that the caller turns into one line."""

from __future__ import annotations

import contextlib
import io
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz_parameters import SNIPPETS

from vljepa_ros.cli.main import build_parser
from vljepa_ros.perception.change.detector import FIRST
from vljepa_ros.perception.checking.truth import TruthError, read_truth
from vljepa_ros.perception.decoder_state import CameraState, StateFile
from vljepa_ros.perception.lesson import Example, Lesson, Recording
from vljepa_ros.perception.selective_decoder import SceneUpdate
from vljepa_ros.perception.taught_store import read_lesson, write_lesson
from vljepa_ros.perception.teaching import TeachingError
from vljepa_ros.perception.triggers import Trigger, TriggerError, checked_trigger, parse_triggers
from vljepa_ros.perception.vocabulary import VocabularyError, parse

TRUTH = """/camera/image_raw:
  the kettle is on: [[12.0, 48.5], [1:20, 1:35]]
  a person is at the stove:
    true: [[3, 7], [60, 71]]
    unclear: [[7, 9]]
labels: ['is the kettle on? | the kettle is on | the kettle is off']
"""
TIMES = ("-1", ".nan", "1e999", "99:99:99", "2026-03-01T10:15:00", "0001-01-01", "1" * 5000, "x")
WORDS = (
    "a",
    "door",
    "|",
    "|",
    " ",
    "@",
    ":",
    "0.5",
    "1e400",
    "nan",
    "front",
    "🚪",
    "\0",
    "x" * 600,
)
NUMBERS = (float("nan"), float("inf"), -1.0, 0.0, 0.5, 1.0, 2.0)
DEEP = ("[" * 3000, "{a: " * 3000, "- " * 3000)


def harmed(random: Random, text: str, snippets: tuple[str, ...]) -> str:
    """Pieces put in, pieces left out."""
    for _ in range(random.choice((0, 1, 1, 3))):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(snippets) + text[at + random.choice((0, 0, 1, 5, 20)) :]
    return text


def truth_file(random: Random) -> str:
    text = harmed(random, TRUTH, (*SNIPPETS, *TIMES, "[", "]", "true", "false"))
    if random.random() < 0.01:
        text += random.choice(DEEP)
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = read_truth(Path(file.name))
            for entry in found.entries:
                entry.within(random.choice((0.0, 1.7e9)), 100.0)
        except TruthError as error:
            return "refused" if file.name in str(error) else "refused, the file not named"
    return "read"


def triggers(random: Random) -> str:
    entries = ["".join(random.choices(WORDS, k=random.randrange(5))) for _ in range(3)]
    try:
        made = parse_triggers(entries)
        one = Trigger(
            random.choice(WORDS),
            random.choice(WORDS),
            tuple(random.choices(WORDS, k=random.randrange(4))),
            tuple(random.choices(WORDS, k=random.randrange(2))),
            *random.choices(NUMBERS, k=2),
            hold=random.choice((-1, 0, 10**18)),
        )
        checked_trigger(one, ("front",))
    except (VocabularyError, TriggerError) as error:
        return "refused" if str(error) else "refused without a reason"
    return "read" if made else "read, none"


def labels(random: Random) -> str:
    entries = ["".join(random.choices(WORDS, k=random.randrange(9))) for _ in range(4)]
    try:
        parse(entries[: random.randrange(5)], "which?")
    except VocabularyError as error:
        return "refused" if str(error) else "refused without a reason"
    return "read"


@cache
def parser() -> Any:
    return build_parser()


def command_line(random: Random) -> str:
    """Options and values of every command: parsed, or exit code 2 with a line."""
    command = random.choice(list(parser()._subparsers._group_actions[0].choices))
    options = [o for a in _actions(command) for o in a.option_strings] or ["--x"]
    values = (*WORDS, *TIMES, "0", "-1", "1e999", "a=b=c", "--", "-", "front=90", "1,2,3,4", "1,,2")
    argv = [command, *(random.choice((*options, *values)) for _ in range(random.randrange(7)))]
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        try:
            parser().parse_args(argv)
        except SystemExit as end:
            said = output.getvalue().strip()
            return "refused" if end.code in (0, 2) and said else "refused without a reason"
    return "parsed"


def _actions(command: str) -> list[Any]:
    found = parser()._subparsers._group_actions[0].choices[command]
    inner = found._subparsers._group_actions[0].choices.values() if found._subparsers else ()
    return [action for one in (found, *inner) for action in one._actions]


def _bytes_harmed(random: Random, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(random.choice((0, 1, 2, 6))):
        at = random.randrange(len(made) + 1)
        piece = random.choice((b"", b"\0", b"\xff" * 8, b'"', b"[" * 3000, b"1e999", b"null"))
        made[at : at + random.choice((0, 1, 8, 400))] = piece
    return bytes(made)


@cache
def _taught() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        example = Example(1, np.eye(1, 8, dtype=np.float32)[0], b"jpeg", 1)
        path = Path(folder, "a.taught")
        write_lesson(path, Lesson("a", "b", "m-1", (Recording("front", False, (example,) * 3),)))
        return path.read_bytes()


def taught_label(random: Random) -> str:
    with tempfile.NamedTemporaryFile(suffix=".taught") as file:
        Path(file.name).write_bytes(_bytes_harmed(random, _taught()))
        try:
            read_lesson(Path(file.name))
        except TeachingError as error:
            return "refused" if file.name in str(error) else "refused, the file not named"
    return "read"


@cache
def _state() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = StateFile(Path(folder, "state"), "m-1", 8)
        vector = np.eye(1, 8, dtype=np.float32)[0]
        update = SceneUpdate(True, FIRST, 0, 0, 1.0, 1.0, "a", "", True, 0.5, 0.0, vector)
        file.write({"front": CameraState("what?", 1.0, update)})
        return file.path.read_bytes()


def decoder_state(random: Random) -> str:
    with tempfile.NamedTemporaryFile() as kept:
        Path(kept.name).write_bytes(_bytes_harmed(random, _state()))
        states, warning = StateFile(Path(kept.name), "m-1", 8, lambda: 2.0).read(300.0)
    assert not (states and warning)
    return "read" if states else "refused" if warning else "read, none"


TARGETS = {
    "truth file": truth_file,
    "triggers": triggers,
    "labels": labels,
    "command line": command_line,
    "taught label": taught_label,
    "decoder state": decoder_state,
}
