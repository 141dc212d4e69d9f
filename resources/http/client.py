"""The outbound client: every HTTP request of the platform that is not an LLM SDK's goes through here.

Belongs here: what an answer means, and the order of pacing, budget, sending, redirects and retries. How bytes travel is
in `wire.py`, which addresses may be called in `guard.py`, when to repeat in `retry.py`.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from resources.errors import PermanentError, TransientError
from resources.http.cache import MAX_CACHED_BODY, CachedReply, ValidatorCache
from resources.http.errors import BodyError, BudgetSpent, HttpStatusError, NestingError, OutboundFailure
from resources.http.pacing import MemoryBudget, MemoryPacer, Pacer, RequestBudget
from resources.http.policy import OutboundPolicy
from resources.http.reply import Reply
from resources.redaction import holds_credentials, quiet_http_loggers, redact
from resources.settings import reading_settings

if TYPE_CHECKING:
    from httpcore import NetworkBackend

    from resources.http.guard import Deadline, Resolver
    from resources.http.wire import Answer, Prepared

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 5
RETRIED_STATUSES = frozenset({408, 425, 429})
"""Besides every status from 500 on."""

_process_pacer = MemoryPacer()
_process_budget = MemoryBudget()


class OutboundSettings(BaseSettings):
    """Settings of all outbound calls."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True)

    # In full, so that an error names the variable.
    allow_private_addresses: bool = Field(default=False, validation_alias="INGESTION_ALLOW_PRIVATE_ADDRESSES")
    """Let URLs of sources reach loopback and private networks, for servers of one's own."""


@dataclass(slots=True)
class OutboundStats:
    """What a client did so far. Safe to read at any time; sums over all threads."""

    requests: int = 0
    """Requests on the wire, retries and redirects included."""
    retries: int = 0
    redirects: int = 0
    waited_seconds: float = 0.0
    """Time spent in pacing and before retries."""
    wire_bytes: int = 0
    body_bytes: int = 0
    not_modified: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    transport_errors: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, *, status: int | None = None, **amounts: float) -> None:
        """Add to counters by name."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)
            if status is not None:
                self.by_status[status] += 1

    def as_metadata(self) -> dict[str, Any]:
        """The counters as plain values, statuses as text keys."""
        with self._lock:
            return {
                "requests": self.requests,
                "retries": self.retries,
                "redirects": self.redirects,
                "waited_seconds": round(self.waited_seconds, 3),
                "wire_bytes": self.wire_bytes,
                "body_bytes": self.body_bytes,
                "not_modified": self.not_modified,
                "transport_errors": self.transport_errors,
                "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What one call asked for, beside the request itself."""

    conditional: bool
    inspect: Callable[[Reply], None] | None
    expect_json: bool
    deadline: Deadline


