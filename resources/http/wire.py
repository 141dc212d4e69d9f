"""One request and its answer on the wire, without retries.

Belongs here: httpx and httpcore. Imported when a client is built, so that modules which only name `OutboundClient`
stay cheap to import. The pool of httpcore is used directly: `httpx.Client` would add cookies, INFO lines with whole
URLs and its own reading of redirects, none of which is wanted.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import httpcore
import httpx

from resources.errors import PermanentError, TransientError
from resources.http.body import read_body
from resources.http.errors import AddressRefusedError, BodyRefusedError
from resources.http.guard import Deadline, GuardedBackend, Resolver, current_deadline
from resources.http.policy import OutboundPolicy
from resources.http.reply import Headers
from resources.redaction import SECRET_HEADERS, SECRET_PARAMS, redact, redact_url, register_secret

REDIRECTS = frozenset({301, 302, 303, 307, 308})
# An error's body is read for its message only.
_ERROR_BODY = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request ready to be sent. `shown` is its URL, redacted."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str]
    content: bytes
    shown: str

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, its body inflated."""

    status: int
    headers: Headers
    body: bytes


def prepare(
    method: str,
    url: str,
    *,
    policy: OutboundPolicy,
    params: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
    json: Any = None,
    form: Mapping[str, Any] | None = None,
) -> Prepared:
    """Build a request; parameters that are None are left out. PermanentError when it cannot be one."""
    _register(policy, url, params, form, headers)
    try:
        target = httpx.URL(url)
        kept = {name: value for name, value in (params or {}).items() if value is not None}
        if kept:
            target = target.copy_merge_params(kept)
        fields = {"User-Agent": policy.user_agent, **(headers or {})}
        fields = {name: value for name, value in fields.items() if name.lower() != "accept-encoding"}
        fields["Accept-Encoding"] = "gzip"
        request = httpx.Request(method, target, headers=fields, json=json, data=form)
        content = request.read()
        sent = {name: value for name, value in request.headers.items() if name != "host"}
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        # UnicodeError is a ValueError; its text would show a header's value, and after a colon stand pieces of the URL.
        reason = "text that is not ASCII" if isinstance(error, UnicodeError) else redact(str(error).partition(":")[0])
    else:
        return checked(Prepared(method=method, url=target, headers=sent, content=content, shown=""), policy=policy)
    raise PermanentError(
        f"{method} {redact_url(url, policy.secret_params)} is not a request that can be sent: {reason}"
    )


def checked(request: Prepared, *, policy: OutboundPolicy) -> Prepared:
    """The request with its URL judged as far as a URL alone can be, and `shown` filled in."""
    shown = redact_url(str(request.url), policy.secret_params)
    if request.url.scheme not in {"http", "https"}:
        raise AddressRefusedError(f"{shown} is refused: only http and https are called")
    if request.url.userinfo:
        raise AddressRefusedError(f"{shown} is refused: a URL must not carry a user name or password; use a header")
    # The resolver is not asked to make sense of what is neither a name nor an address; it wraps ports around.
    host, port = request.url.raw_host.decode("ascii"), request.url.port
    if not (_NAME.fullmatch(host) or ":" in host) or not (port is None or 0 < port < 65536):
        raise AddressRefusedError(f"{shown!r} is refused: it names no host that could exist")
    return replace(request, shown=shown)


def redirected(request: Prepared, answer: Answer, *, policy: OutboundPolicy) -> Prepared:
    """The request a redirect asks for: never with secrets or a body for another origin than the first was meant for."""
    location = answer.headers["location"]
    try:
        target = request.url.join(location)
    except (httpx.InvalidURL, ValueError):
        target = None
    if target is None:
        raise PermanentError(f"{request.shown} redirects to something that is not a URL")
    method, content, headers = request.method, request.content, dict(request.headers)
    if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
        method, content = "GET", b""
        headers = {k: v for k, v in headers.items() if k.lower() not in {"content-type", "content-length"}}
    following = Prepared(method=method, url=target, headers=headers, content=content, shown="")
    if following.origin != request.origin and not _only_upgraded(request.url, target):
        if content:
            raise AddressRefusedError(f"{request.shown} redirects a body to another host, which is refused")
        kept = {k: v for k, v in headers.items() if k.lower() not in SECRET_HEADERS and "key" not in k.lower()}
        following = replace(following, headers=kept)
    return checked(following, policy=policy)


def _only_upgraded(old: httpx.URL, new: httpx.URL) -> bool:
    """The same host on its default ports, from http to https: nothing that may see less than before."""
    return (old.scheme, new.scheme, old.port, new.port) == ("http", "https", None, None) and old.host == new.host


