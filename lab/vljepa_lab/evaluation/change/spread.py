"""Independent pieces of an evaluation over several processes, with the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

Progress = Callable[[str, int, int], None]


def spread(
    work: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    what: str,
    progress: Progress,
) -> list[Any]:
    """What `work` returns for the arguments of each job, in the order of the jobs.

    :param work: a function of a module, so that another process can import it.
    :param workers: processes, one core each; with 1 all is done in this one.
    :param progress: told `what`, how many are done, and of how many.
    :raises Exception: what the first job that fails raises.
    """
    if not jobs:
        return []
    progress(what, 0, len(jobs))
    found: list[Any] = [None] * len(jobs)
    if workers <= 1:
        for number, job in enumerate(jobs):
            found[number] = work(*job)
            progress(what, number + 1, len(jobs))
        return found
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(work, *job): number for number, job in enumerate(jobs)}
        for done, future in enumerate(as_completed(futures)):
            found[futures[future]] = future.result()
            progress(what, done + 1, len(jobs))
    return found
