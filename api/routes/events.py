"""`/events` and the feeds: canonical events for applications."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import anyio
import orjson
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from api import feeds
from api.auth import Reader
from api.documentation import problems
from api.event_queries import EventFilter, list_events, read_event
from api.models import EventList, EventOut, Text
from api.problems import Problem, not_found, unavailable
from api.state import service
from ingestion_assets.settings import AssetSettings

router = APIRouter(tags=["events"])
_FEED_DAYS = 60
FEED_EVENTS = 5000
"""Of a calendar or a JSON feed: some 15 MB, and a second and a half to make the calendar."""
RSS_EVENTS = 500
"""Readers show the list as it is, and keep it."""
_PAGE = 500
_TURN_SECONDS = 10.0
"""Wait for a feed's turn. What is queued longer is refused, so that overload answers and does not pile up."""
_SECONDS_FRESH = 60
After = Annotated[str | None, Query(max_length=600, description="Where the feed before ended; it is in its `Link`.")]
Words = Annotated[list[Annotated[Text, Query(max_length=200)]], Query(max_length=20)]


def _filter(
    *,
    first: Annotated[
        date | None,
        Query(alias="from", description="First local day: also what is still on then.", examples=["2026-11-21"]),
    ] = None,
    last: Annotated[date | None, Query(alias="to", description="Last local day, included.")] = None,
    city: Annotated[Words, Query(description="City, without regard to case and accents.")] = [],  # noqa: B006
    tag: Annotated[Words, Query(description="A tag of any kind.")] = [],  # noqa: B006
    type_: Annotated[Words, Query(alias="type", description="Tag: what kind of occasion.")] = [],  # noqa: B006
    genre: Annotated[Words, Query()] = [],  # noqa: B006
    ambiance: Annotated[Words, Query()] = [],  # noqa: B006
    audience: Annotated[Words, Query()] = [],  # noqa: B006
    source: Annotated[Words, Query(description="Listed by this source.")] = [],  # noqa: B006
    q: Annotated[Text | None, Query(max_length=200, description="Words that all have to occur.")] = None,
    withdrawn: Annotated[bool, Query(description="Also what its sources no longer list.")] = False,
) -> EventFilter:
    if first is not None and last is not None and last < first:
        raise Problem(422, "`to` lies before `from`.")
    return EventFilter(
        first=first,
        last=last,
        city=city,
        tag=tag,
        type=type_,
        genre=genre,
        ambiance=ambiance,
        audience=audience,
        source=source,
        q=q,
        withdrawn=withdrawn,
    )


Filter = Annotated[EventFilter, Depends(_filter)]


def _feed(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "content": {media_type: {"schema": {"type": "object" if media_type.endswith("json") else "string"}}},
            "description": "The feed.",
        },
        304: {"description": "As it was (If-None-Match)."},
        **problems(401),
    }


