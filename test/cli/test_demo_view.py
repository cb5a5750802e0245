from __future__ import annotations

import pytest

from vljepa_ros.cli.demo_record import Answer, DemoRecord, PublishedText, Truth
from vljepa_ros.cli.demo_view import DemoView


def test_each_text_and_answer_is_a_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    made = DemoRecord(latencies=[0.05] * 40, decodes=2)
    made.truths = [Truth(10 + i / 10, "door opens", "", ("the door opens",)) for i in range(80)]
    made.texts = [
        PublishedText(9.0, 9.0, 9.2, "nothing moves", True),
        PublishedText(10.0, 10.0, 10.2, "a person comes in", True),
        PublishedText(12.0, 11.5, 12.2, "the door opens", True),
    ]
    made.answers = [Answer(13.0, "is the door [open]?", "yes", 0.93, 0.012, "yes")]
    view = DemoView(made, 60)
    view.refresh(3.0)
    view.refresh(3.2)
    view.refresh(12.0)
    text = capsys.readouterr().out
    assert text.count("says: the door opens") == 1
    assert text.count("[right]") == text.count("[wrong]") == text.count("[?]") == 1
    assert "is the door [open]?  yes (0.93, true: yes, 12 ms)" in text
    assert text.count("2 decodes instead of 40") == 1
