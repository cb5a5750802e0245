"""Texts that another node encodes: replies that come never, or do not fit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vljepa_ros import ros
from vljepa_ros.nodes.pending import Pending
from vljepa_ros.nodes.text_encoder_client import TextEncoderClient, TextEncoderError


class Served:
    """A node whose client calls a service that answers as the test says."""

    def __init__(self) -> None:
        self.calls: list[ros.Future] = []
        self.forgotten: list[ros.Future] = []
        client = SimpleNamespace(
            service_is_ready=lambda: True,
            call_async=self.call,
            remove_pending_request=self.forgotten.append,
        )
        self.pending = Pending(SimpleNamespace())  # type: ignore[arg-type]
        self.resolve_service_name = lambda name: f"/vljepa/{name}"
        self.create_client = lambda kind, name: client

    def call(self, request: Any) -> ros.Future:
        self.calls.append(ros.Future())
        return self.calls[-1]


@pytest.fixture
def results() -> list[Any]:
    return []


def test_a_request_that_is_never_answered_leaves_nothing_behind(results: list[Any]) -> None:
    node: Any = Served()
    TextEncoderClient(node).request(["a door"], -1.0, results.append)
    node.pending.expire()
    assert isinstance(results[0], TextEncoderError)
    assert node.forgotten == node.calls


@pytest.mark.parametrize(
    "fields", [{}, {"dim": 2}, {"dim": 2, "vectors": [0.6, 0.8]}, {"vectors": [1.0] * 3}]
)
def test_a_reply_that_does_not_fit_is_an_error(results: list[Any], fields: dict[str, Any]) -> None:
    node: Any = Served()
    TextEncoderClient(node).request(["a door"], 9.0, results.append)
    node.calls[0].add_done_callback(lambda done: None)
    reply = ros.interface("vljepa_ros/srv/EncodeText").Response(**fields)
    node.calls[0].set_result(reply)
    (found,) = results
    assert isinstance(found, TextEncoderError)
    assert "'/vljepa/encode_text' gave a reply that does not fit" in str(found)
