"""The worker's thread: requests before steps, deadlines, a bounded queue, errors that end
nothing."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest

from vljepa_ros.perception.worker import Busy, DeadlineError, Request, Worker


class Answers:
    """Collects what requests were answered with."""

    def __init__(self) -> None:
        self.results: list[object] = []
        self.errors: list[Exception] = []
        self.event = threading.Event()

    def __call__(self, result: object, error: Exception | None) -> None:
        if error is None:
            self.results.append(result)
        else:
            self.errors.append(error)
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(5.0)
        self.event.clear()


@pytest.fixture
def made():
    workers: list[Worker] = []

    def make(step=lambda: None, capacity: int = 8) -> tuple[Worker, list[Exception]]:
        failures: list[Exception] = []
        worker = Worker(step, failures.append, capacity)
        worker.start()
        workers.append(worker)
        return worker, failures

    yield make
    for worker in workers:
        worker.stop()


def test_a_request_is_answered_from_the_worker_thread(made) -> None:
    worker, _ = made()
    answers = Answers()
    worker.submit(Request(lambda _: threading.current_thread().name, answers, 5.0))
    answers.wait()
    assert answers.results == ["model"]


def test_requests_go_before_steps(made) -> None:
    order: list[str] = []
    gate = threading.Event()

    def step() -> float:
        gate.wait(5.0)
        order.append("step")
        return 0.0

    worker, _ = made(step)
    answers = Answers()
    worker.wake()
    time.sleep(0.05)
    for name in "ab":
        worker.submit(Request(lambda _, name=name: order.append(name), answers, 5.0))
    gate.set()
    answers.wait()
    time.sleep(0.1)
    assert order[:3] == ["step", "a", "b"]


def test_a_full_queue_says_so(made) -> None:
    gate = threading.Event()
    worker, _ = made(capacity=2)
    answers = Answers()
    worker.submit(Request(lambda _: gate.wait(5.0), answers, 5.0))
    time.sleep(0.1)
    for _ in range(2):
        worker.submit(Request(lambda _: None, answers, 5.0))
    with pytest.raises(Busy, match="2 requests wait already, allowed: 2"):
        worker.submit(Request(lambda _: None, answers, 5.0))
    gate.set()


def test_a_deadline_is_answered_while_the_worker_is_still_at_it(made) -> None:
    gate = threading.Event()
    worker, _ = made()
    running, waiting = Answers(), Answers()
    worker.submit(Request(lambda _: gate.wait(5.0), running, 0.2))
    worker.submit(Request(lambda _: "late", waiting, 0.2))
    time.sleep(0.3)
    worker.expire()
    assert isinstance(running.errors[0], DeadlineError)
    assert isinstance(waiting.errors[0], DeadlineError)
    gate.set()
    time.sleep(0.1)
    assert running.results == waiting.results == [], "answered once"


def test_long_work_gives_up_when_nobody_waits(made) -> None:
    worker, _ = made()
    rounds = 0

    def work(request: Request[None]) -> None:
        nonlocal rounds
        while rounds < 1000:
            request.check()
            rounds += 1
            time.sleep(0.01)

    answers = Answers()
    worker.submit(Request(work, answers, 0.1))
    answers.wait()
    assert isinstance(answers.errors[0], DeadlineError)
    assert rounds < 100


def test_errors_are_answers_and_end_nothing(made) -> None:
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        raise ValueError(f"step {steps}")

    worker, failures = made(step)
    answers = Answers()
    worker.submit(Request(lambda _: 1 / 0, answers, 5.0))
    answers.wait()
    assert isinstance(answers.errors[0], ZeroDivisionError)
    worker.wake()
    time.sleep(0.1)
    assert failures
    worker.submit(Request(lambda _: "alive", answers, 5.0))
    answers.wait()
    assert answers.results == ["alive"]


def test_a_step_that_names_a_pause_comes_again_after_it(made) -> None:
    times: list[float] = []

    def step() -> float:
        times.append(time.monotonic())
        return 0.05

    made(step)
    time.sleep(0.5)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps
    assert min(gaps) >= 0.045


def test_stopping_interrupts_long_work(made) -> None:
    worker, _ = made()
    answers = Answers()

    def work(request: Request[None]) -> None:
        while True:
            request.check()
            time.sleep(0.01)

    worker.submit(Request(work, answers, 60.0))
    time.sleep(0.1)
    begin = time.monotonic()
    worker.stop()
    assert time.monotonic() - begin < 5.0
    assert isinstance(answers.errors[0], Busy)


def test_stopping_answers_what_waits_and_refuses_more(made) -> None:
    gate = threading.Event()
    worker, _ = made()
    answers = Answers()
    worker.submit(Request(lambda _: gate.wait(0.3), Answers(), 5.0))
    time.sleep(0.05)
    worker.submit(Request(lambda _: None, answers, 5.0))
    worker.stop()
    assert "being unloaded" in str(answers.errors[0])
    with pytest.raises(Busy, match="not loaded"):
        worker.submit(Request(lambda _: None, answers, 5.0))
    worker.stop()
