"""A worker's thread, lent to a service callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vljepa_ros import ros
from vljepa_ros.perception.worker import Request, Worker


async def lend(
    node: Any, worker: Worker, run: Callable[[Request[Any]], Any], patience: float
) -> Any:
    """Run something in the worker's thread and await its result in the executor of `node`.

    :param run: returns the result, or CooperativeTask that do.
    :param patience: seconds until it is given up.
    :raises Exception: what it raised; QueueFullError, DeadlineError.
    """
    future = ros.Future()
    worker.submit(
        Request(run, lambda result, error: ros.complete(node, future, (result, error)), patience)
    )
    result, error = await future
    if error is not None:
        raise error
    return result
