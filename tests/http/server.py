"""A raw HTTP/1.1 server on loopback whose routes write what they like, and the time and network the tests control."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore

PUBLIC = "93.184.216.34"


class Exchange(BaseHTTPRequestHandler):
    """One request, and how a route answers it."""

    protocol_version = "HTTP/1.1"
    server: RawServer
    content: bytes = b""

    def log_message(self, *args: Any) -> None:
        pass

    def send(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """A whole answer with the right length; underscores in header names become hyphens."""
        fields = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.wfile.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body)

    def raw(self, data: bytes) -> None:
        """Exactly these bytes."""
        self.wfile.write(data)

    def hang_up(self) -> None:
        """Close the connection after this exchange."""
        self.close_connection = True

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True

    def _answer(self) -> None:
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers), self.content, self.server.now()))
        try:
            self.server.answer(path, self)
        except OSError:
            self.close_connection = True  # the client went away, which is what several tests want it to do

    do_GET = do_POST = _answer  # noqa: N815 - the base class looks for these names


@dataclass(frozen=True)
class Seen:
    """A request as it arrived, and when on the test's clock."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float


Route = Callable[[Exchange], None]


class RawServer(ThreadingHTTPServer):
    """Routes by path; a list of routes is used up one a request, its last one staying."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.routes: dict[str, Route | list[Route]] = {}
        self.seen: list[Seen] = []
        self.connections = 0
        self.now: Callable[[], float] = time.monotonic
        self.leave = threading.Event()
        """Set when the test is over, for routes that answer slowly."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # resets are part of the tests

    def answer(self, path: str, exchange: Exchange) -> None:
        route = self.routes.get(path, lambda it: it.send(404, b"no such route"))
        if isinstance(route, list):
            route = route.pop(0) if len(route) > 1 else route[0]
        route(exchange)

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"

    @contextmanager
    def running(self) -> Iterator[RawServer]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.leave.set()
            self.shutdown()
            self.server_close()
            thread.join(5)


@dataclass
class FakeTime:
    """A clock that moves only by `sleep`."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@dataclass
class Resolver:
    """Names answered from lists: the nth look-up gets the nth list, the last one staying."""

    answers: dict[str, list[list[str]]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int) -> Iterable[str]:
        self.asked.append(host)
        lists = self.answers[host]
        return lists.pop(0) if len(lists) > 1 else lists[0]


class Rerouted(httpcore.NetworkBackend):
    """Stands for the internet: `PUBLIC` is a local server, any other address is really connected to, and noted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._real = httpcore.SyncBackend()
        self.elsewhere: list[str] = []

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        if host == PUBLIC:
            return self._real.connect_tcp("127.0.0.1", self._port, *args, **kwargs)
        self.elsewhere.append(host)
        return self._real.connect_tcp(host, port, *args, **kwargs)
