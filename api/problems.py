"""Errors as RFC 9457 problem details: one shape for everything that goes wrong, whoever noticed it.

Belongs here: the shape, the exception that carries it, and how other exceptions become one. No message of the database
or of Python reaches a client: they may hold what is not theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from resources.errors import PermanentError, TransientError
from resources.redaction import redact

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 5
"""Seconds to wait for a database or a queue that is away for a moment."""
TITLES = {
    "not-signed-in": "A valid bearer token is needed",
    "forbidden": "Your role does not allow this",
    "not-found": "There is no such thing, or it is not yours",
    "method-not-allowed": "This address does not take that method",
    "too-large": "The body is too large",
    "unsupported-media-type": "This kind of body is not read here",
    "invalid-request": "The request does not fit the documentation",
    "rate-limited": "Too many requests",
    "quota-exceeded": "Your quota is used up",
    "unavailable": "Not available for the moment",
    "internal-error": "Something went wrong on our side",
    "conflict": "This does not fit the present state",
    "key-in-use": "The first request with this key is still under way",
    "key-reused": "This key was used for a different request",
    "wrong-host": "This service is not called by that name",
    "cross-site": "Requests from other sites are refused",
}
_BY_STATUS = {
    400: "invalid-request",
    401: "not-signed-in",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-request",
    429: "rate-limited",
    503: "unavailable",
}


class ProblemDetails(BaseModel):
    """RFC 9457. `type` is stable and meant for programs, `detail` for people; some types carry further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["/problems/not-found"])
    title: str = Field(examples=["There is no such thing, or it is not yours"])
    status: int = Field(examples=[404])
    detail: str | None = None
    instance: str | None = Field(default=None, description="Id of the request, as in X-Request-ID.")


class Problem(Exception):  # noqa: N818 - the name of the thing in RFC 9457
    """An answer that is not what was asked for. `name` is the last part of its type."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail or name or str(status))
        self.status = status
        self.name = name or _BY_STATUS.get(status, "internal-error" if status >= 500 else "invalid-request")
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def content(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem as JSON."""
        return {
            "type": f"/problems/{self.name}",
            "title": TITLES.get(self.name, HTTPStatus(self.status).phrase),
            "status": self.status,
            **({"detail": self.detail} if self.detail else {}),
            **({"instance": f"urn:request:{request_id}"} if request_id else {}),
            **self.members,
        }

    def response(self, request_id: str | None = None) -> Response:
        """The answer on the wire."""
        return JSONResponse(self.content(request_id), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def not_found() -> Problem:
    """The same words whether a thing does not exist or is somebody else's."""
    return Problem(404)


def too_large(cap: int) -> Problem:
    """413 that names the bound in bytes.

    The connection stays open, and the server throws the rest of the body away: closed while a client is sending, it would
    be reset, and most clients never see an answer that was reset.
    """
    return Problem(413, f"At most {cap} bytes are read here.", max_bytes=cap)


def unavailable(detail: str, *, seconds: float = RETRY_AFTER) -> Problem:
    """503 with the time after which to try again."""
    return Problem(503, detail, headers={"Retry-After": str(max(1, round(seconds)))})


def install(app: FastAPI) -> None:
    """Answer every exception as a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            error.headers = {"Allow": _allowed(app, request.url.path)}
        return as_problem(error).response(getattr(request.state, "request_id", None))

    for kind in (
        Problem,
        HTTPException,
        RequestValidationError,
        psycopg.Error,
        PoolTimeout,
        PoolClosed,
        TooManyRequests,
        PermanentError,
        TransientError,
        UnicodeEncodeError,
    ):
        app.add_exception_handler(kind, problem)
    app.add_exception_handler(ClientDisconnect, _gone)


async def _gone(_: Request, _error: Exception) -> Response:
    """Nobody reads this answer. That a client went is its own affair, and no error of ours to look into."""
    log.info("a client went before its request was whole")
    return Response(status_code=400)


def _allowed(app: FastAPI, path: str) -> str:
    """The methods of an address, which several routes may share: the router names those of the first one."""
    routes = (route for route in iter_route_contexts(app.routes) if route.path_regex.match(path))
    methods = {method for route in routes for method in route.methods or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def as_problem(error: Exception) -> Problem:
    """What a client is told about an exception. What it is not told is logged."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return invalid([{**one, "loc": one["loc"][1:]} for one in error.errors()])
        case HTTPException():
            detail = error.detail if isinstance(error.detail, str) and error.status_code < 500 else None
            if detail in {HTTPStatus(error.status_code).phrase, "Not Found"}:
                detail = None
            return Problem(error.status_code, detail, headers=error.headers)
        case psycopg.errors.QueryCanceled():
            return unavailable("The query took too long. Narrow it down, or try again later.")
        case psycopg.OperationalError() | psycopg.InterfaceError() | PoolTimeout() | PoolClosed() | TooManyRequests():
            log.warning("database not available: %s", redact(type(error).__name__))
            return unavailable("The database does not answer. Try again in a moment; nothing was lost.")
        case psycopg.DataError() | UnicodeEncodeError():
            # Text that is valid JSON and that PostgreSQL cannot keep: NUL, half of a surrogate pair, year 300000.
            log.info("unstorable value: %s", type(error).__name__)
            return Problem(422, "A value holds characters or a number that cannot be stored.")
        case TransientError():
            return unavailable(redact(str(error)), seconds=getattr(error, "retry_after", None) or RETRY_AFTER)
        case PermanentError():
            return Problem(422, redact(str(error)))
        case _:
            log.error("unexpected error", exc_info=error)
            return Problem(500, "The error was logged under the id in X-Request-ID.")


def invalid(errors: Sequence[Any], *, below: str = "") -> Problem:
    """422 for what pydantic says. Without the values: they may be secrets, or megabytes."""
    fields = [
        {
            "field": ".".join(str(part) for part in ((below, *error["loc"]) if below else error["loc"]))[:200],
            "message": _message(error)[:300],
        }
        for error in errors[:20]
    ]
    return Problem(422, "; ".join(f"{one['field'] or 'body'}: {one['message']}" for one in fields[:5]), errors=fields)


def _message(error: Any) -> str:
    """Of text that a validator of ours has seen pydantic does not know that it is text, and counts items."""
    if error["type"] == "too_long" and error["ctx"]["field_type"] == "Value":
        return f"should have at most {error['ctx']['max_length']} characters"
    return str(error["msg"])
