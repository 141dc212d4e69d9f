"""A guard in front of Dagster's webserver, which has none: it executes mutations for whoever reaches it.

What passes: requests under a name that we answer to, with an administrator's token or session; mutations only as POST with
`application/json` from this origin, subscriptions over a websocket of this origin. So a page elsewhere can neither read nor
change anything through a browser that is signed in. The webserver itself stays on loopback.

    python -m api.dagster_proxy
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import psycopg
import uvicorn
from fastapi import FastAPI, Request, WebSocket, status
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from psycopg import Connection
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection

from api import problems
from api.__main__ import end_on_signals, listening
from api.auth import came_by_tls, is_own_origin
from api.dagster_sockets import pass_on
from api.database import ApiDatabase
from api.problems import Problem, as_problem, not_found, too_large, unavailable
from api.settings import ApiSettings
from ingestion_assets.ledger.tokens import Principal, authenticate, open_session, session_principal
from ingestion_assets.logs import setup_logging
from ingestion_assets.program import program
from resources.postgres.database import Database
from resources.postgres.platform import open_databases

log = logging.getLogger(__name__)

COOKIE = "ingestion_dagster"
SIGN_IN = "/.ingestion/sign-in"
_READ_ONLY = frozenset({"GET", "HEAD"})
_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "host", "content-length", "authorization", "cookie", "origin", "forwarded", "accept-encoding",
    }
)  # fmt: skip
_READ_TWO_WAYS = re.compile(r"^(?!/)|^//|/\.\.?(?=/|\Z)|[\x00-\x1f\x7f?#\\]")
"""In a decoded path: what another program may resolve, cut off or drop."""
_GRAPHQL = re.compile(r"/graphql/?")
_POSTS = re.compile(r"/graphql/?|/report_asset_(materialization|check|observation)/?.*")
_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in – Dagster</title><style>:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 28rem; margin: 2rem auto; padding: 0 1rem } input { width: 100%%; box-sizing: border-box }
input, button { font: inherit; padding: .6rem }</style><h1>Sign in to Dagster</h1>%s
<form method="post"><p><label>Token with the role admin
<input type="password" name="token" required autocomplete="current-password"></label></p>
<p><code>ingest users add NAME --admin</code> makes one.</p><button>Sign in</button></form>"""
_REFUSED = '<p role="alert">This is no valid token with the role admin.</p>'


def create_proxy(database: Database, settings: ApiSettings | None = None) -> FastAPI:
    """The proxy in front of INGESTION_DAGSTER_URL. Users are those of the service."""
    settings = settings or ApiSettings()
    pool = ApiDatabase(database.url, settings)
    hosts = {host.lower() for host in settings.allowed_hosts}
    upstream: dict[str, httpx.AsyncClient] = {}
    base = httpx.URL(settings.dagster_url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        timeout = httpx.Timeout(120, connect=3)
        async with pool.opened(), httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            upstream["client"] = client
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    problems.install(app)

    @app.api_route(SIGN_IN, methods=["GET", "POST"])
    async def sign_in(request: Request) -> Response:
        check_host(request, hosts)
        if request.method == "GET":
            return _form()
        check_origin(request)
        body = await _body(request, settings.body_bytes)
        token = httpx.QueryParams(body.decode("utf-8", "replace")).get("token", "").strip()
        cookie = await pool.run(lambda c: _open(c, token, settings))
        if cookie is None:
            return _form(_REFUSED, status=403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=came_by_tls(request), path="/")
        return _secured(answer)

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def forward(request: Request) -> Response:
        check_host(request, hosts)
        principal = await pool.run(lambda c: _principal(c, request))
        if principal is None or not principal.is_admin:
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return _secured(RedirectResponse(SIGN_IN, 303))
            raise Problem(401, headers={"WWW-Authenticate": 'Bearer realm="dagster"'})
        check_request(request)
        body = await _body(request, settings.body_bytes)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        outgoing = upstream["client"].build_request(
            request.method, _address(base, request), headers=headers, content=body or None
        )
        outgoing.headers["Accept-Encoding"] = "identity"
        try:
            reply = await upstream["client"].send(outgoing, stream=True)
        except httpx.HTTPError:
            raise unavailable("Dagster's webserver does not answer.") from None
        kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP}
        kept.pop("set-cookie", None)
        answer = StreamingResponse(
            reply.aiter_raw(), reply.status_code, headers=kept, background=BackgroundTask(reply.aclose)
        )
        return _secured(answer)

    @app.websocket("/{path:path}")
    async def subscribe(websocket: WebSocket) -> None:
        await _subscribe(websocket, pool, hosts, settings)

    return app


