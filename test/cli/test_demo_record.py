from __future__ import annotations

import pytest

from vljepa_ros.cli.demo_record import DemoRecord, PublishedText, Truth
from vljepa_ros.perception.vocabulary import same_text


def published(received: float, text: str, onset: float | None = None) -> PublishedText:
    onset = received - 1.0 if onset is None else onset
    return PublishedText(received - 0.1, onset, received, text, True)


def truth(stamp: float, *valid: str, event: str = "nothing") -> Truth:
    return Truth(stamp, event, "", tuple(valid))


def ten_seconds() -> DemoRecord:
    """True: quiet for 5 s, then the door opens. Told one second late."""
    record = DemoRecord(latencies=[0.05] * 50, decodes=2)
    for tenth in range(100):
        opens = tenth >= 50
        text = "the door opens" if opens else "all is quiet"
        record.truths.append(
            truth(100 + tenth / 10, text, event="door opens" if opens else "nothing")
        )
    record.texts = [
        published(100.0, "All is quiet."),
        published(106.0, "the door opens", onset=105.0),
    ]
    return record


def test_right_share_counts_what_is_in_force_at_each_image():
    record = ten_seconds()
    assert record.right_share() == pytest.approx(0.9)
    assert record.right_share(from_onset=True) == pytest.approx(1.0)


def test_images_before_the_first_text_and_without_a_truth_do_not_count():
    record = ten_seconds()
    record.texts = record.texts[1:]
    assert record.right_share() == pytest.approx(1.0)
    record.truths.append(truth(120.0))
    assert record.right_share() == pytest.approx(1.0)


def test_an_event_is_named_by_a_text_that_was_not_true_before_it():
    record = ten_seconds()
    state = "the lights are on"
    record.truths = [
        truth(t.stamp, *t.valid_texts, state, event=t.event if t.stamp < 108 else "nothing")
        for t in record.truths
    ]
    record.truths += [truth(110 + tenth / 10, "all is quiet", state) for tenth in range(10)]
    assert record.event_delays() == [pytest.approx(1.0)]
    record.texts[1] = published(106.0, state)
    assert record.event_delays() == [None]
    record.texts[1] = published(110.1, "the door opens")  # over for more than AFTERGLOW
    assert record.event_delays() == [None]
    record.texts[1:] = [published(106.0, "all is quiet"), published(107.5, "The door opens.")]
    assert record.event_delays() == [pytest.approx(2.5)]
    record.texts[0] = published(105.1, "all is quiet")  # it began before anything was said
    assert record.event_delays() == []


def test_an_event_whose_time_is_not_over_does_not_count():
    assert ten_seconds().event_delays() == []


def test_the_constant_text_is_the_one_that_is_true_most_often():
    record = ten_seconds()
    assert record.constant_text()[1] == pytest.approx(0.5)
    record.truths += [truth(110 + tenth / 10, "all is quiet") for tenth in range(100)]
    assert record.constant_text() == ("all is quiet", pytest.approx(0.75))


def test_nothing_measured_gives_no_figure():
    summary = DemoRecord().summary()
    assert (summary["events"], summary["delay_s"], summary["constant_text"]) == (0, None, "")
    assert summary["text_right_share"] is None
    assert summary["latency_ms"] == {"median": None, "p99": None}
    assert summary["decodes_saved"] == 0.0


def test_summary_of_a_known_record():
    summary = ten_seconds().summary()
    assert summary["seconds"] == pytest.approx(10.0)
    assert (summary["clips"], summary["decodes"], summary["decodes_saved"]) == (50, 2, 0.96)
    assert summary["latency_ms"]["median"] == 50.0


def test_truth_at_a_time():
    record = ten_seconds()
    assert record.truth_at(99.0) is None
    now = record.truth_at(105.04)
    assert now is not None
    assert now.event == "door opens"


def test_texts_are_the_same_whatever_case_and_stop():
    assert same_text("The door  opens.", ["a person", "the door opens"])
    assert not same_text("the door closes", ["the door opens"])
    assert not same_text("", [])


def test_an_event_is_named_until_a_moment_after_its_end():
    record = DemoRecord()
    for tenth in range(100):
        event = "door opens" if 20 <= tenth < 30 else "nothing"
        record.truths.append(truth(tenth / 10, "the door opens", event=event))
    assert record.recent_truth(-1.0) == "unknown"
    assert record.recent_truth(2.5) == "the door opens"
    assert record.recent_truth(4.0) == "the door opens (just now)"
    assert record.recent_truth(6.0) == "nothing is happening"