@router.get(
    "/events",
    response_model=EventList,
    responses={304: {"description": "As it was (If-None-Match)."}, **problems(400, 401)},
    summary="List canonical events in the order in which they begin",
)
async def get_events(
    request: Request,
    _reader: Reader,
    chosen: Filter,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=600, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Several values of one filter are alternatives; different filters have to hold together."""
    page = await service(request).database.run(lambda c: list_events(c, chosen, limit=limit, cursor=cursor))
    body = orjson.dumps({"events": page.events, "next_cursor": page.next_cursor})
    headers = {}
    if page.next_cursor:
        url = request.url.include_query_params(cursor=page.next_cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return cached(request, body, "application/json", headers)


@router.get("/events.ics", response_class=Response, responses=_feed("text/calendar"))
async def get_ics(request: Request, _reader: Reader, chosen: Filter, cursor: After = None) -> Response:
    """An iCalendar feed with the filters of `/events`; without dates the next 60 days.

    It holds the first 5,000 events. Where there are more, the header `Link` says where the rest begins.
    """
    home = str(request.url_for("get_events"))
    kind = "text/calendar; charset=utf-8"
    return await _made(request, chosen, cursor, FEED_EVENTS, kind, lambda events, _: feeds.as_ics(events, home=home))


@router.get("/events.json", response_class=Response, responses=_feed("application/feed+json"))
async def get_json_feed(request: Request, _reader: Reader, chosen: Filter, cursor: After = None) -> Response:
    """A JSON Feed 1.1 with the filters of `/events`; without dates the next 60 days.

    It holds the first 5,000 events. Where there are more, `next_url` leads to them.
    """

    def make(events: list[dict[str, Any]], next_url: str | None) -> bytes:
        home, here = str(request.url_for("get_events")), str(request.url)
        return orjson.dumps(feeds.as_json_feed(events, home=home, self_url=here, next_url=next_url))

    return await _made(request, chosen, cursor, FEED_EVENTS, "application/feed+json", make)


@router.get("/events.rss", response_class=Response, responses=_feed("application/rss+xml"))
async def get_rss(request: Request, _reader: Reader, chosen: Filter, cursor: After = None) -> Response:
    """An RSS 2.0 feed with the filters of `/events`; without dates the next 60 days.

    It holds the first 500 events. Where there are more, the header `Link` says where the rest begins.
    """

    def make(events: list[dict[str, Any]], _: str | None) -> bytes:
        return feeds.as_rss(events, home=str(request.url_for("get_events")), self_url=str(request.url))

    return await _made(request, chosen, cursor, RSS_EVENTS, "application/rss+xml; charset=utf-8", make)


@router.get(
    "/events/{event_id}",
    response_model=EventOut,
    responses={
        301: {"description": "It was merged; Location leads to the event that stands for it now."},
        304: {"description": "As it was (If-None-Match)."},
        **problems(401, 404),
    },
)
async def get_event(request: Request, _reader: Reader, event_id: Annotated[Text, Path(max_length=200)]) -> Response:
    """One event. An id that was given out leads somewhere for ever."""
    event = await service(request).database.run(lambda c: read_event(c, event_id))
    if event is None:
        raise not_found()
    body = orjson.dumps(event)
    if event["replaced_by"] is not None:
        return Response(body, 301, {"Location": f"/events/{event['replaced_by']}"}, "application/json")
    return cached(request, body, "application/json")


async def _made(
    request: Request,
    chosen: EventFilter,
    cursor: str | None,
    most: int,
    media_type: str,
    make: Callable[[list[dict[str, Any]], str | None], bytes],
) -> Response:
    """A feed, by `make` from the events and where the rest begins. Raises `Problem` 503 when many are asked for."""
    turns = service(request).feeds
    with anyio.move_on_after(_TURN_SECONDS) as waiting:
        await turns.acquire()
    if waiting.cancelled_caught:
        raise unavailable("Too many feeds are being made.")
    try:
        events, rest = await _upcoming(request, chosen, cursor, most)
        next_url = str(request.url.include_query_params(cursor=rest)) if rest else None
        body = await anyio.to_thread.run_sync(lambda: make(events, next_url))
    finally:
        turns.release()
    return cached(request, body, media_type, {"Link": f'<{next_url}>; rel="next"'} if next_url else None)


async def _upcoming(
    request: Request, chosen: EventFilter, cursor: str | None, most: int
) -> tuple[list[dict[str, Any]], str | None]:
    """At most `most` events, and the cursor of those after them. Page by page: each is a short transaction."""
    if chosen.first is None and chosen.last is None:
        today = datetime.now(ZoneInfo(AssetSettings().timezone)).date()
        chosen = replace(chosen, first=today, last=today + timedelta(days=_FEED_DAYS))
    events: list[dict[str, Any]] = []
    while True:
        limit = min(_PAGE, most - len(events))
        page = await service(request).database.run(partial(list_events, chosen=chosen, limit=limit, cursor=cursor))
        events += page.events
        cursor = page.next_cursor
        if cursor is None or len(events) >= most:
            return events, cursor


def cached(request: Request, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Response:
    """The answer with its ETag, or 304 when the client has it."""
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    public = "public" if "authorization" not in request.headers else "private"
    out = {"ETag": etag, "Cache-Control": f"{public}, max-age={_SECONDS_FRESH}", **(headers or {})}
    given = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in given or given == ["*"]:
        return Response(status_code=304, headers=out)
    return Response(body, headers=out, media_type=media_type)
