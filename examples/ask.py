"""Ask what the camera sees, and handle each possible outcome.

python examples/ask.py "is the door open or closed?" open closed
"""

from __future__ import annotations

import sys

import rclpy
from rclpy.duration import Duration
from vljepa_ros.msg import Question
from vljepa_ros.srv import AnswerQuestion


def request(text: str, candidates: list[str]) -> AnswerQuestion.Request:
    """A question about a picture at most one second old; waits up to two seconds for one."""
    return AnswerQuestion.Request(
        question=Question(text=text, candidates=candidates),
        max_age=Duration(seconds=1.0).to_msg(),
        wait=Duration(seconds=2.0).to_msg(),
    )


def decide(reply: AnswerQuestion.Response) -> tuple[str, str]:
    """What to do next (act, look again, retry, give up), and the answer or the reason."""
    result, answer = reply.result, reply.answer
    if result.code in (result.BUSY, result.TIMEOUT, result.NOT_ACTIVE, result.STALE):
        return "retry", result.message
    if result.code != result.OK:  # the request is wrong, or this model cannot do it
        return "give up", result.message
    if answer.status == answer.ANSWERED:
        return "act", answer.answer
    # AMBIGUOUS: from another side it may be clear; NONE_FITS: it is something else
    return "look again", answer.message


def main() -> None:
    """Ask once, with a time limit."""
    rclpy.init()
    node = rclpy.create_node("asker")
    client = node.create_client(AnswerQuestion, "/vljepa/answer_question")
    if not client.wait_for_service(timeout_sec=5.0):
        sys.exit("perception_node is not there")
    future = client.call_async(request(sys.argv[1], sys.argv[2:]))
    rclpy.spin_until_future_complete(node, future, timeout_sec=15.0)
    print(*decide(future.result()) if future.done() else ("retry", "no reply"), sep=": ")


if __name__ == "__main__":
    main()
