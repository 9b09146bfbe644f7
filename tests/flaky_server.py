"""A local server of a folder with planned faults: dropped and stalled connections, answers 503, 429, 403.

with FlakyServer(folder) as server:
    server.fail("b.parquet", drop_after=1000, times=2)
    server.fail(status=429, retry_after=3, skip=1)
    read(f"{server.url}/b.parquet")
    server.requests  # what was asked for, and what was answered
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CHUNK = 4096


@dataclass
class Fault:
    """A fault of the next `times` requests whose path holds `path`, after `skip` of them; method None: any."""

    path: str = ""
    method: str | None = "GET"
    times: int = 1
    skip: int = 0
    status: int | None = None
    retry_after: float | None = None
    drop_after: int | None = None  # bytes of the body
    stall_after: int | None = None  # bytes of the body; the headers, too, are held back with 0


class FaultPlan:
    """Faults that wait for their requests."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def fail(self, path: str = "", **what: Any) -> None:
        """Plans a fault, whose words are [`Fault`]'s; of several for one request the one planned first comes."""
        with self._lock:
            self._faults.append(Fault(path, **what))

    def mend(self) -> None:
        """Forgets all faults that are still planned."""
        with self._lock:
            self._faults.clear()

    def next(self, method: str, path: str) -> Fault | None:
        """The fault of one request, which is then used up."""
        with self._lock:
            for fault in self._faults:
                if fault.path not in path or fault.method not in (None, method) or not fault.times:
                    continue
                if not fault.skip:
                    fault.times -= 1
                    return fault
                fault.skip -= 1
        return None


@dataclass
class Request:
    """One request as it was answered; `range` is (first, last or None)."""

    method: str
    path: str
    range: tuple[int, int | None] | None
    status: int
    fault: Fault | None
    authorization: str | None = None
    sent: int = 0


class FlakyServer:
    """Serves the files of a folder on a free port of 127.0.0.1 until it is closed.

    Args:
        folder: what to serve.
        ranges: whether parts of a file can be asked for.
        sizes: whether the length of a file is told before its content, which then ends with the connection.
        password: what HTTP's basic authorization has to send, as `user:password` in base 64.
    """

    def __init__(self, folder: Path, *, ranges: bool = True, sizes: bool = True, password: str | None = None) -> None:
        self.folder = folder
        self.ranges = ranges
        self.sizes = sizes
        self.password = password
        self.requests: list[Request] = []
        self.released = threading.Event()
        self.faults = FaultPlan()
        handler: Callable[..., BaseHTTPRequestHandler] = lambda *given: _Handler(self, *given)  # noqa: E731
        self._server = _QuietServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "FlakyServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, path: str = "", **what: Any) -> None:
        """Plans a fault, whose words are [`Fault`]'s."""
        self.faults.fail(path, **what)

    def mend(self) -> None:
        """Forgets all faults that have not come yet, and the requests so far."""
        self.faults.mend()
        self.requests.clear()

    def gets(self, path: str = "", fault: bool | None = None) -> list[Request]:
        """GET requests whose path holds `path`, with a fault or without one if that is said."""
        found = [request for request in self.requests if request.method == "GET" and path in request.path]
        return [request for request in found if fault is None or (request.fault is not None) == fault]


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server: FlakyServer, *given: object) -> None:
        self._flaky = server
        super().__init__(*given)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: requests are kept in a list."""

    def _answer(self) -> None:
        path = unquote(self.path).lstrip("/")
        fault = self._flaky.faults.next(self.command, path)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        span = (int(asked[1]), int(asked[2]) if asked[2] else None) if asked and self._flaky.ranges else None
        request = Request(self.command, path, span, 0, fault, self.headers.get("Authorization"))
        self._flaky.requests.append(request)
        if fault is not None and fault.stall_after == 0:
            self._hang()
            return
        file = self._flaky.folder / path
        password = self._flaky.password
        if fault is not None and fault.status is not None:
            request.status = fault.status
        elif password is not None and request.authorization != f"Basic {password}":
            request.status = 401
        elif not file.is_file():
            request.status = 404
        else:
            self._send(request, file.read_bytes())
            return
        self.send_response(request.status)
        if fault is not None and fault.retry_after is not None:
            self.send_header("Retry-After", f"{fault.retry_after:g}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, request: Request, content: bytes) -> None:
        first, last = request.range or (0, None)
        if first >= len(content):
            request.status = 416
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = content[first : len(content) if last is None else last + 1]
        request.status = 206 if request.range else 200
        self.send_response(request.status)
        if self._flaky.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if request.range:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(content)}")
        if self._flaky.sizes:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if request.method == "GET":
            self._send_body(request, body)

    def _send_body(self, request: Request, body: bytes) -> None:
        fault = request.fault
        ends = [] if fault is None else [end for end in (fault.drop_after, fault.stall_after) if end is not None]
        body = body[: min(ends)] if ends else body
        try:
            for start in range(0, len(body), CHUNK):
                request.sent += self.wfile.write(body[start : start + CHUNK])
            if fault is not None and fault.stall_after is not None:
                self._hang()
            self.close_connection = self.close_connection or bool(ends)
        except (BrokenPipeError, ConnectionResetError):  # the client has gone
            self.close_connection = True

    def _hang(self) -> None:
        self._flaky.released.wait()
        self.close_connection = True
