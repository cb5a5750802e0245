"""Prints a running demo: a line for each text and answer, and the progress."""

from __future__ import annotations

from vljepa_ros.cli.demo_record import DemoRecord

STATUS_INTERVAL_S = 10.0  # seconds between two lines of progress


class DemoView:
    """Prints what is new in a DemoRecord; call `refresh` a few times a second.

    Args:
        record: The record to print.
        seconds: Planned length, for the progress.
    """

    def __init__(self, record: DemoRecord, seconds: float) -> None:
        self._record = record
        self._seconds = seconds
        self._texts = self._answers = 0
        self._next_status = STATUS_INTERVAL_S

    def refresh(self, elapsed: float) -> None:
        """Print what is new; `elapsed`: seconds since the first image."""
        record = self._record
        for text in record.texts[self._texts :]:
            truth = record.truth_at(text.received)
            mark = "?" if truth is None else "right" if truth.allows(text.text) else "wrong"
            print(
                f"{text.received - record.start:5.1f} s  says: {text.text}  | true: "
                f"{record.recent_truth(text.received)}  [{mark}]"
            )
        for answer in record.answers[self._answers :]:
            verdict = f", true: {answer.truth}" if answer.truth else ""
            print(
                f"asked {answer.question}  {answer.answer} ({answer.score:.2f}{verdict}, "
                f"{1000 * answer.seconds:.0f} ms)"
            )
        self._texts, self._answers = len(record.texts), len(record.answers)
        if elapsed >= self._next_status:
            self._next_status += STATUS_INTERVAL_S
            share = record.right_share()
            right = "" if share is None else f", text right {100 * share:.0f}% of the time"
            print(
                f"{elapsed:5.1f} of {self._seconds:.0f} s: {record.decodes} decodes instead of "
                f"{record.frames}{right}",
                flush=True,
            )
