"""Around every request: an id, a name that we answer to, a bound on the body, and headers that protect browsers.

Plain ASGI, because it must see streams as they are: nothing here holds a body.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, as_problem, too_large
from api.settings import ApiSettings
from ingestion_assets.logs import log_context

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it browsers send `Origin: null` with forms, which is what another site would look like.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}
_LONGEST_TARGET = 8192
_SILENCE_SECONDS = 60.0
"""Without a byte of a body that is not whole: its sender is gone, and told nobody. A phone out of reach does that."""
_UPLOADS = "/ingestion/batches"
_FORMS = re.compile(r"/admin/.*")


class Guard:
    """Refuses before anything is parsed, and turns what nobody expected into a problem."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {host.lower() for host in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        exceeded: list[Problem] = []
        answer = _Answer(send, request_id, exceeded, head=scope["method"] == "HEAD")
        with log_context(request=request_id):
            refusal = self._refusal(scope, headers)
            if refusal is None:
                try:
                    await self._app(_as_get(scope), self._bounded(scope, receive, exceeded), answer)
                except Exception as error:
                    if answer.started:
                        # Half an answer is out. Ending the connection is the only way to say that it is not whole.
                        raise
                    refusal = as_problem(error)
            if exceeded and not answer.started:
                refusal = exceeded.pop()
            if refusal is not None:
                await refusal.response(request_id)(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts and "*" not in self._hosts:
            return Problem(421, "INGESTION_API_ALLOWED_HOSTS lists the names that are answered.", name="wrong-host")
        if len(scope.get("query_string", b"")) > _LONGEST_TARGET:
            return Problem(414, "The address is too long.")
        if b"%00" in scope.get("query_string", b"") or "\x00" in scope["path"]:
            return Problem(400, "The address holds a NUL character.")
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or len(length) > 18):
            return Problem(400, "Content-Length is no number.")
        if length is not None and int(length) > self._cap(scope):
            return too_large(self._cap(scope))
        has_body = "transfer-encoding" in headers or (length is not None and int(length) > 0)
        if scope["method"] in {"POST", "PUT", "PATCH"} and has_body:
            return _wrong_type(scope["path"], headers)
        return None

    def _cap(self, scope: Scope) -> int:
        upload = scope["method"] == "POST" and scope["path"] == _UPLOADS
        return self._settings.upload_bytes if upload else self._settings.body_bytes

    def _bounded(self, scope: Scope, receive: Receive, exceeded: list[Problem]) -> Receive:
        """Counts what arrives: a chunked body has no Content-Length, and a header may lie. Does not wait for ever."""
        left = self._cap(scope)
        whole = False

        async def bounded() -> Message:
            nonlocal left, whole
            try:
                async with asyncio.timeout(None if whole else _SILENCE_SECONDS):
                    message = await receive()
            except TimeoutError:
                # Closed, since what may still come would be read as the next request.
                detail = f"Nothing of the body came for {_SILENCE_SECONDS:.0f} seconds."
                exceeded.append(Problem(408, detail, headers={"Connection": "close"}))
                raise exceeded[0] from None
            if message["type"] == "http.request":
                whole = not message.get("more_body", False)
                left -= len(message.get("body", b""))
                if left < 0:
                    exceeded.append(too_large(self._cap(scope)))
                    raise exceeded[0]
            return message

        return bounded


class _Answer:
    """What goes out for one request, with the headers that all answers have."""

    def __init__(self, send: Send, request_id: str, exceeded: list[Problem], *, head: bool) -> None:
        self.started = False
        self._head = head
        self._ended = False
        self._send = send
        self._request_id = request_id
        self._exceeded = exceeded

    async def __call__(self, message: Message) -> None:
        if self._exceeded and not self.started:
            return  # FastAPI calls whatever goes wrong while it reads a body malformed; it was too large
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        elif self._head:
            if self._ended:
                return
            # The headers are the whole answer; by its end a stream learns that nobody follows it.
            self._ended = True
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)


def _as_get(scope: Scope) -> Scope:
    """HEAD is answered as GET, and only headers go out: monitors and calendars ask so whether anything is new."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _wrong_type(path: str, headers: Headers) -> Problem | None:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if path == _UPLOADS:
        expected = {"multipart/form-data"}
    elif _FORMS.fullmatch(path):
        expected = {"application/x-www-form-urlencoded"}
    else:
        expected = {"application/json"}
    if given in expected:
        return None
    named = " or ".join(sorted(expected))
    return Problem(415, f"Send {named}.", headers={"Accept": named})
