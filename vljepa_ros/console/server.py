"""The console's HTTP server: who may ask what, and in which size.

| request | reply |
|---|---|
| `GET /` | the page |
| `GET /events` | server-sent events, for as long as the page is open: JSON texts of the board |
| `GET /picture?camera=NAME&after=NUMBER` | the next JPEG after that number, or nothing new (204) |
| `POST /call/SERVICE` | the reply of a service; both are JSON |

Nothing else, and no file by its path. From this machine, under one of its own names, no token is
needed; from elsewhere each request needs it, in a cookie that the page's address with `?token=`
sets. Requests that another site's page sends are refused.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import queue
import re
import secrets
import socket
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vljepa_ros.console.board import Board

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SITES = ("same-origin", "none")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
MOST_BODY = 256 * 1024  # bytes of a request
_MOST_LOCAL, _MOST_OTHERS = 24, 40  # connections; a browser takes up to six
_IDLE_S = 30.0  # after which a connection without a request is closed
_BEAT_S = 5.0  # between two signs of life of an event stream
_TYPES = {"html": "text/html; charset=utf-8", "json": "application/json", "jpeg": "image/jpeg"}


class Refused(Exception):  # noqa: N818  (it reads as what happened)
    """A request is answered with an error.

    Args:
        status: Of HTTP.
        message: What was wrong, and what is allowed.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Robot:
    """What the server asks; its functions are called in threads of the server's.

    Attributes:
        board: What pages are sent.
        picture: Given a camera and the number of the picture that the page has, returns the next
            one's number and JPEG, or None if none came for a while. It may raise Refused.
        call: Given a service and the request's fields, returns the reply's. It may raise Refused.
        report: Given what went wrong in the server itself, for the log.
    """

    board: Board
    picture: Callable[[str, int], tuple[int, bytes] | None]
    call: Callable[[str, Any], Any]
    report: Callable[[str], object]


