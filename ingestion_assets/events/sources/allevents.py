"""AllEvents (allevents.in): lists of a city's events, itself gathered from other sites.

Belongs here: settings, paging, limits and the map of one item. The official documentation is not public; what is here
follows what public clients of the API agree on: POST with the parameters in the query string, 100 items a page, epoch
seconds. The service gives wrong or empty values often (ends before starts, the point 0, 0), hence the care.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.model import (
    Event,
    EventStatus,
    FetchWarning,
    FetchWindow,
    Json,
    Moment,
    Page,
    Price,
    RejectReason,
    Venue,
)
from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.fields import (
    MAX_TITLE_CHARS,
    YEARS,
    PageReader,
    RecordFault,
    coordinates,
    currency,
    description,
    identifier,
    mapping,
    names,
    number,
    web_url,
    zone_name,
)
from ingestion_assets.events.sources.text import clean_text, html_to_text
from resources.errors import PermanentError, TransientError
from resources.http import OutboundClient, OutboundPolicy

if TYPE_CHECKING:
    from resources.http import Reply

PAGE_SIZE = 100
MAX_PAGES = 2000
_DAY = timedelta(days=1)

_WAIT = re.compile(r"try again in (\d+) second", re.IGNORECASE)
_REPLENISHED = re.compile(r"replenished in (?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})", re.IGNORECASE)
_ONLINE = re.compile(r"^(?:online|virtual|en ligne|online event|zoom)\b", re.IGNORECASE)


class AllEventsSettings(SourceSettings):
    """AllEvents: a subscription key and the city whose events are fetched."""

    model_config = SettingsConfigDict(env_prefix="ALLEVENTS_", env_ignore_empty=True, extra="ignore", frozen=True)

    api_key: SecretStr | None = None
    """Subscription key of the API portal (header `Ocp-Apim-Subscription-Key`)."""
    base_url: str = "https://api.allevents.in"
    """Replaces scheme and host."""
    city: str | None = None
    """City whose list is fetched, as the service spells it."""
    state: str | None = None
    """Tells cities of one name apart."""
    country: str | None = None
    """Likewise."""
    latitude: float | None = Field(default=None, ge=-90, le=90)
    """In degrees; only together with the longitude."""
    longitude: float | None = Field(default=None, ge=-180, le=180)
    """With both, the events around this point are fetched instead of the city's list."""
    radius: float = Field(default=50, gt=0)
    """In kilometres, around the point."""
    timezone: str = "America/Toronto"
    """Zone of items that name none."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        found = zone_name(value)
        if found is None:
            raise ValueError(f"ALLEVENTS_TIMEZONE is no time zone: {value!r}")
        return found

    def missing(self) -> list[str]:
        missing = ["ALLEVENTS_API_KEY"] if self.api_key is None else []
        if self.city is None and self.latitude is None and self.longitude is None:
            missing.append("ALLEVENTS_CITY (or ALLEVENTS_LATITUDE and ALLEVENTS_LONGITUDE)")
        if (self.latitude is None) != (self.longitude is None):
            missing.append("ALLEVENTS_LATITUDE and ALLEVENTS_LONGITUDE, both or neither")
        return missing


class AllEventsSource:
    """Events of a city, or around a point."""

    name: ClassVar[str] = "allevents"
    title: ClassVar[str] = "AllEvents"
    homepage: ClassVar[str] = "https://allevents.in/pages/api"
    # Counters, ranks and the words in which the site shows a time today.
    volatile_paths: ClassVar[tuple[str, ...]] = (
        *("interested_count", "going_count", "attending_count", "followers", "views", "view_count", "share_count"),
        *("score", "rank", "event_score", "distance", "start_time_display", "end_time_display", "updated_at"),
        *("tickets.tickets_left", "owner.followers"),
    )
    record_version: ClassVar[int] = 1
    reading_settings: ClassVar[tuple[str, ...]] = ("timezone",)
    settings_class: ClassVar[type[SourceSettings]] = AllEventsSettings

    def __init__(self, settings: AllEventsSettings) -> None:
        self.settings = settings
        self._base = settings.base_url.rstrip("/")

    @property
    def policy(self) -> OutboundPolicy:
        """The limits of a subscription are not published: one request a second is 100 events a second."""
        return OutboundPolicy(name=self.name, requests_per_second=1)

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """The events that begin inside `window`, until a page is short.

        Around a point the service filters by no date; what lies outside is counted as outside.
        """
        path, params = self._query(window)
        seen: set[str] = set()
        for number_of_page in range(MAX_PAGES):
            listed, count = self._page(path, {**params, "page": number_of_page}, client)
            ids = {found for item in listed if (found := identifier(mapping(item).get("event_id"))) is not None}
            if ids and ids <= seen:
                if number_of_page == 1:
                    continue  # where pages are counted from 1, page 0 is that one too
                # The service repeats its last page for ever when asked beyond it.
                return
            reader = PageReader(window)
            for item in listed:
                known = identifier(mapping(item).get("event_id"))
                if known is not None and known in seen:
                    continue  # the list shifts while it is paged through
                reader.add(item, self._read, known_as=known)
                if known is not None:
                    seen.add(known)
            yield reader.page()
            # The count may be the page's or the whole list's: clients have seen one page of it only.
            if not listed or count < PAGE_SIZE:
                return
        yield Page(
            records=(),
            warnings=(FetchWarning("too_many_pages", f"stopped after {MAX_PAGES} pages"),),
            incomplete=f"the list does not end after {MAX_PAGES} pages",
        )

    def _query(self, window: FetchWindow) -> tuple[str, dict[str, Any]]:
        settings = self.settings
        if settings.latitude is not None and settings.longitude is not None:
            around = {"latitude": settings.latitude, "longitude": settings.longitude, "radius": settings.radius}
            return "events/geo/", around
        # In which zone the days are meant, and whether the last is included, is not documented: a day more is asked
        # for on either side, and left out here.
        days = {"sdate": f"{window.start - _DAY:%d-%m-%Y}", "edate": f"{window.end + _DAY:%d-%m-%Y}"}
        return "events/list/", {"city": settings.city, "state": settings.state, "country": settings.country, **days}

    def _page(self, path: str, params: Mapping[str, Any], client: OutboundClient) -> tuple[list[Json], int]:
        """The items of one page, and how many the service says there are on it."""
        key = self.settings.api_key
        headers = {"Ocp-Apim-Subscription-Key": key.get_secret_value()} if key else {}
        sent = {name: value for name, value in params.items() if value is not None}
        reply = client.post(
            f"{self._base}/{path}", params=sent, headers=headers, json={}, inspect=_refuse, expect_json=True
        )
        body = reply.json()
        if not isinstance(body, dict):
            raise TransientError("AllEvents answered JSON that is no object")
        listed = body.get("data")
        if isinstance(listed, dict):
            listed = list(listed.values())
        if not isinstance(listed, list):
            if listed or ("count" not in body and "data" not in body):
                raise TransientError("AllEvents answered without a list of events")
            listed = []
        count = number(body.get("count"))
        return listed, int(count) if count is not None else len(listed)

    def _read(self, item: dict[str, Json]) -> Event:
        source_id = identifier(item.get("event_id")) or _id_of_page(item)
        if source_id is None:
            raise RecordFault(RejectReason.MISSING_ID, "no event_id and no event_url that ends in one")
        zone = zone_name(item.get("timezone")) or self.settings.timezone
        start = _moment(item.get("start_time"), zone)
        day = start.date if start else None
        title = clean_text(html_to_text(_title(item)), limit=MAX_TITLE_CHARS)
        if title is None:
            raise RecordFault(RejectReason.MISSING_TITLE, "no eventname", source_id=source_id, day=day)
        if start is None:
            raise _no_start(item, source_id)
        warnings: list[str] = []
        end = _moment(item.get("end_time"), zone)
        if end is not None and start.utc is not None and end.utc is not None and end.utc < start.utc:
            warnings.append("end_before_start")
            end = None
        online = _is_online(item)
        tickets = mapping(item.get("tickets"))
        owner = mapping(item.get("owner", item.get("organizer")))
        categories = (*_words(item.get("categories")), *_words(item.get("tags")))
        return Event(
            source_id=source_id,
            title=title,
            payload=item,
            start=start,
            end=end,
            status=_status(item),
            description=description((item.get("description"),)),
            venue=None if online else _venue(item),
            online=online,
            url=web_url(item.get("event_url")) or web_url(item.get("share_url")),
            image_url=web_url(item.get("banner_url")) or web_url(item.get("thumb_url")),
            price=_price(tickets),
            organizer=clean_text(html_to_text(str(owner.get("name") or item.get("owner_name") or ""))),
            categories=names(html_to_text(word) for word in categories),
            warnings=tuple(warnings),
        )


def _title(item: Mapping[str, Json]) -> str:
    for name in ("eventname", "eventname_raw"):
        value = item.get(name)
        if clean_text(value) is not None:
            return str(value)
    return ""


def _no_start(item: Mapping[str, Json], source_id: str) -> RecordFault:
    written = clean_text(item.get("start_time"), limit=60)
    if written is None or written == "0":
        return RecordFault(RejectReason.MISSING_START, "no start_time", source_id=source_id)
    return RecordFault(RejectReason.INVALID_START, f"start_time is no time: {written!r}", source_id=source_id)


def _id_of_page(item: Mapping[str, Json]) -> str | None:
    """The number that ends the address of an event's page."""
    for name in ("event_url", "share_url"):
        url = web_url(item.get(name))
        found = re.search(r"/(\d{5,})/?(?:[?#].*)?$", url) if url else None
        if found is not None:
            return found[1]
    return None


