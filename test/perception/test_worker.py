"""The worker's thread: requests before steps, deadlines, a bounded queue, errors that end
nothing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator
from itertools import pairwise

import pytest

from vljepa_ros.perception.worker import (
    CooperativeTask,
    DeadlineError,
    QueueFullError,
    Request,
    Worker,
)

PATIENCE = 30.0  # seconds; a busy machine is slow, not wrong


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
        assert self.event.wait(PATIENCE)
        self.event.clear()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def made():
    workers: list[Worker] = []

    def make(step=lambda: None, capacity: int = 8) -> tuple[Worker, list[Exception]]:
        failures: list[Exception] = []
        worker = Worker(failures.append, capacity)
        worker.start(step)
        workers.append(worker)
        return worker, failures

    yield make
    for worker in workers:
        worker.stop()


def test_a_request_is_answered_from_the_worker_thread(made) -> None:
    worker, _ = made()
    answers = Answers()
    worker.submit(Request(lambda _: threading.current_thread().name, answers, PATIENCE))
    answers.wait()
    assert answers.results == ["model"]


def test_requests_go_before_steps(made) -> None:
    order: list[str] = []
    gate = threading.Event()

    begun = threading.Event()

    def step() -> float:
        begun.set()
        gate.wait(PATIENCE)
        order.append("step")
        return 0.0

    worker, _ = made(step)
    answers = Answers()
    assert begun.wait(PATIENCE)
    for name in "ab":
        worker.submit(Request(lambda _, name=name: order.append(name), answers, PATIENCE))
    gate.set()
    until(lambda: len(order) > 3)
    assert order[:4] == ["step", "a", "b", "step"]


def test_between_the_steps_of_a_task_come_frames_and_new_requests(made) -> None:
    order: list[str] = []

    def step() -> float:
        if "long" in order:
            order.append("step")
        return 0.0

    def long() -> CooperativeTask[str]:
        for _ in range(3):
            order.append("long")
            if order.count("long") == 1:
                worker.submit(Request(lambda _: order.append("short"), Answers(), PATIENCE))
            yield
        return "done"

    worker, _ = made(step)
    answers = Answers()
    worker.submit(Request(lambda _: long(), answers, PATIENCE))
    answers.wait()
    assert answers.results == ["done"]
    assert order[:6] == ["long", "short", "step", "long", "step", "long"]


def test_two_long_requests_advance_together_and_each_gives_up_alone(made) -> None:
    rounds = {"a": 0, "b": 0}
    worker, _ = made()

    def long(name: str) -> CooperativeTask[str]:
        while rounds[name] < 50 or name == "b":
            rounds[name] += 1
            time.sleep(0.002)
            yield
        return name

    first, second = Answers(), Answers()
    worker.submit(Request(lambda _: long("a"), first, PATIENCE))
    worker.submit(Request(lambda _: long("b"), second, 1.5))
    first.wait()
    assert first.results == ["a"]
    assert rounds["b"] >= 49
    second.wait()
    assert isinstance(second.errors[0], DeadlineError)
    answers = Answers()
    worker.submit(Request(lambda _: "alive", answers, PATIENCE))
    answers.wait()


def test_a_paused_task_goes_on_after_a_wake_before_the_step_or_when_its_time_is_over(made) -> None:
    order: list[str] = []
    worker, _ = made(lambda: order.append("step"))
    until(lambda: order == ["step"])

    def wait(seconds: float) -> CooperativeTask[str]:
        order.append("look")
        yield seconds
        order.append("look")
        return "over"

    answers = Answers()
    worker.submit(Request(lambda _: wait(PATIENCE), answers, 2 * PATIENCE))
    until(lambda: order == ["step", "look"])
    worker.wake()
    answers.wait()
    until(lambda: order == ["step", "look", "look", "step"])
    worker.submit(Request(lambda _: wait(0.05), answers, PATIENCE))
    answers.wait()
    assert answers.results == ["over", "over"]
    assert order[4:] == ["look", "look"], "no frame was due"


def test_a_wake_without_a_step_lets_tasks_go_on_and_nothing_else(made) -> None:
    order: list[str] = []
    worker, _ = made(lambda: order.append("step"))
    until(lambda: order == ["step"])
    worker.wake(stepping=False)

    def wait() -> CooperativeTask[str]:
        yield PATIENCE
        return "over"

    answers = Answers()
    worker.submit(Request(lambda _: order.append("asked") or wait(), answers, 2 * PATIENCE))
    until(lambda: order == ["step", "asked"])
    worker.wake(stepping=False)
    answers.wait()
    assert (answers.results, order) == (["over"], ["step", "asked"])


def test_a_wake_while_a_task_looks_is_not_lost(made) -> None:
    worker, _ = made()
    looks = 0

    def wait() -> CooperativeTask[int]:
        nonlocal looks
        while looks < 3:
            looks += 1
            worker.wake()
            yield PATIENCE
        return looks

    answers = Answers()
    worker.submit(Request(lambda _: wait(), answers, PATIENCE))
    answers.wait()
    assert answers.results == [3]


def test_paused_tasks_count_as_waiting_and_end_with_their_deadline_or_the_worker(made) -> None:
    worker, _ = made(capacity=2)
    looks: list[str] = []

    def wait() -> CooperativeTask[None]:
        looks.append("look")
        yield PATIENCE

    late, stopped = Answers(), Answers()
    begun = Answers()
    worker.submit(Request(lambda _: wait(), late, 0.05))
    worker.submit(Request(lambda _: wait(), stopped, PATIENCE))
    until(lambda: len(looks) == 2)
    with pytest.raises(QueueFullError, match="2 requests wait already"):
        worker.submit(Request(lambda _: None, begun, PATIENCE))
    until(lambda: worker.expire() or late.errors)
    assert isinstance(late.errors[0], DeadlineError)
    worker.submit(Request(lambda _: "free", begun, PATIENCE))
    begun.wait()
    worker.stop()
    assert isinstance(stopped.errors[0], QueueFullError)


def test_an_error_in_a_later_step_is_the_answer(made) -> None:
    worker, _ = made()

    def long() -> CooperativeTask[None]:
        yield
        raise ValueError("second step")

    answers = Answers()
    worker.submit(Request(lambda _: long(), answers, PATIENCE))
    answers.wait()
    assert str(answers.errors[0]) == "second step"


def test_stopping_answers_a_task_that_is_between_steps(made) -> None:
    worker, _ = made()
    begun = threading.Event()

    def long() -> CooperativeTask[None]:
        while True:
            begun.set()
            yield

    answers = Answers()
    worker.submit(Request(lambda _: long(), answers, PATIENCE))
    assert begun.wait(PATIENCE)
    worker.stop()
    answers.wait()
    assert isinstance(answers.errors[0], QueueFullError)


def test_a_full_queue_says_so(made) -> None:
    gate = threading.Event()
    worker, _ = made(capacity=2)
    answers = Answers()
    begun = threading.Event()
    worker.submit(Request(lambda _: (begun.set(), gate.wait(PATIENCE)), answers, PATIENCE))
    assert begun.wait(PATIENCE)
    for _ in range(2):
        worker.submit(Request(lambda _: None, answers, PATIENCE))
    with pytest.raises(QueueFullError, match="2 requests wait already, allowed: 2"):
        worker.submit(Request(lambda _: None, answers, PATIENCE))
    gate.set()


def test_a_deadline_is_answered_while_the_worker_is_still_at_it(made) -> None:
    gate = threading.Event()
    worker, _ = made()
    running, waiting = Answers(), Answers()
    worker.submit(Request(lambda _: gate.wait(PATIENCE), running, 0.2))
    worker.submit(Request(lambda _: "late", waiting, 0.2))
    time.sleep(0.3)
    worker.expire()
    assert isinstance(running.errors[0], DeadlineError)
    assert isinstance(waiting.errors[0], DeadlineError)
    gate.set()
    last = Answers()
    worker.submit(Request(lambda _: None, last, PATIENCE))
    last.wait()
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


def test_who_waits_too_long_is_given_how_far_it_is(made) -> None:
    worker, _ = made()

    def work() -> Generator[str, None, None]:
        for done in range(10_000):
            yield f"{done} of 10000, ask again"
            time.sleep(0.001)

    answers = Answers()
    worker.submit(Request(lambda _: work(), answers, 0.1))
    answers.wait()
    assert re.fullmatch(r"no answer within 0.1 s: \d+ of 10000, ask again", str(answers.errors[0]))


def test_errors_are_answers_and_end_nothing(made) -> None:
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        raise ValueError(f"step {steps}")

    worker, failures = made(step)
    answers = Answers()
    worker.submit(Request(lambda _: 1 / 0, answers, PATIENCE))
    answers.wait()
    assert isinstance(answers.errors[0], ZeroDivisionError)
    worker.wake()
    until(lambda: failures)
    worker.submit(Request(lambda _: "alive", answers, PATIENCE))
    answers.wait()
    assert answers.results == ["alive"]


def test_a_step_that_names_a_pause_comes_again_after_it(made) -> None:
    times: list[float] = []

    def step() -> float:
        times.append(time.monotonic())
        return 0.05

    made(step)
    until(lambda: len(times) > 3)
    gaps = [b - a for a, b in pairwise(times)]
    assert min(gaps) >= 0.045


def test_stopping_interrupts_long_work(made) -> None:
    worker, _ = made()
    answers = Answers()

    begun = threading.Event()

    def work(request: Request[None]) -> None:
        while True:
            begun.set()
            request.check()
            time.sleep(0.01)

    worker.submit(Request(work, answers, 60.0))
    assert begun.wait(PATIENCE)
    worker.stop()  # would never end where nothing interrupts
    assert isinstance(answers.errors[0], QueueFullError)


def test_stopping_answers_what_waits_and_refuses_more(made) -> None:
    gate = threading.Event()
    worker, _ = made()
    answers = Answers()
    begun = threading.Event()
    worker.submit(Request(lambda _: (begun.set(), gate.wait(0.3)), Answers(), PATIENCE))
    assert begun.wait(PATIENCE)
    worker.submit(Request(lambda _: None, answers, PATIENCE))
    worker.stop()
    assert "being unloaded" in str(answers.errors[0])
    with pytest.raises(QueueFullError, match="not loaded"):
        worker.submit(Request(lambda _: None, answers, PATIENCE))
    worker.stop()


def test_a_step_that_hangs_does_not_keep_its_node_from_ending(made) -> None:
    begun, release, answers = threading.Event(), threading.Event(), []

    def hang(_: object) -> None:
        begun.set()
        release.wait(60.0)

    worker, _ = made()
    worker.submit(Request(hang, lambda *done: answers.append(done), 60.0))
    assert begun.wait(60.0)
    assert not worker.stop(0.05)
    assert isinstance(answers[0][1], QueueFullError), "its request is answered"
    worker.start(lambda: None)
    again = threading.Event()
    worker.submit(Request(lambda _: again.set(), lambda *done: None, 60.0))
    assert again.wait(60.0), "beside the thread that hangs"
    release.set()
    assert worker.stop(60.0)