class ConsoleServer(ThreadingHTTPServer):
    """Serves from creation until `close`.

    Args:
        address: Of this machine; `0.0.0.0` or `::`: all it has.
        port: 0 takes a free one.
        token: That requests from elsewhere need; empty: a random one.
        robot: What it asks.

    Raises:
        OSError: The address does not exist, or the port is taken.
        ValueError: The token is too short, or no cookie can hold it.
    """

    daemon_threads = True
    allow_reuse_port = False  # two consoles would share a port, and take turns
    request_queue_size = 64

    def __init__(self, address: str, port: int, token: str, robot: Robot) -> None:
        if ":" in address:
            self.address_family = socket.AF_INET6
        if token and not _TOKEN.fullmatch(token):
            raise ValueError("token is not allowed: 16 or more letters, digits, _ and -")
        page = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        self.token = token or secrets.token_urlsafe(16)
        self._free = {
            True: threading.BoundedSemaphore(_MOST_LOCAL),
            False: threading.BoundedSemaphore(_MOST_OTHERS),
        }
        super().__init__((address, port), partial(_Handler, self.token, page, robot))
        self._board = robot.board
        self._thread = threading.Thread(target=self.serve_forever, name="console", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a browser finds the page, with the token if other machines can reach it."""
        host, port = str(self.server_address[0]), int(self.server_address[1])
        if host in _LOCAL:
            return f"http://localhost:{port}/"
        name = socket.gethostname() if ipaddress.ip_address(host).is_unspecified else host
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={self.token}"

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self._board.close()
        self.server_close()
        self._thread.join()

    def server_bind(self) -> None:
        """Bind; HTTPServer's own asks the DNS for a name that is not needed."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, unless there are too many.

        Other machines cannot take those of this one: who sits at the robot sees the page.
        """
        if self._free[_is_local(client_address)].acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free[_is_local(client_address)].release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Do nothing: the only errors left are of ended connections."""


def _is_local(client_address: Any) -> bool:
    """Whether a connection comes from this machine."""
    peer = ipaddress.ip_address(client_address[0])
    return bool((getattr(peer, "ipv4_mapped", None) or peer).is_loopback)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vljepa", ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True  # else the second write of a reply waits 40 ms for the first

    def __init__(self, token: str, page: str, robot: Robot, *connection: Any) -> None:
        self._token, self._page, self._robot = token, page, robot
        super().__init__(*connection)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: requests of a page are routine."""

    def do_GET(self) -> None:
        """The page, its events, a picture."""
        self._answer({"/": self._send_page, "/events": self._stream, "/picture": self._picture})

    def do_POST(self) -> None:
        """A service."""
        name = self.path.removeprefix("/call/")
        self._answer({f"/call/{name}": partial(self._call, name)})

    def _answer(self, known: dict[str, Callable[[], None]]) -> None:
        try:
            self._check()
            answer = known.get(self._url.path)
            if answer is None:
                raise Refused(404, f"there is no '{self._url.path[:80]}' here")
            answer()
        except Refused as error:
            self._refuse(error.status, str(error))
        except OSError:  # a page that is closed in the middle of a reply is no error
            self.close_connection = True
        except Exception as error:
            self._robot.report("".join(traceback.format_exception(error)))
            self._refuse(500, f"internal error: {type(error).__name__}: {error}")

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # the body, if there is one, was not read
        self._send(status, "json", json.dumps({"error": message}).encode())

    def _check(self) -> None:
        """Refuse whom this page is not for."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        try:
            self._url = urlsplit(self.path)
            name = urlsplit(f"//{host}").hostname
            sender = None if origin is None else urlsplit(origin).netloc
        except ValueError as error:
            raise Refused(400, f"address, Host or Origin cannot be read: {error}") from error
        site = self.headers.get("Sec-Fetch-Site", "none")  # of a request without Origin, too
        if sender not in (None, host) or (site not in _SITES and self._url.path != "/"):
            raise Refused(403, f"Origin is '{sender or site}', allowed: pages of this console")
        if _is_local(self.client_address) and name in _LOCAL:
            return
        if not hmac.compare_digest(self._given().encode(), self._token.encode()):
            raise Refused(
                403,
                "a token is needed: open the address that the console wrote to its log, or "
                "localhost on the robot itself (ssh -L 8420:localhost:8420 ROBOT)",
            )

    @property
    def _cookie(self) -> str:
        """Its name: browsers keep one jar for all ports of a host."""
        return f"vljepa_console_{self.connection.getsockname()[1]}"

    def _given(self) -> str:
        """The token of this request, or an empty text."""
        query = parse_qs(self._url.query)
        in_address = query.get("token", [""])[0] if self._url.path == "/" else ""
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        return in_address or (cookie.value if cookie else "")

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            "default-src 'none'; connect-src 'self'; img-src blob: data:; base-uri 'none'; "
            f"form-action 'none'; frame-ancestors 'none'; script-src 'nonce-{nonce}'; "
            f"style-src 'nonce-{nonce}'"
        )
        headers = {"Content-Security-Policy": policy}
        if self._given() == self._token:
            cookie = f"{self._cookie}={self._token}"
            headers["Set-Cookie"] = f"{cookie}; HttpOnly; SameSite=Strict; Path=/"
        self._send(200, "html", self._page.replace("NONCE", nonce).encode(), headers)

    def _picture(self) -> None:
        asked = parse_qs(self._url.query)
        after = asked.get("after", ["0"])[0]
        if not after.isdecimal() or len(after) > 18:
            raise Refused(400, f"after is {after[:80]!r}, allowed: a whole number")
        found = self._robot.picture(asked.get("camera", [""])[0], int(after))
        number, jpeg = found or (after, b"")
        self._send(200 if jpeg else 204, "jpeg", jpeg, {"X-Picture": str(number)})

    def _call(self, service: str) -> None:
        if self.headers.get_content_type() != _TYPES["json"]:
            raise Refused(415, f"Content-Type is not allowed; allowed: {_TYPES['json']}")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 9 or int(length) > MOST_BODY:
            raise Refused(413, f"Content-Length is {length[:20]!r}, allowed: 0 to {MOST_BODY}")
        try:
            fields = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the request is no JSON: {error}") from error
        self._send(200, "json", json.dumps(self._robot.call(service, fields)).encode())

    def _stream(self) -> None:
        self.close_connection = True
        self._head(200, {"Content-Type": "text/event-stream", "Connection": "close"})
        with self._robot.board.follow() as messages:
            text: str | None = ""
            self.wfile.write(b"retry: 1000\n\n")
            while text is not None:
                try:
                    text = messages.get(timeout=_BEAT_S)
                    self.wfile.write(f"data: {text}\n\n".encode() if text else b"")
                except queue.Empty:
                    self.wfile.write(b": alive\n\n")

    def _send(
        self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        fixed = {"Content-Type": _TYPES[kind], "Content-Length": str(len(body))}
        if self.close_connection:
            fixed["Connection"] = "close"
        self._head(status, {**fixed, **(headers or {})})
        self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        for name, value in _ALWAYS.items():
            self.send_header(name, value)
        self.end_headers()


_ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
