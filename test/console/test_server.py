"""The console's server, with a real HTTP client: who may ask, what, and in which size."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.console.board import Board
from vljepa_ros.console.server import MOST_BODY, ConsoleServer, Refused, Robot

TOKEN = "a-token-of-the-test"
JSON = {"Content-Type": "application/json"}


class Double:
    """A robot with one camera and one service."""

    def __init__(self) -> None:
        self.board = Board()
        self.calls: list[tuple[str, Any]] = []
        self.reports: list[str] = []

    def picture(self, camera: str, after: int) -> tuple[int, bytes] | None:
        if camera != "front":
            raise Refused(404, f"camera is {camera!r}, allowed: front")
        return None if after == 7 else (7, b"jpeg")

    def call(self, service: str, fields: Any) -> Any:
        if service == "broken":
            raise KeyError("a defect")
        self.calls.append((service, fields))
        return {"got": fields}


@pytest.fixture(scope="module")
def robot() -> Double:
    return Double()


@pytest.fixture(scope="module")
def server(robot: Double) -> Iterator[ConsoleServer]:
    made = ConsoleServer(
        "0.0.0.0",
        0,
        TOKEN,
        Robot(robot.board, robot.picture, robot.call, robot.reports.append),
    )
    yield made
    made.close()


def ask(
    server: ConsoleServer,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    address: str = "127.0.0.1",
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(address, server.server_address[1], timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read(), dict(reply.getheaders())
    finally:
        connection.close()


def own_address() -> str:
    """An address of this machine that is not its loopback, or an empty text."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def test_the_page_needs_nothing_from_elsewhere(server: ConsoleServer) -> None:
    status, page, headers = ask(server, "GET", "/")
    text = page.decode()
    assert status == 200
    assert "NONCE" not in text
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
        assert unsafe not in text, "texts are set as text"
    assert "http://" not in text
    assert "https://" not in text
    assert " src=" not in text
    policy = headers["Content-Security-Policy"]
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert text.count(f'nonce="{nonce}"') == 2
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert ask(server, "GET", "/")[2]["Content-Security-Policy"] != policy


def test_pictures_and_calls(server: ConsoleServer, robot: Double) -> None:
    status, jpeg, headers = ask(server, "GET", "/picture?camera=front&after=0")
    assert (status, jpeg, headers["X-Picture"]) == (200, b"jpeg", "7")
    assert ask(server, "GET", "/picture?camera=front&after=7")[0] == 204
    assert ask(server, "GET", "/picture?camera=front&after=-1")[0] == 400
    status, body, _ = ask(server, "GET", "/picture?camera=<b>")
    assert status == 404
    assert json.loads(body) == {"error": "camera is '<b>', allowed: front"}
    status, body, _ = ask(server, "POST", "/call/answer", json.dumps({"a": "ä"}), JSON)
    assert status == 200
    assert json.loads(body) == {"got": {"a": "ä"}}
    assert robot.calls[-1] == ("answer", {"a": "ä"})


