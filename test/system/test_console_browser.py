"""The console in a real browser, on the nodes of `vljepa up`: what a user sees within seconds.

    pytest -s -m check test/system/test_console_browser.py

The variable VLJEPA_CHROMIUM names the browser's program where none is on the path. Prints pictures
a second and the console's processor time, which belong to the machine; screenshots go to the folder
$VLJEPA_SCREENSHOTS.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import NAMES, Browser, find_browser

from vljepa_ros import ros
from vljepa_ros.cli.processes import PackageProcess
from vljepa_ros.console.board import Board
from vljepa_ros.console.server import ConsoleServer, Robot
from vljepa_ros.nodes.message_json import to_json

pytestmark = [pytest.mark.check, pytest.mark.timeout(400)]
LOOK_S = 10.0
COUNT = (
    "window.pictures = 0; new MutationObserver(() => window.pictures++).observe("
    "document.querySelector('.camera img'), {attributes: true, attributeFilter: ['data-number']});"
    "true"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = find_browser()
    if not executable:
        pytest.skip(f"no {', '.join(NAMES)} on the path: name one in VLJEPA_CHROMIUM")
    with Browser(executable, tmp_path_factory.mktemp("browser")) as made:
        yield made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for(process: PackageProcess, text: str) -> None:
    end = time.monotonic() + 150
    while text not in process.output():
        process.check()
        assert time.monotonic() < end, process.output()
        time.sleep(0.1)


def has(place: str, text: str) -> str:
    """Whether a part of the page shows a text."""
    return f"document.querySelector('{place}').textContent.includes('{text}')"


def cpu_seconds(pid: int) -> float:
    """Of a process so far, in user and system mode (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_user_sees_asks_and_changes(browser: Browser, domain: int, tmp_path: Path) -> None:
    shots = Path(os.environ.get("VLJEPA_SCREENSHOTS", tmp_path))
    port = free_port()
    graph = ["--domain", str(domain)]
    up = ["up", *graph, "--trigger", "a person is in the room"]
    console = PackageProcess("vljepa_ros.cli.main", ["console", *graph, "--port", str(port)])
    with console, PackageProcess("vljepa_ros.cli.main", up) as nodes:
        wait_for(nodes, "selective_decoder_node")
        wait_for(console, "the console is at")
        time.sleep(5.0)  # until the nodes know one another, as on a robot that runs
        browser.look(1280, 900, "light")
        start = time.monotonic()
        browser.open(f"http://localhost:{port}/")
        browser.wait("document.querySelector('#events .item') !== null")
        first_event = time.monotonic() - start
        browser.wait("document.querySelector('.camera img[data-number]') !== null")
        browser.run(COUNT)
        before, start = cpu_seconds(console.pid), time.monotonic()
        browser.run("window.pictures = 0")
        time.sleep(LOOK_S)
        seconds = time.monotonic() - start
        rate = browser.run("window.pictures") / seconds
        share = (cpu_seconds(console.pid) - before) / seconds
        print(f"\nfirst event {first_event:.1f} s; {rate:.1f} pictures/s; {share:.1%} of a core")
        browser.wait("document.querySelector('.camera .text').textContent !== ''")
        browser.submit("#ask", question="is anybody in here?", candidates="yes, no")
        browser.wait("document.querySelectorAll('#answer .row').length === 2")
        browser.submit("#new-labels", prompt="which?", labels="a <b>bold</b> cup\na door")
        browser.wait(has(".camera", "a <b>bold</b> cup"))
        browser.submit("#add-trigger", text="the lights are off", threshold="0.5")
        browser.wait(
            "document.querySelector('#triggers').textContent.includes('the lights are off')"
        )
        shots.mkdir(parents=True, exist_ok=True)
        browser.screenshot(shots / "console.png")
        browser.look(390, 844, "dark", phone=True)
        browser.screenshot(shots / "console-phone.png")
        assert browser.run("document.querySelectorAll('b').length") == 0
        assert nodes.stop() == 0, nodes.output()
        browser.wait(
            "document.querySelector('#trouble').textContent.includes('perception is gone')"
        )
        with PackageProcess("vljepa_ros.cli.main", up):
            browser.wait("document.querySelector('#trouble').textContent === ''", 150.0)
            browser.run(COUNT)
            browser.wait("window.pictures > 3")
        assert console.stop() == 0, console.output()
        browser.wait(has("#trouble", "does not answer"))
    refused = [text for text in browser.errors if "Content Security" in text or "Uncaught" in text]
    assert refused == []


HOSTILE = "<img src=x onerror='window.hacked = 1'></script><script>window.hacked = 1</script>"


def hostile(cls: Any) -> Any:
    """A message as JSON, each text in it a trap, and one element in each list of messages."""
    message = to_json(cls())
    for name, type_name in cls.get_fields_and_field_types().items():
        base = type_name.removeprefix("sequence<").rstrip(">[]")
        package, _, inner = base.partition("/")
        if base == "string":
            value = HOSTILE
        elif inner and package != "builtin_interfaces":
            value = hostile(ros.interface(f"{package}/msg/{inner}"))
        else:
            continue
        message[name] = value if base == type_name else [value]
    return message


def test_what_a_robot_says_is_text(browser: Browser) -> None:
    def call(service: str, _: Any) -> Any:
        name = service.title().replace("_", "")
        return hostile(ros.interface(f"vljepa_ros/srv/{name}").Response)

    board = Board()
    robot = Robot(board, lambda *_: time.sleep(0.2), call, print)
    server = ConsoleServer("127.0.0.1", 0, "", robot)
    try:
        browser.open(server.url)
        browser.wait(f"location.href === '{server.url}' && document.readyState === 'complete'")
        board.put("cameras", ["front", HOSTILE])
        for name, kind in (
            *(("model_info", "ModelInfo"), ("vocabulary", "Vocabulary"), ("events", "SceneEvent")),
            *(("triggers", "TriggerEvent"), ("teach_progress", "TeachProgress")),
            *(("front/labels", "SceneLabels"), ("front/scene", "SceneEvent")),
            ("front/trigger_state", "TriggerState"),
        ):
            board.put(name, hostile(ros.interface(f"vljepa_ros/msg/{kind}")))
        status = hostile(ros.interface("diagnostic_msgs/msg/DiagnosticStatus"))
        board.put("diagnostics/vljepa/a_node", [status])
        browser.submit("#ask", question="what?", candidates="yes")
        browser.submit("#find", text="anything")
        live = ("model", "cameras", "events", "triggers", "labels", "taught", "health")
        for place in (*live, "progress", "answer", "moments"):
            browser.wait(has(f"#{place}", "<img src=x"))
        assert browser.run("window.hacked === undefined")
        assert browser.run("document.querySelectorAll('[onerror], [src=x]').length") == 0
        assert browser.run("document.scripts.length") == 1
    finally:
        server.close()
