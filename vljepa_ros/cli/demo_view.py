"""What a demo shows while it runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vljepa_ros.cli.demo_record import Answer, DemoRecord, PublishedText

STATUS_INTERVAL_S = 10.0  # seconds between two plain status lines


class DemoView:
    """Shows a DemoRecord; use it as a context manager and call `refresh` a few times a second.

    Args:
        record: What is shown.
        seconds: Planned length, for the progress figure.
        console: Where it is shown (default: standard output).
    """

    def __init__(self, record: DemoRecord, seconds: float, console: Console | None = None) -> None:
        self._record = record
        self._seconds = seconds
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._texts = 0
        self._answers = 0
        self._next_status = STATUS_INTERVAL_S

    def __enter__(self) -> DemoView:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print one line above the table."""
        self._console.print(text, markup=False, soft_wrap=True)

    def refresh(self, elapsed: float) -> None:
        """Show the present; `elapsed`: seconds since the first image."""
        if self._live is not None:
            self._live.update(self._table(elapsed), refresh=True)
            return
        for text in self._record.texts[self._texts :]:
            mark, true_now = self._verdict(text)
            time = text.received - self._record.start
            self.note(f"{time:5.1f} s  says: {text.text}  | true: {true_now}  [{mark}]")
        for answer in self._record.answers[self._answers :]:
            self.note(_answer_text(answer).plain)
        self._texts, self._answers = len(self._record.texts), len(self._record.answers)
        if elapsed >= self._next_status:
            self._next_status += STATUS_INTERVAL_S
            self.note(self._status(elapsed).plain)

    def _status(self, elapsed: float) -> Text:
        record = self._record
        share = record.right_share()
        right = "" if share is None else f", text right {100 * share:.0f}% of the time"
        return Text(
            f"{elapsed:5.1f} of {self._seconds:.0f} s: {record.decodes} decodes "
            f"instead of {record.frames}{right}"
        )

    def _verdict(self, text: PublishedText) -> tuple[str, str]:
        truth = self._record.truth_at(text.received)
        if truth is None:
            return "?", "unknown"
        mark = "right" if truth.allows(text.text) else "wrong"
        return mark, self._record.recent_truth(text.received)

    def _table(self, elapsed: float) -> Group:
        record = self._record
        now = record.texts[-1] if record.texts else None
        truth = record.truths[-1] if record.truths else None
        head = Table.grid(padding=(0, 2))
        head.add_column(style="dim", justify="right")
        head.add_column()
        right = bool(truth and record.is_right(truth))
        head.add_row(
            "the robot says",
            Text(
                now.text if now else "(nothing yet)", style="bold green" if right else "bold yellow"
            ),
        )
        head.add_row("what is true", Text(truth.words if truth else "(no image yet)"))
        head.add_row("so far", self._status(elapsed))
        table = Table(box=None, padding=(0, 2), header_style="bold")
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("the robot said", ratio=3, overflow="fold")
        table.add_column("true then", ratio=2, overflow="fold")
        table.add_column("", no_wrap=True)
        for text in record.texts[-8:]:
            mark, true_now = self._verdict(text)
            table.add_row(
                f"{text.received - record.start:.1f} s",
                text.text,
                true_now,
                Text(mark, style="green" if mark == "right" else "red"),
            )
        parts: list[RenderableType] = [head, Text(), table]
        if record.answers:
            parts += [Text(), *(_answer_text(answer) for answer in record.answers)]
        return Group(*parts)


def _answer_text(answer: Answer) -> Text:
    verdict = "" if not answer.truth else f", true: {answer.truth}"
    return Text.assemble(
        ("asked ", "dim"),
        answer.question,
        "  ",
        (answer.answer, "bold"),
        f" ({answer.score:.2f}{verdict}, {1000 * answer.seconds:.0f} ms)",
    )