def _register(
    policy: OutboundPolicy,
    url: str,
    params: Mapping[str, Any] | None,
    form: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
) -> None:
    """Remember the secrets of this call, so that an answer or error which repeats them is masked too."""
    secret_names = policy.secret_params | SECRET_PARAMS
    query = parse_qsl(url.partition("?")[2].partition("#")[0])
    for name, value in [*query, *(params or {}).items(), *(form or {}).items()]:
        if isinstance(value, str) and name.lower() in secret_names:
            register_secret(value)
    for name, value in (headers or {}).items():
        if name.lower() in SECRET_HEADERS:
            register_secret(value.partition(" ")[2] if name.lower() == "authorization" and " " in value else value)


@cache
def _tls() -> ssl.SSLContext:
    # Loading the certificates takes tens of milliseconds: once a process. SSL_CERT_FILE and SSL_CERT_DIR are heeded.
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise PermanentError(f"the certificates that SSL_CERT_FILE names cannot be read: {error.strerror}") from None


class _Pool(httpcore.ConnectionPool):
    """httpcore's pool, which reads the trusted certificates when the first https address is called."""

    def create_connection(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        """As the base class. Left without a context, each connection would make one of its own."""
        if self._ssl_context is None and origin.scheme == b"https":
            self._ssl_context = _tls()
        return super().create_connection(origin)


class Wire:
    """A pool of kept-alive HTTP/1.1 connections to checked addresses. Shared by threads."""

    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        allow_private: bool,
        resolve: Resolver | None = None,
        sockets: httpcore.NetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._pool = _Pool(
            ssl_context=tls,
            max_connections=20,
            max_keepalive_connections=10,
            # Shorter than common server idle limits, so that a kept connection is seldom found closed.
            keepalive_expiry=4.0,
            http1=True,
            http2=False,
            retries=0,
            network_backend=GuardedBackend(allow_private=allow_private, resolve=resolve, sockets=sockets),
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def exchange(self, request: Prepared, deadline: Deadline, *, count: Callable[[int], None]) -> Answer:
        """Send and read to the end. TransientError: a repeat may work. PermanentError: it will not.

        `count` is told the body bytes of each piece off the wire, also when the exchange fails.
        """
        token = current_deadline.set(deadline)
        try:
            return self._exchange(request, deadline, count)
        except httpcore.LocalProtocolError as error:
            failure: Exception = PermanentError(f"{request.method} {request.shown} cannot be sent: {_said(error)}")
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            failure = self._transport_failure(request, error)
        except (BodyRefusedError, TransientError) as error:
            error.args = (f"{request.method} {request.shown}: {error}",)
            failure = error
        finally:
            current_deadline.reset(token)
        # Raised outside the handlers: the library's exceptions hold the whole URL and must not become its context.
        raise failure

    def _transport_failure(self, request: Prepared, error: BaseException) -> Exception:
        subject = f"{request.method} {request.shown}"
        if isinstance(_root(error), ssl.SSLCertVerificationError):
            return PermanentError(
                f"{subject}: the server's certificate is not valid: {_said(error)}; if an authority of your own has "
                "issued it, name a file in SSL_CERT_FILE that holds its certificate beside those of the others"
            )
        return TransientError(f"{subject}: {type(error).__name__}: {_said(error)}")

    def _exchange(self, request: Prepared, deadline: Deadline, count: Callable[[int], None]) -> Answer:
        policy = self._policy
        url = request.url
        core = httpcore.Request(
            request.method.encode(),
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[(b"Host", url.netloc), *((k.encode(), v.encode()) for k, v in request.headers.items())],
            content=request.content,
            extensions={
                "timeout": {
                    "connect": policy.connect_timeout,
                    "read": policy.read_timeout,
                    "write": policy.read_timeout,
                    "pool": max(deadline.left(), 0.001),
                }
            },
        )
        response = self._pool.handle_request(core)

        def counted() -> Iterator[bytes]:
            for chunk in response.iter_stream():
                count(len(chunk))
                yield chunk

        try:
            headers = Headers(
                (name.decode("ascii", "replace"), _text(value))
                for name, value in response.headers
                if name.lower() != b"set-cookie"
            )
            body = self._body(response.status, headers, counted())
        finally:
            response.close()
        return Answer(status=response.status, headers=headers, body=body)

    def _body(self, status: int, headers: Headers, chunks: Iterable[bytes]) -> bytes:
        ok = 200 <= status < 300
        try:
            return read_body(
                chunks,
                encoding=headers.get("content-encoding", ""),
                length=headers.get("content-length"),
                max_wire=self._policy.max_wire_bytes if ok else _ERROR_BODY,
                max_body=self._policy.max_body_bytes if ok else _ERROR_BODY,
            )
        except BodyRefusedError:
            if ok:
                raise
            # The status says what to do; a body nobody can read must not hide it.
            return b""


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _said(error: BaseException) -> str:
    # h11 quotes what it could not read as a bytearray, and that may repeat anything that was sent.
    return redact(str(error).partition(": bytearray")[0]) or type(error).__name__


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
