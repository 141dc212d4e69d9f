"""`/admin/ingestion`: the administration as a page, made here and kept up to date by server-sent events.

A browser signs in with a token and gets a session cookie, which these routes alone read. Every form carries a token made
from the session, and a mutation must come from this origin: two guards that do not depend on each other.
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path as FilePath
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from psycopg import Connection

from api.auth import COOKIE, browser_admin, came_by_tls, count_anonymous, same_origin
from api.chart import SERIES, chart
from api.overview import read_overview
from api.problems import Problem, not_found
from api.routes.admin import clean_stuck, launch
from api.sse import EventStream, Message, follow
from api.state import service
from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings
from ingestion_assets.ledger import tokens
from ingestion_assets.ledger.tokens import Principal

router = APIRouter(prefix="/admin", include_in_schema=False)
_HERE = FilePath(__file__).resolve().parent.parent
_STATIC = {"admin.js": "text/javascript", "admin.css": "text/css"}
LOOK_SECONDS = 2.0
"""Imports say nothing by NOTIFY, so the page looks for itself; a look is ten small queries."""


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    # Coarse on purpose: what changes every second would be sent every second.
    return "just now"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    whole = round(value)
    return f"{value:.1f} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


_pages = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
)
_pages.filters.update(ago=_ago, seconds=_seconds)


def _csrf(cookie: str) -> str:
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def _html(name: str, **context: Any) -> Response:
    return Response(_pages.get_template(name).render(**context), media_type="text/html; charset=utf-8")


def _render(report: dict[str, Any], csrf: str) -> str:
    return _pages.get_template("overview.html").render(**report, csrf=csrf, chart=chart(report["days"]), series=SERIES)


async def _signed_in(request: Request) -> Principal:
    principal = await browser_admin(request)
    if principal is None:
        raise Problem(401, "Sign in at /admin/sign-in.")
    return principal


async def _mutation(request: Request) -> tuple[Principal, dict[str, str]]:
    """Who asks, and the form. Raises `Problem` 401 or 403 before anything is done."""
    same_origin(request)
    principal = await _signed_in(request)
    form = {name: value for name, value in (await request.form()).multi_items() if isinstance(value, str)}
    if not hmac.compare_digest(form.get("csrf", "").encode(), _csrf(request.cookies[COOKIE]).encode()):
        raise Problem(403, "The page is from an older session. Load it again.", name="cross-site")
    return principal, form


@router.get("/ingestion")
async def page(request: Request) -> Response:
    """The page, or the way to sign in."""
    if await browser_admin(request) is None:
        return RedirectResponse("/admin/sign-in", 303)
    csrf = _csrf(request.cookies[COOKIE])
    report = await service(request).database.run(read_overview)
    return _html("page.html", content=_render(report, csrf), csrf=csrf)


@router.get("/sign-in")
async def sign_in_form() -> Response:
    """The form. The token goes into the body of a request, never into an address."""
    return _html("sign_in.html", error=None)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Exchange a token with the role admin for a session."""
    same_origin(request)
    state = service(request)
    token = str((await request.form()).get("token", "")).strip()
    hours = timedelta(hours=state.settings.session_hours)

    def open_session(connection: Connection[Any]) -> str | None:
        principal = tokens.authenticate(connection, token)
        if principal is None or not principal.is_admin:
            return None
        return tokens.open_session(connection, principal, lifetime=hours)

    # Counted by address like every call without a token, which is what bounds guessing.
    await count_anonymous(request)
    cookie = await state.database.run(open_session)
    if cookie is None:
        reply = _html("sign_in.html", error="This is no valid token with the role admin.")
        reply.status_code = 403
        return reply
    answer = RedirectResponse("/admin/ingestion", 303)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=int(hours.total_seconds()),
        path="/admin",
        httponly=True,
        samesite="strict",
        secure=came_by_tls(request),
    )
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session."""
    await _mutation(request)
    await service(request).database.run(lambda c: tokens.close_session(c, request.cookies[COOKIE]))
    answer = RedirectResponse("/admin/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/admin")
    return answer


@router.post("/ingest-all")
async def ingest_all(request: Request) -> Response:
    """The button for all sources that are on."""
    principal, _ = await _mutation(request)
    await launch(service(request), principal, [name for name in SOURCE_NAMES if not missing_settings(name)], None)
    return RedirectResponse("/admin/ingestion", 303)


@router.post("/ingest/{source}")
async def ingest(request: Request, source: Annotated[str, Path(max_length=100)]) -> Response:
    """The button of one source."""
    principal, _ = await _mutation(request)
    await launch(service(request), principal, [source], None)
    return RedirectResponse("/admin/ingestion", 303)


@router.post("/clean-stuck")
async def clean(request: Request) -> Response:
    """The button that closes what is stuck."""
    await _mutation(request)
    await clean_stuck(service(request))
    return RedirectResponse("/admin/ingestion", 303)


@router.get("/live")
async def live(request: Request) -> Response:
    """The page's content again whenever it is another one."""
    principal = await _signed_in(request)
    state = service(request)
    csrf = _csrf(request.cookies[COOKIE])
    cookie = request.cookies[COOKIE]
    place = ExitStack()
    place.enter_context(state.hub.stream(principal.user_id))
    woken = place.enter_context(state.hub.waiting_for("async_jobs", ""))
    shown = ""

    def read(connection: Connection[Any]) -> list[Message]:
        nonlocal shown
        if tokens.session_principal(connection, cookie) is None:
            return [Message("signed-out", None, last=True)]
        content = _render(read_overview(connection), csrf)
        if content == shown:
            return []
        shown = content
        return [Message("overview", content)]

    content = follow(
        state.hub,
        state.database,
        woken,
        read,
        keep_alive=state.settings.keep_alive_seconds,
        look_every=LOOK_SECONDS,
    )
    return EventStream(content, place=place)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """The script and the style sheet."""
    if name not in _STATIC:
        raise not_found()
    return FileResponse(_HERE / "static" / name, media_type=_STATIC[name], headers={"Cache-Control": "no-cache"})