def _moment(value: Json, zone: str) -> Moment | None:
    """Epoch seconds, also as text; milliseconds are told by their size."""
    seconds = number(value)
    if seconds is None or isinstance(value, bool) or seconds <= 0:
        return None
    if seconds >= 1e11:
        seconds /= 1000
    if seconds >= 7e9:  # beyond the year 2190
        return None
    local = datetime.fromtimestamp(int(seconds), ZoneInfo(zone))
    return Moment(local.date(), local.time(), zone) if local.year in YEARS else None


def _is_online(item: Mapping[str, Json]) -> bool:
    flag = item.get("is_online", item.get("online"))
    if flag in (True, 1, "1", "true", "yes"):
        return True
    place = clean_text(item.get("location"))
    return place is not None and _ONLINE.match(place) is not None


def _status(item: Mapping[str, Json]) -> EventStatus:
    word = str(item.get("event_status") or item.get("status") or "").casefold()
    if "cancel" in word:
        return EventStatus.CANCELLED
    return EventStatus.POSTPONED if "postpone" in word else EventStatus.SCHEDULED


def _venue(item: Mapping[str, Json]) -> Venue | None:
    place = mapping(item.get("venue"))
    lat, lon = coordinates(place.get("latitude"), place.get("longitude"))
    name, street, full, city, region, country = (
        clean_text(html_to_text(value)) if isinstance(value, str) else None
        for value in (
            place.get("name") or item.get("location"),
            place.get("street"),
            place.get("full_address"),
            place.get("city"),
            place.get("state"),
            place.get("country"),
        )
    )
    if not any((name, street, full, city, lat is not None)):
        return None
    return Venue(
        name=name,
        address=street or full,
        city=city,
        region=region,
        country=country,
        lat=lat,
        lon=lon,
        source_id=identifier(place.get("venue_id")),
    )