def test_events_come_as_they_happen(server: ConsoleServer, robot: Double) -> None:
    robot.board.put("state", "</script>\n")
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request("GET", "/events")
    reply = connection.getresponse()
    assert reply.getheader("Content-Type") == "text/event-stream"

    def newest() -> Any:
        while not (line := reply.readline()).startswith(b"data: "):
            pass
        return json.loads(line[6:])

    assert newest() == {"name": "state", "value": "</script>\n"}
    robot.board.put("state", 2)
    assert newest()["value"] == 2
    connection.close()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{", JSON, 400),
        ("[" * 100_000, JSON, 400),
        ("{}", {"Content-Type": "text/plain"}, 415),
        ("{}", {}, 415),
        ("x" * (MOST_BODY + 1), JSON, 413),
        ("{}", {**JSON, "Content-Length": "-1"}, 413),
        ("{}", {**JSON, "Origin": "http://elsewhere.example"}, 403),
        ("{}", {**JSON, "Origin": "null"}, 403),
        ("{}", {**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ("{}", {**JSON, "Sec-Fetch-Site": "same-site"}, 403),
        ("{}", {**JSON, "Host": "rebound.example"}, 403),
    ],
)
def test_what_is_refused_reaches_no_service(
    server: ConsoleServer, robot: Double, body: str, headers: dict[str, str], status: int
) -> None:
    before = len(robot.calls)
    try:
        got, reply, _ = ask(server, "POST", "/call/answer", body, headers)
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413, "it need not read what is too long"
    else:
        assert (got, "error" in json.loads(reply)) == (status, True)
    assert len(robot.calls) == before


def test_a_defect_is_reported_and_ends_nothing(server: ConsoleServer, robot: Double) -> None:
    status, body, _ = ask(server, "POST", "/call/broken", "{}", JSON)
    assert status == 500
    assert "a defect" in json.loads(body)["error"]
    assert "KeyError" in robot.reports[-1]
    assert ask(server, "GET", "/")[0] == 200


def test_other_machines_need_the_token(server: ConsoleServer, robot: Double) -> None:
    address = own_address()
    if not address:
        pytest.skip("this machine has no network")
    paths = ["/", "/events", "/picture?camera=front", "/?token=", "/?token=wrong"]
    paths += [f"/events?token={TOKEN}", f"/picture?camera=front&token={TOKEN}"]
    for path in paths:
        status, body, _ = ask(server, "GET", path, address=address)
        assert (status, b"token" in body) == (403, True), path
        assert TOKEN.encode() not in body
    local = {**JSON, "Host": "localhost"}
    assert ask(server, "POST", "/call/answer", "{}", local, address=address)[0] == 403
    status, _, headers = ask(server, "GET", f"/?token={TOKEN}", address=address)
    assert status == 200
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    allowed = {"Cookie": cookie.split(";")[0]}
    assert ask(server, "GET", "/picture?camera=front", None, allowed, address)[0] == 200
    assert ask(server, "POST", "/call/answer", "{}", {**JSON, **allowed}, address)[0] == 200
    foreign = {**JSON, **allowed, "Origin": "http://elsewhere.example"}
    assert ask(server, "POST", "/call/answer", "{}", foreign, address)[0] == 403
    assert ask(server, "GET", "/", None, {"Cookie": "\x00=;;"}, address)[0] == 403


NEIGHBOUR = """
unshare -n sleep 30 & other=$!
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link add here type veth peer name there netns $other || { kill $other; exit 77; }
ip addr add 10.9.9.1/24 dev here; ip link set here up
run="nsenter --target $other --net"
$run sh -c "ip addr add 10.9.9.2/24 dev there; ip link set there up"
"$1" -c "$2" & server=$!
for query in "" "?token=wrong" "?token=$3"; do $run "$1" -c "$4" "http://10.9.9.1:8420/$query"; done
kill $server $other
"""
SERVE = f"""
import time
from vljepa_ros.console.board import Board
from vljepa_ros.console.server import ConsoleServer, Robot
ConsoleServer("0.0.0.0", 8420, "{TOKEN}", Robot(Board(), None, None, print))
time.sleep(30)
"""
FETCH = """
import sys, time, urllib.error, urllib.request
for _ in range(200):
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
        break
    except urllib.error.HTTPError as error:
        print(error.code)
        break
    except OSError:  # the server is not there yet
        time.sleep(0.05)
"""


def test_a_machine_beside_this_one_needs_the_token() -> None:
    """In network namespaces of the test's own, with a cable between them."""
    own = ["unshare", "--map-root-user", "--net"]
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("there is no unshare, nsenter or ip (util-linux, iproute2)")
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a network namespace")
    command = ["bash", "-c", NEIGHBOUR, "bash", sys.executable, SERVE, TOKEN, FETCH]
    done = subprocess.run([*own, *command], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip(f"the kernel makes no pair of network devices: {done.stderr}")
    assert done.stdout.split() == ["403", "403", "200"], done.stderr


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_no_path_leads_to_a_file(server: ConsoleServer, path: str) -> None:
    for full in (f"/{path}", f"/../{path}", f"//{path}", f"/call/../{path}"):
        status, body, _ = ask(server, "GET", full)
        assert b"<title>vljepa console" in body if status == 200 else status in (400, 404), full


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"POST /call/x HTTP/1.1\r\nHost: localhost\r\n"]),
    st.binary(max_size=80),
)
def test_no_bytes_end_it(server: ConsoleServer, start: bytes, rest: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20) as client:
        client.sendall(start + rest)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):  # it need not read the rest
            while client.recv(65536):
                pass


@pytest.mark.parametrize("path", ["/etc/passwd", "/page.html", "/../server.py", "/%2e%2e/x"])
def test_known_files_are_not_served(server: ConsoleServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 404


def test_where_the_page_is() -> None:
    robot = Double()
    asked = Robot(robot.board, robot.picture, robot.call, print)
    local = ConsoleServer("127.0.0.1", 0, "", asked)
    try:
        port = local.server_address[1]
        assert local.url == f"http://localhost:{port}/"
        with pytest.raises(OSError, match="in use"):
            ConsoleServer("127.0.0.1", port, "", asked)
        assert len(local.token) > 16
    finally:
        local.close()
    with pytest.raises(ValueError, match="16 or more"):
        ConsoleServer("127.0.0.1", 0, "short", asked)
    with pytest.raises(OSError, match=r"."):
        ConsoleServer("192.0.2.1", 0, "", asked)


def test_too_many_connections_end_nothing(server: ConsoleServer) -> None:
    port = server.server_address[1]
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
    for one in idle:
        one.close()
    for _ in range(100):
        try:
            if ask(server, "GET", "/")[0] == 200:
                return
        except (ConnectionError, http.client.HTTPException):
            pass
    pytest.fail("it takes no connection any more")
