"""A real HTTP server on 127.0.0.1 that a fake service answers through, with faults on request.

Belongs here: transport, the faults every service can have, the log of requests, time. What a service says (paths,
bodies, limits, errors) belongs to its own module: derive from `FakeService`, write `answer`, and override
`rate_limited` where the service words its refusals in a way of its own.

Time is a `VirtualClock` that passes only when somebody waits, shared by the client (`clock=clock.monotonic,
sleep=clock.sleep`) and the fake. So tests do not sleep, and the fake still knows whether a client came back before the
time that it was told: see `FakeService.early`.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any, ClassVar, Self, cast
from urllib.parse import parse_qsl, urlsplit


class VirtualClock:
    """Time that passes only when somebody sleeps. Thread-safe: the client waits in one thread, the fake in another."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)) -> None:
        self._start = start.timestamp()
        self._elapsed = 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        with self._lock:
            return self._elapsed

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._start + self.monotonic()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        with self._lock:
            self._elapsed += max(0.0, seconds)
            self.slept.append(seconds)


class Fault(StrEnum):
    """What can go wrong between a service and its client."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    RESET = "reset"
    TRUNCATED = "truncated"
    HTML = "html"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """The share of answers that go wrong, by a seeded generator.

    `in_a_row` bounds how often the same request fails in succession, so that a client with five attempts always gets
    through and an exact count is a fair thing to ask.
    """

    rate_limited: float = 0.0
    server_error: float = 0.0
    reset: float = 0.0
    truncated: float = 0.0
    html: float = 0.0
    seed: int = 1
    in_a_row: int = 3

    @classmethod
    def usual(cls, seed: int = 1) -> FaultPlan:
        """The mix that every source must survive with exact counts: 10 % of each, 5 % pages of HTML."""
        return cls(rate_limited=0.10, server_error=0.10, reset=0.10, truncated=0.10, html=0.05, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The counts that an import of a pass must report, by the platform's definition of each word."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived."""

    method: str
    path: str
    """Decoded by the service itself if it must be; as sent, without the query."""
    query: dict[str, str]
    """Last value of each parameter."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    not_before: float | None = None
    """Epoch seconds that this answer named: no request may come before."""


def json_answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer whose body is `value` as JSON."""
    try:
        body = json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair travels as an escape, as real services send it
        body = json.dumps(value).encode()
    return Answer(status=status, body=body, headers=headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One line of the request log."""

    at: float
    """Epoch seconds of the shared clock."""
    request: Request
    status: int
    """Status of the answer; 0 when the connection was reset instead."""
    fault: Fault | None


class FakeService:
    """One fake service. Use as a context manager, or `start()` and `stop()`."""

    name: ClassVar[str] = "service"

    def __init__(self, *, faults: FaultPlan | None = None, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.faults = faults or FaultPlan()
        self.requests: list[Logged] = []
        self.early: list[Logged] = []
        """Requests that came before the time an earlier answer had named."""
        self.served: Counter[Fault] = Counter()
        self.current_pass = 1
        self._random = random.Random(self.faults.seed)
        self._in_a_row: Counter[tuple[str, str, str, bytes]] = Counter()
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    # What a service says.

    def answer(self, request: Request) -> Answer:
        """The answer of the service in good health."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The environment variables that point the platform at this fake."""
        raise NotImplementedError

    def truth(self, pass_number: int) -> Truth:
        """What an import of the pass must count, the first time that the pass is imported after the one before it."""
        raise NotImplementedError

    def repeat_truth(self, pass_number: int) -> Truth:
        """What importing the same pass once more must count: everything skipped, the malformed refused again."""
        truth = self.truth(pass_number)
        return Truth(skipped=truth.created + truth.updated + truth.skipped, errors=truth.errors)

    def rate_limited(self, request: Request) -> Answer:
        """HTTP 429 as the service words it. Unless overridden: Retry-After, now in seconds, now as a date."""
        wait = self._random.randint(1, 4)
        until = self.clock.time() + wait
        if self._random.random() < 0.5:
            value = str(wait)
        else:
            until = float(int(until) + 1)  # an HTTP date has whole seconds
            value = format_datetime(datetime.fromtimestamp(until, UTC), usegmt=True)
        return Answer(status=429, body=b'{"message":"slow down"}', headers={"Retry-After": value}, not_before=until)

    def server_error(self, request: Request) -> Answer:
        """HTTP 500, 502 or 503."""
        status = self._random.choice((500, 502, 503))
        return Answer(status=status, body=b'{"message":"something broke"}')

    # What every service does.

    def start(self) -> Self:
        """Listen on a free port of 127.0.0.1."""
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening. Harmless when not started."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`, without a path."""
        if self._server is None:
            raise RuntimeError("start() the fake first")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def base_url(self) -> str:
        """What replaces the service's scheme, host and version prefix."""
        return self.origin

    def advance_to_pass(self, number: int) -> None:
        """Serve the records of pass `number` from now on."""
        self.current_pass = number

    def respond(self, request: Request) -> tuple[Answer, Fault | None]:
        """The answer to `request` and the fault to send it with, both logged."""
        with self._lock:
            now = self.clock.time()
            too_early = now < self._not_before - 1e-6
            fault = self._choose(request)
            if fault is Fault.RATE_LIMITED:
                answer = self.rate_limited(request)
            elif fault is Fault.SERVER_ERROR:
                answer = self.server_error(request)
            elif fault is Fault.HTML:
                page = b"<!DOCTYPE html><html><head><title>Checking your browser</title></head><body></body></html>"
                answer = Answer(body=page, content_type="text/html; charset=utf-8")
            else:
                answer = self.answer(request)
            if answer.not_before is not None:
                self._not_before = max(self._not_before, answer.not_before)
            line = Logged(at=now, request=request, status=0 if fault is Fault.RESET else answer.status, fault=fault)
            self.requests.append(line)
            if too_early:
                self.early.append(line)
            return answer, fault

    def _choose(self, request: Request) -> Fault | None:
        key = (request.method, request.path, json.dumps(request.query, sort_keys=True), request.body)
        drawn = self._random.random()
        if self._in_a_row[key] < self.faults.in_a_row:
            for fault in Fault:
                share = float(getattr(self.faults, fault.value))
                if drawn < share:
                    self._in_a_row[key] += 1
                    self.served[fault] += 1
                    return fault
                drawn -= share
        self._in_a_row.pop(key, None)
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: FakeService) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: Any) -> None:
        # The base class says goodbye first (SHUT_WR), which would turn a reset into a clean end.
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60

    def handle_one(self) -> None:
        service = cast("_Server", self.server).service
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        answer, fault = service.respond(request)
        if fault is Fault.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        self.send_header("Date", format_datetime(service.clock.now(), usegmt=True))
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is Fault.TRUNCATED:
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.close_connection = True
            return
        self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = handle_one  # noqa: N815 (the base class looks for these names)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it so)
        """Say nothing: `FakeService.requests` is the log."""


def main() -> None:
    """Run one fake in a process of its own, for measurements: prints its environment as one JSON line, ends with stdin.

    `python -m tests.fakes._server tests.fakes.ticketmaster:FakeTicketmaster '{"count": 20000}'`; on standard input a
    line `2` advances to pass 2.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("factory", help="module:Class")
    parser.add_argument("options", nargs="?", default="{}", help="keyword arguments as JSON")
    arguments = parser.parse_args()
    module, _, attribute = arguments.factory.partition(":")
    service: FakeService = getattr(import_module(module), attribute)(**json.loads(arguments.options))
    with service:
        print(json.dumps(service.environment()), flush=True)
        for line in sys.stdin:
            service.advance_to_pass(int(line))
            print(json.dumps({"pass": service.current_pass}), flush=True)


if __name__ == "__main__":
    main()