async def _subscribe(websocket: WebSocket, pool: ApiDatabase, hosts: set[str], settings: ApiSettings) -> None:
    async def allowed() -> bool:
        principal = await pool.run(lambda c: _principal(c, websocket))
        return principal is not None and principal.is_admin

    try:
        check_host(websocket, hosts)
        path = check_subscription(websocket)
        refusal = None if await allowed() else "not-signed-in"
    except (Problem, psycopg.Error) as error:
        refusal = as_problem(error).name
    if refusal is not None:
        log.info("a websocket was refused: %s", refusal)
        # Before it is accepted: the browser gets a plain 403, and no socket.
        await websocket.close(status.WS_1008_POLICY_VIOLATION)
        return
    await pass_on(websocket, settings.dagster_url, path, still_allowed=allowed, largest=settings.body_bytes)


def check_host(request: HTTPConnection, hosts: set[str]) -> None:
    """Refuse a name that is not ours: a page elsewhere may let its own name lead here. Raises `Problem` 421."""
    host = request.headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in hosts:
        raise Problem(421, name="wrong-host")


def path_of(request: HTTPConnection) -> str:
    """The path that the webserver will see, decoded once as it decodes it. Raises `Problem` 400.

    What is judged has to be what is executed: a path that the client library behind us, or the webserver, would read as
    another one is refused, and every other is passed on letter by letter.
    """
    raw = request.scope["raw_path"].decode("latin-1")
    path = unquote(raw)
    if "%2f" in raw.lower() or _READ_TWO_WAYS.search(path):
        raise Problem(400, "This address can be read in two ways.")
    return path


def check_subscription(websocket: WebSocket) -> str:
    """What may be subscribed to, from where; its path. Raises `Problem` 400, 403 or 404."""
    path = path_of(websocket)
    if not _GRAPHQL.fullmatch(path):
        raise not_found()
    if websocket.scope["query_string"]:
        raise Problem(403, "Nothing but the messages say what to do.", name="cross-site")
    check_origin(websocket)
    return path


def check_origin(request: HTTPConnection) -> None:
    """Refuse what another site made a browser send. Programs send neither header, and have a token. `Problem` 403."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    foreign = origin is not None and not is_own_origin(request)
    by_cookie = not request.headers.get("authorization")
    if foreign or site not in {None, "same-origin", "none"} or (by_cookie and origin is None):
        raise Problem(403, name="cross-site")


def check_request(request: Request) -> None:
    """What may be asked of the webserver. Raises `Problem` 400, 403, 405 or 415."""
    path, query = path_of(request), request.scope["query_string"]
    if request.method in _READ_ONLY:
        if _GRAPHQL.fullmatch(path) and query:
            # The webserver executes a query in the address, mutations too; its own pages post.
            raise Problem(405, "GraphQL is answered to POST only.", headers={"Allow": "POST"})
        if path.startswith("/report_asset"):
            raise Problem(405, headers={"Allow": "POST"})
        return
    if request.method != "POST" or not _POSTS.fullmatch(path):
        raise Problem(405)
    check_origin(request)
    if query:
        raise Problem(403, "Nothing but the body says what to do.", name="cross-site")
    # Exactly this: `text/plain; application/json` is text to a browser, which sends it without asking.
    kind = request.headers.get("content-type", "").lower().replace(" ", "")
    if kind not in {"application/json", "application/json;charset=utf-8"}:
        raise Problem(415, "Send application/json.")


def _address(base: httpx.URL, request: Request) -> httpx.URL:
    """The asked path and query below `base`, as they came: parsed again, `//x/graphql` would be the host x."""
    query = request.scope["query_string"]
    target: bytes = base.raw_path.rstrip(b"/") + request.scope["raw_path"] + (b"?" + query if query else b"")
    return base.copy_with(raw_path=target)


async def _body(request: Request, cap: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > cap:
            raise too_large(cap)
        parts.append(part)
    return b"".join(parts)


def _principal(connection: Connection[Any], request: HTTPConnection) -> Principal | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return authenticate(connection, token.strip())
    cookie = request.cookies.get(COOKIE)
    return session_principal(connection, cookie) if cookie else None


def _open(connection: Connection[Any], token: str, settings: ApiSettings) -> str | None:
    principal = authenticate(connection, token)
    if principal is None or not principal.is_admin:
        return None
    return open_session(connection, principal, lifetime=timedelta(hours=settings.session_hours))


def _form(said: str = "", *, status: int = 200) -> Response:
    return _secured(Response(_FORM % said, status, media_type="text/html", headers={"Cache-Control": "no-store"}))


def _secured(answer: Response) -> Response:
    # The webserver's pages need their own scripts; what they must not be is framed or guessed at.
    answer.headers["X-Frame-Options"] = "DENY"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if "content-security-policy" not in answer.headers:
        answer.headers["Content-Security-Policy"] = "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
    return answer


def main() -> None:
    """Serve on INGESTION_API_HOST and INGESTION_DAGSTER_PROXY_PORT until it is stopped."""
    setup_logging()
    end_on_signals()
    settings = ApiSettings()
    with open_databases() as databases:
        uvicorn.run(
            create_proxy(databases.database, settings),
            **listening(settings),
            port=settings.dagster_proxy_port,
            ws_max_size=settings.body_bytes,
        )


if __name__ == "__main__":
    with program("dagster_proxy"):
        main()
