from __future__ import annotations

import io

import pytest
from rich.console import Console

from vljepa_ros.cli.demo_record import Answer, DemoRecord, PublishedText, Truth
from vljepa_ros.cli.demo_view import DemoView


def record() -> DemoRecord:
    made = DemoRecord(latencies=[0.05] * 40, decodes=2)
    made.truths = [Truth(10 + i / 10, "door opens", "", ("the door opens",)) for i in range(80)]
    made.texts = [
        PublishedText(10.0, 10.0, 10.2, "a person comes in", True),
        PublishedText(12.0, 11.5, 12.2, "the door opens", True),
    ]
    made.answers = [Answer(13.0, "is the door [open]?", "yes", 0.93, 0.012, "yes")]
    return made


def test_plain_lines_where_output_is_no_terminal():
    out = io.StringIO()
    with DemoView(record(), 60, Console(file=out, width=60)) as view:
        view.refresh(3.0)
        view.refresh(3.2)
        view.refresh(12.0)
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.count("says: the door opens") == 1  # each event once
    assert "[right]" in text
    assert "[wrong]" in text
    assert "is the door [open]?  yes (0.93, true: yes, 12 ms)" in text
    assert text.count("2 decodes instead of 40") == 1


@pytest.mark.parametrize("colour", [True, False])
def test_live_table_on_a_terminal_with_and_without_colour(colour: bool):
    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=True,
        width=100,
        height=30,
        no_color=not colour,
        color_system="standard",
        legacy_windows=False,
    )
    with DemoView(record(), 60, console) as view:
        view.refresh(3.0)
    text = out.getvalue()
    assert "the robot says" in text
    assert "what is true" in text
    assert "2 decodes instead of 40" in text
    assert ("\x1b[32m" in text) == colour  # green


def test_before_anything_came_it_says_so():
    out = io.StringIO()
    with DemoView(DemoRecord(), 60, Console(file=out, force_terminal=True, width=80)) as view:
        view.refresh(0.0)
    assert "(nothing yet)" in out.getvalue()