class OutboundClient:
    """One service's HTTP client. Use it as a context manager; threads may share it.

    Both methods may be repeated: they are for reading, also where a service reads by POST (GraphQL, search).
    Errors are those of `resources/http/errors.py`, plus whatever `inspect` raises.
    """

    def __init__(
        self,
        policy: OutboundPolicy,
        *,
        cache: ValidatorCache | None = None,
        budget: RequestBudget | None = None,
        allow_private: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
        pacer: Pacer | None = None,
        resolve: Resolver | None = None,
        sockets: NetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Build a client for `policy`.

        `allow_private=None` reads INGESTION_ALLOW_PRIVATE_ADDRESSES. Pacer and budget default to those that all
        clients of the process share; with a `clock` of one's own, to fresh ones (give `clock` and `sleep` together).
        `resolve`, `sockets` and `tls` replace the system's resolver, connections and trusted certificates.
        """
        from resources.http.wire import Wire

        quiet_http_loggers()
        own_clock = clock is not time.monotonic
        self.policy = policy
        self.stats = OutboundStats()
        self._cache = cache
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._pacer: Pacer = pacer or (MemoryPacer(clock) if own_clock else _process_pacer)
        self._budget: RequestBudget = budget or (MemoryBudget(clock) if own_clock else _process_budget)
        if allow_private is None:
            with reading_settings():
                allow_private = OutboundSettings().allow_private_addresses
        self._wire = Wire(policy, allow_private=allow_private, resolve=resolve, sockets=sockets, tls=tls)

    def __repr__(self) -> str:
        return f"OutboundClient({self.policy.name!r}, requests={self.stats.requests})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        conditional: bool = False,
        inspect: Callable[[Reply], None] | None = None,
        expect_json: bool = False,
    ) -> Reply:
        """The answer to a GET, complete and with a 2xx status.

        `params` join those in the URL; None values are left out. `conditional` sends the cached validators and turns a
        304 into the cached body. `inspect` sees every final answer before its status is judged and may raise
        TransientError (the client waits at least `retry_after`, and what the Retry-After field says, and repeats), or
        PermanentError or OutboundFailure (passed on at once); a BodyError of `reply.json()` may be left to the client.
        `expect_json` treats HTML and broken JSON as a fault worth repeating.
        """
        call = self._begin(conditional=conditional, inspect=inspect, expect_json=expect_json)
        return self._finish(self._prepare("GET", url, call, params=params, headers=headers), call)

    def post(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        inspect: Callable[[Reply], None] | None = None,
        expect_json: bool = False,
    ) -> Reply:
        """The answer to a POST of `json` or `form`; otherwise as `get`. Repeated like a GET, so only for reading."""
        call = self._begin(conditional=False, inspect=inspect, expect_json=expect_json)
        request = self._prepare("POST", url, call, params=params, headers=headers, json=json, form=form)
        return self._finish(request, call)

    def _begin(self, *, conditional: bool, inspect: Callable[[Reply], None] | None, expect_json: bool) -> _Call:
        from resources.http.guard import Deadline

        deadline = Deadline(self.policy.total_timeout, self._clock)
        return _Call(conditional=conditional, inspect=inspect, expect_json=expect_json, deadline=deadline)

    def _prepare(
        self, method: str, url: str, call: _Call, *, headers: Mapping[str, str] | None, **parts: Any
    ) -> Prepared:
        from resources.http.wire import prepare

        accept = "application/json, */*;q=0.5" if call.expect_json else "*/*"
        names = {name.lower() for name in headers or {}}
        fields = {**({} if "accept" in names else {"Accept": accept}), **(headers or {})}
        return prepare(method, url, policy=self.policy, headers=fields, **parts)

    def _finish(self, request: Prepared, call: _Call) -> Reply:
        from resources.http.retry import call_with_retries

        tries = 0

        def attempt() -> Reply:
            nonlocal tries
            tries += 1
            self.stats.add(retries=int(tries > 1))
            return self._attempt(request, call)

        outcome = call_with_retries(
            attempt, attempts=self.policy.attempts, time_left=call.deadline.left, sleep=self._wait
        )
        if isinstance(outcome, Reply):
            return outcome
        reason = f"given up after {tries} of {self.policy.attempts} attempts"
        if outcome.retry_after is not None:
            reason += f"; the service asked to wait {outcome.retry_after:.0f} s"
        raise OutboundFailure(
            f"{outcome} ({reason})", retry_after=outcome.retry_after, reply=getattr(outcome, "reply", None)
        ) from outcome

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.stats.add(waited_seconds=seconds)
            self._sleep(seconds)

    def _attempt(self, request: Prepared, call: _Call) -> Reply:
        """One try, its redirects followed."""
        from resources.http.wire import REDIRECTS, redirected

        for _ in range(MAX_REDIRECTS + 1):
            key, cached = self._validators(request) if call.conditional else ("", None)
            answer = self._send(request, cached, call.deadline)
            if answer.status in REDIRECTS and "location" in answer.headers:
                request = redirected(request, answer, policy=self.policy)
                self.stats.add(redirects=1)
                continue
            reply = self._reply(request, answer, cached)
            self._judge(request, reply, call)
            if call.conditional and not reply.from_cache:
                self._remember(key, reply)
            return reply
        raise PermanentError(f"{request.shown}: more than {MAX_REDIRECTS} redirects")

    def _send(self, request: Prepared, cached: CachedReply | None, deadline: Deadline) -> Answer:
        """Pace, spend, send, count."""
        rate = self.policy.requests_per_second
        wait = self._pacer.reserve(
            self._pace_key(request), interval=1 / rate if rate else 0.0, max_wait=max(deadline.left(), 0.0)
        )
        if wait >= deadline.left():
            raise OutboundFailure(f"{request.shown}: not sent, the next turn is {wait:.0f} s away", retry_after=wait)
        self._wait(wait)
        spent = self._budget.spend(
            self.policy.name, per_hour=self.policy.requests_per_hour, per_day=self.policy.requests_per_day
        )
        if spent is not None:
            raise BudgetSpent(
                f"{request.shown}: not sent, the request budget of {self.policy.name!r} is spent for {spent:.0f} s",
                retry_after=spent,
            )
        self.stats.add(requests=1)
        try:
            answer = self._wire.exchange(
                _with_validators(request, cached), deadline, count=lambda size: self.stats.add(wire_bytes=size)
            )
        except TransientError:
            self.stats.add(transport_errors=1)
            raise
        self.stats.add(status=answer.status, body_bytes=len(answer.body))
        return answer

    def _pace_key(self, request: Prepared) -> str:
        return f"{self.policy.name} {request.origin}"

    def _reply(self, request: Prepared, answer: Answer, cached: CachedReply | None) -> Reply:
        if answer.status != 304 or cached is None:
            return Reply(status=answer.status, headers=answer.headers, url=request.shown, body=answer.body)
        self.stats.add(not_modified=1)
        headers = dict(answer.headers)
        if cached.content_type:
            headers["content-type"] = cached.content_type
        return Reply(status=200, headers=headers, url=request.shown, body=cached.body, from_cache=True)

    def _judge(self, request: Prepared, reply: Reply, call: _Call) -> None:
        """Raise unless the reply is what the caller wants."""
        from resources.http.retry import named_wait

        failure: TransientError | PermanentError | None = None
        unreadable: BodyError | None = None
        try:
            if call.inspect is not None:
                call.inspect(reply)
        except BodyError as error:
            # It looked for JSON and found none. The status, or `expect_json`, may know better what that means.
            unreadable = error
        except (TransientError, PermanentError) as error:
            # A service may repeat the key in its message, and the caller may have quoted it.
            error.args = tuple(redact(part) if isinstance(part, str) else part for part in error.args)
            failure = error
        if failure is None:
            failure = self._default_judgement(request, reply, expect_json=call.expect_json) or unreadable
        if failure is None:
            return
        if isinstance(failure, TransientError):
            # Whoever inspects knows the body's ways to say it, and not the header's: the later of the two is kept.
            named = (failure.retry_after, named_wait(reply.headers, now=self._wall_clock()))
            failure.retry_after = max((wait for wait in named if wait is not None), default=None)
            if failure.retry_after is not None:
                self._pacer.hold(self._pace_key(request), failure.retry_after)
            failure.reply = reply  # type: ignore[attr-defined]
        raise failure

    def _default_judgement(
        self, request: Prepared, reply: Reply, *, expect_json: bool
    ) -> TransientError | PermanentError | None:
        subject = f"{request.method} {request.shown}"
        if reply.status in RETRIED_STATUSES or reply.status >= 500:
            return TransientError(f"{subject} answered {reply.status}{_excerpt(reply)}")
        if not 200 <= reply.status < 300:
            return HttpStatusError(
                f"{subject} answered {reply.status}{_excerpt(reply)}", status=reply.status, reply=reply
            )
        if expect_json:
            if reply.content_type in {"text/html", "application/xhtml+xml"} or reply.body[:64].lstrip().startswith(
                b"<"
            ):
                return TransientError(f"{subject} answered with a page instead of JSON{_excerpt(reply)}")
            try:
                reply.json()
            except NestingError as error:
                return error
            except BodyError as error:
                return TransientError(str(error))
        return None

    def _validators(self, request: Prepared) -> tuple[str, CachedReply | None]:
        parts = [self.policy.name, request.method, str(request.url), *map(str, sorted(request.headers.items()))]
        key = sha256("\n".join(parts).encode()).hexdigest()
        return key, self._cache.get(key) if self._cache is not None else None

    def _remember(self, key: str, reply: Reply) -> None:
        etag, last_modified = reply.headers.get("etag"), reply.headers.get("last-modified")
        control = reply.headers.get("cache-control", "").lower()
        if self._cache is None or reply.status != 200 or not (etag or last_modified) or "no-store" in control:
            return
        if len(reply.body) <= MAX_CACHED_BODY and not holds_credentials(reply.body):
            stored_at = datetime.fromtimestamp(self._wall_clock(), UTC)
            content_type = reply.headers.get("content-type")
            self._cache.put(key, CachedReply(etag, last_modified, reply.body, content_type, stored_at))


def _with_validators(request: Prepared, cached: CachedReply | None) -> Prepared:
    if cached is None:
        return request
    headers = dict(request.headers)
    if cached.etag:
        headers["If-None-Match"] = cached.etag
    if cached.last_modified:
        headers["If-Modified-Since"] = cached.last_modified
    return replace(request, headers=headers)


def _excerpt(reply: Reply) -> str:
    text = " ".join(reply.body[:4096].decode("utf-8", "replace").split())
    return f": {redact(text)[:200]}" if text else ""
