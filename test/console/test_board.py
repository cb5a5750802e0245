"""What pages are sent: the present first, then what comes; one that is too slow is sent away."""

from __future__ import annotations

import json

import pytest

from vljepa_ros.console import board as module
from vljepa_ros.console.board import Board


def test_a_page_gets_what_was_kept_and_then_what_comes() -> None:
    pages: list[int] = []
    board = Board(lambda: pages.append(1))
    assert not board.is_watched
    for number in range(4):
        board.put("state", number)
        board.put("events", number, keep=2)
    with board.follow() as page:
        assert board.is_watched
        assert pages == [1]
        board.put("state", 4)
        got = [json.loads(page.get_nowait()) for _ in range(4)]
        assert page.empty()
    assert [(one["name"], one["value"]) for one in got] == [
        ("state", 3),
        ("events", 2),
        ("events", 3),
        ("state", 4),
    ]
    assert board.is_watched, "it may only be loaded again"


def test_what_is_over_is_forgotten_and_events_are_not() -> None:
    board = Board()
    board.put("state", 1)
    board.put("events", 2)
    board.forget(but=("events",))
    with board.follow() as page:
        assert json.loads(page.get_nowait())["value"] == 2
        assert page.empty()


def test_ever_new_names_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_NAMES", 3)
    board = Board()
    for number in range(10):
        board.put(f"diagnostics/node_{number}", number)
    with board.follow() as page:
        assert [json.loads(page.get_nowait())["value"] for _ in range(3)] == [7, 8, 9]
        assert page.empty()


def test_a_slow_page_is_sent_away_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    board = Board()
    with board.follow() as slow, board.follow() as quick:
        for number in range(10):
            board.put("state", number)
            assert quick.get_nowait()
        assert slow.qsize() == 5, "four messages and the end"
        board.close()
        assert quick.get_nowait() is None


def test_nothing_that_a_browser_could_not_read_is_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Board().put("state", float("nan"))