def _price(tickets: Mapping[str, Json]) -> Price | None:
    low, high = number(tickets.get("min_ticket_price")), number(tickets.get("max_ticket_price"))
    amounts = [amount for amount in (low, high) if amount is not None and amount >= 0]
    if not amounts or tickets.get("has_tickets") in (False, 0, "0", "false"):
        # A price of 0 beside "no tickets" says that nothing is known.
        return None
    coin = currency(tickets.get("ticket_currency"))
    return Price(free=max(amounts) == 0, minimum=min(amounts), maximum=max(amounts), currency=coin)


def _words(value: Json) -> list[str]:
    words = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else []
    found = (word.get("name") if isinstance(word, dict) else word for word in words[:50])
    return [word for word in found if isinstance(word, str)]


def _refuse(reply: Reply) -> None:
    """The gateway in front of the service (Azure API Management) words its refusals in JSON."""
    if reply.status == 401:
        raise PermanentError("AllEvents refuses the key: check ALLEVENTS_API_KEY")
    if reply.status not in (403, 429):
        return
    body = reply.json()
    message = str(body.get("message", "")) if isinstance(body, dict) else ""
    if reply.status == 403:
        until = _REPLENISHED.search(message)
        if until is None and "quota" not in message.casefold():
            raise PermanentError(f"AllEvents refuses access: {clean_text(message, limit=200) or 'no reason given'}")
        days, hours, minutes, seconds = (int(part or 0) for part in until.groups()) if until else (0, 0, 0, 0)
        wait = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        # Without a time the next hour is as good as any: the fetch is handed back and tried by a later run.
        raise TransientError("the quota of the AllEvents key is spent", retry_after=float(wait or 3600))
    named = _WAIT.search(message)
    if named is not None and "Retry-After" not in reply.headers:
        raise TransientError("AllEvents asks to slow down", retry_after=float(named[1]))
