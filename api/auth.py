"""Who is calling, and whether they may call that often. One transaction before each endpoint's own.

Applications send a bearer token. The administration page has a session cookie, which only its own routes read: a page
elsewhere that makes a browser send it reaches nothing but those, and they look where the request comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from psycopg import Connection
from starlette.requests import HTTPConnection

from api.problems import Problem
from api.rates import take_request
from api.state import service
from ingestion_assets.ledger.tokens import Principal, authenticate, session_principal

COOKIE = "ingestion_session"
_bearer = HTTPBearer(auto_error=False, description="A token of `ingest users add`.")


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def _identify(request: Request, found: Callable[[Connection[Any]], Principal | None] | None) -> Principal | None:
    state = service(request)
    address = f"address:{request.client.host if request.client else 'unknown'}"

    def look(connection: Connection[Any]) -> tuple[Principal | None, float | None]:
        principal = found(connection) if found else None
        subject = f"user:{principal.user_id}" if principal else address
        wait = take_request(
            connection, subject, per_second=state.settings.requests_per_second, burst=state.settings.request_burst
        )
        return principal, wait

    principal, wait = await state.database.run(look)
    if wait is not None:
        raise Problem(
            429,
            f"{state.settings.requests_per_second:g} requests a second are allowed on average.",
            headers={"Retry-After": str(max(1, round(wait + 0.5)))},
        )
    return principal


async def _user(request: Request, _scheme: Annotated[Any, Security(_bearer)] = None) -> Principal:
    token = _token(request)
    principal = await _identify(request, (lambda c: authenticate(c, token)) if token else None)
    if principal is None:
        raise Problem(
            401,
            "Send Authorization: Bearer ing_…",
            headers={"WWW-Authenticate": 'Bearer realm="ingestion"'},
        )
    return principal


async def _admin(principal: Annotated[Principal, Depends(_user)]) -> Principal:
    if not principal.is_admin:
        raise Problem(403, "This needs a token with the role admin.")
    return principal


async def _reader(request: Request, _scheme: Annotated[Any, Security(_bearer)] = None) -> Principal | None:
    token = _token(request)
    if token is None and service(request).settings.public_events:
        return await _identify(request, None)
    return await _user(request)


User = Annotated[Principal, Depends(_user)]
Admin = Annotated[Principal, Depends(_admin)]
Reader = Annotated[Principal | None, Depends(_reader)]


async def count_anonymous(request: Request) -> None:
    """Count a request without a token against its address. Raises `Problem` 429."""
    await _identify(request, None)


async def browser_admin(request: Request) -> Principal | None:
    """The administrator whose browser is signed in; None when nobody is."""
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return None
    principal = await _identify(request, lambda connection: session_principal(connection, cookie))
    return principal if principal is not None and principal.is_admin else None


def same_origin(request: Request) -> None:
    """Refuse what another site made the browser send. Raises `Problem` 403.

    `SameSite=Strict` keeps the cookie from other sites already; but ports of one host are one site to a browser.
    """
    if request.headers.get("sec-fetch-site") not in {None, "same-origin"} or not is_own_origin(request):
        raise Problem(403, name="cross-site")


def is_own_origin(request: HTTPConnection) -> bool:
    """Whether the page that asks is of the host and port that are asked.

    A proxy may end TLS without telling us, so a page that came by https is ours also where we see http. The reverse is
    not: anybody on the way could have made a page that came by http.
    """
    scheme, _, place = request.headers.get("origin", "").lower().partition("://")
    schemes = {"https"} if request.url.is_secure else {"http", "https"}
    return scheme in schemes and place == request.headers.get("host", "").lower()


def came_by_tls(request: HTTPConnection) -> bool:
    """As far as proxies tell, or as the browser does with its form."""
    return request.url.is_secure or request.headers.get("origin", "").startswith("https:")
