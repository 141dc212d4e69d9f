"""Eventbrite: the events of the organizers, venues, organizations and single events that one names.

Belongs here: settings, watch lists, paging. One request and its errors are in `eventbrite_api.py`, what an event
object means in `eventbrite_records.py`. The API has had no search since December 2019, hence the lists.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.model import Event, FetchWarning, FetchWindow, Json, Page
from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.eventbrite_api import EventbriteApi, RefusedError
from ingestion_assets.events.sources.eventbrite_records import FULL_DESCRIPTION, read_event
from ingestion_assets.events.sources.fields import LeftOut, PageReader, calendar_day, identifier, mapping, warnings_of
from resources.errors import PermanentError
from resources.http import OutboundClient, OutboundPolicy

MAX_PAGES = 1_000
"""Of one list; half of the requests of an hour."""
_MARGIN = timedelta(days=1)
_TRAILING_ID = re.compile(r"(\d{5,})/?(?:[?#].*)?$")


class EventbriteSettings(SourceSettings):
    """The token and the watch lists. Entries are ids or addresses that end in one, split by commas or white space."""

    model_config = SettingsConfigDict(env_prefix="EVENTBRITE_")

    base_url: str = "https://www.eventbriteapi.com/v3"
    """Replaces scheme, host and version."""
    token: SecretStr | None = None
    """Private token of the API key, from eventbrite.com/platform."""
    organizer_ids: str = ""
    """Organizers to watch, separated by commas."""
    venue_ids: str = ""
    """Venues to watch, separated by commas."""
    organization_ids: str = ""
    """Organizations of the token, separated by commas."""
    event_ids: str = ""
    """Single events to watch, separated by commas."""
    full_descriptions: bool = False
    """Fetch each event's description by a request of its own. The event object holds a summary only, but 2,000
    requests an hour are not many."""
    page_size: int | None = Field(default=None, gt=0, le=500)
    """Unset: what the service thinks right (50)."""
    requests_per_hour: int = Field(default=2_000, gt=0)
    """What the token allows."""
    requests_per_second: float = Field(default=5.0, gt=0)
    """Pace."""

    def missing(self) -> list[str]:
        """The token, and at least one list with an entry."""
        absent = [] if self.token is not None else ["EVENTBRITE_TOKEN"]
        if not self.watched():
            lists = "EVENTBRITE_VENUE_IDS, EVENTBRITE_ORGANIZATION_IDS, EVENTBRITE_EVENT_IDS"
            absent.append(f"EVENTBRITE_ORGANIZER_IDS (or {lists})")
        return absent

    def watched(self) -> list[tuple[str, str]]:
        """(kind, id) of every entry, each once."""
        lists = {
            "organizers": self.organizer_ids,
            "venues": self.venue_ids,
            "organizations": self.organization_ids,
            "events": self.event_ids,
        }
        entries = ((kind, entry) for kind, text in lists.items() for entry in re.split(r"[,\s]+", text) if entry)
        return list(dict.fromkeys((kind, _entry_id(entry)) for kind, entry in entries))


class EventbriteSource:
    """Watch lists on Eventbrite as an event source."""

    name: ClassVar[str] = "eventbrite"
    title: ClassVar[str] = "Eventbrite"
    homepage: ClassVar[str] = "https://www.eventbrite.com/platform/api"
    settings_class: ClassVar[type[SourceSettings]] = EventbriteSettings
    record_version: ClassVar[int] = 1
    reading_settings: ClassVar[tuple[str, ...]] = ()
    volatile_paths: ClassVar[tuple[str, ...]] = (
        # Moves with every sale and every edit of what is not shown.
        "changed",
        # How many tickets are left. The prices beside it do count, and so does a cancelled sale's `message_code`.
        "capacity",
        "ticket_availability.has_available_tickets",
        "ticket_availability.is_sold_out",
        "ticket_availability.waitlist_available",
        "event_sales_status.sales_status",
        "event_sales_status.message",
        "event_sales_status.message_type",
        # The organizer's other events.
        "organizer.num_past_events",
        "organizer.num_future_events",
        # Addresses of resized pictures carry sizes and signatures; the picture's own change shows in `logo.id`.
        "logo.url",
        "logo.original.url",
        "organizer.logo",
    )

    def __init__(self, settings: EventbriteSettings) -> None:
        self.settings = settings

    @property
    def policy(self) -> OutboundPolicy:
        """2,000 requests an hour and token are the published limit."""
        return OutboundPolicy(
            name=self.name,
            requests_per_second=self.settings.requests_per_second,
            requests_per_hour=self.settings.requests_per_hour,
            secret_params=frozenset({"token"}),
        )

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """The events of every entry, each event once. An entry that is refused is a warning; nothing is withdrawn."""
        missing = self.settings.missing()
        if missing:
            raise PermanentError(f"set {', '.join(missing)} to fetch from {self.title}")
        yield from _Fetch(self.settings, client, window).pages()


@dataclass(slots=True)
class _List:
    """One list while it is read."""

    path: str
    params: dict[str, str]
    met: set[str] = field(default_factory=set)
    nameless: int = 0
    counted: int | None = None
    """Objects in the whole list by the service's count, which is optional."""
    known_pages: int = 0
    """Pages that an earlier reading brought. Their records without an id are not taken again."""

    @property
    def by_owner(self) -> bool:
        """Whether a series of which it holds an occurrence is all in it. A venue has those that are at the venue."""
        return self.path.startswith(("/organizers/", "/organizations/"))

    @property
    def short(self) -> bool:
        return self.counted is not None and len(self.met) + self.nameless < self.counted


class _Fetch:
    def __init__(self, settings: EventbriteSettings, client: OutboundClient, window: FetchWindow) -> None:
        self._settings = settings
        self._window = window
        token = settings.token.get_secret_value() if settings.token else ""
        self._api = EventbriteApi(client, base_url=settings.base_url, token=token)
        self._seen: set[str] = set()
        """An event can be in several lists."""
        self._series_seen: set[str] = set()
        """Those whose occurrences an owner's list gives."""
        self._parents: dict[str, None] = {}
        self._left_out: Counter[str] = Counter()
        self._lacking: Counter[str] = Counter()
        self._undescribed = 0
        plain = partial(read_event, default_zone=window.zone)
        self._event: Callable[[dict[str, Json]], Event | LeftOut] = (
            self._described if settings.full_descriptions else plain
        )

    def pages(self) -> Iterator[Page]:
        watched = self._settings.watched()
        refused: list[RefusedError] = []
        for kind, key in watched:
            try:
                yield from self._entry(kind, key)
            except RefusedError as error:
                refused.append(error)
                yield _gap("entry_refused", f"{kind} {key}: {error}")
        if len(refused) == len(watched) and all(error.about_token for error in refused):
            raise PermanentError("Eventbrite refused the token: put a valid one into EVENTBRITE_TOKEN") from refused[0]
        yield from self._children()
        closing = list(warnings_of(self._left_out, "Eventbrite events"))
        for name, count in sorted(self._lacking.items()):
            closing.append(FetchWarning("expansion_failed", f"{count} answers came without {name}"))
        if self._undescribed:
            closing.append(FetchWarning("description_refused", f"{self._undescribed} events keep their summary"))
        if closing:
            yield Page(records=(), warnings=closing)

    def _entry(self, kind: str, key: str) -> Iterator[Page]:
        if kind == "events":
            if key not in self._seen:
                body = self._api.get_expanded(f"/events/{key}/", {})
                yield self._page([body.fields], lacking=body.lacking, part=_List(f"/events/{key}/", {}))
            return
        params = {"status": "all", "order_by": "start_asc"}
        # Organizations document no date filter.
        params |= {"time_filter": "all"} if kind == "organizations" else self._dates()
        yield from self._list(_List(f"/{kind}/{key}/events/", params))

    def _children(self) -> Iterator[Page]:
        """The occurrences of series whose parent was named or listed, and of which no owner's list gave them."""
        for key in tuple(self._parents):
            if key in self._series_seen:
                continue
            try:
                yield from self._list(_List(f"/series/{key}/events/", self._dates()))
            except RefusedError as error:
                yield _gap("entry_refused", f"series {key}: {error}")

    def _dates(self) -> dict[str, str]:
        """Local times without a zone; which zone is meant is not said, hence a day on either side."""
        begin, end = self._window.start - _MARGIN, self._window.end + _MARGIN
        return {"start_date.range_start": f"{begin}T00:00:00", "start_date.range_end": f"{end}T00:00:00"}

    def _list(self, part: _List) -> Iterator[Page]:
        """All pages of a list; read again once if fewer objects came than the service counted."""
        stuck = yield from self._read(part)
        if stuck or part.short:
            stuck = yield from self._read(part)
        if stuck or part.short:
            met = len(part.met) + part.nameless
            reason = stuck or f"{met} of {part.counted} objects were listed"
            yield _gap("not_listed", f"Eventbrite's list {part.path}: {reason}")

    def _read(self, part: _List) -> Generator[Page, None, str | None]:
        """One reading of a list. Returns why it ended before the list did, or None."""
        paging: dict[str, str] = {}
        used: set[str] = set()
        if self._settings.page_size is not None:
            part.params["page_size"] = str(self._settings.page_size)
        for number in range(MAX_PAGES):
            try:
                body = self._api.get_expanded(part.path, part.params | paging)
            except RefusedError as error:
                if error.code in ("BAD_CONTINUATION_TOKEN", "BAD_PAGE") and paging:
                    return f"the service forgot where it was ({error.code})"
                raise
            events = body.fields.get("events")
            events = events if isinstance(events, list) else []
            page = self._page(events, lacking=body.lacking, part=part, known=number < part.known_pages)
            said, listed = mapping(body.fields.get("pagination")), bool(events)
            del body, events  # each record's memory is for the next one as soon as the record is stored
            yield page
            part.known_pages = max(part.known_pages, number + 1)
            part.counted = _count(said.get("object_count"))
            if said.get("has_more_items") is not True:
                return None
            following = _following(said)
            if following is None or not listed or following[1] in used:
                # An exhausted token is answered with an empty list.
                return None if part.counted is not None and not part.short else "more was announced and not given"
            used.add(following[1])
            paging = dict([following])
        return f"it did not end after {MAX_PAGES} pages"

    def _page(self, events: Sequence[Json], *, lacking: Iterable[str], part: _List, known: bool = False) -> Page:
        self._lacking.update(lacking)
        reader = PageReader(self._window)
        for raw in events:
            fields = mapping(raw)
            key = identifier(fields.get("id"))
            if key is None:
                if not known:
                    part.nameless += 1
                    reader.add(raw, self._event)
                continue
            part.met.add(key)
            if key in self._seen:
                continue
            self._seen.add(key)
            if fields.get("is_series_parent") is True:
                # Its dates are those of its first and last occurrence; the occurrences are the events.
                if self._may_overlap(fields):
                    self._parents[key] = None
                continue
            if part.by_owner and (series := identifier(fields.get("series_id"))) is not None:
                self._series_seen.add(series)
            reader.add(raw, self._event, known_as=key)
        self._left_out += reader.left_out
        return reader.page()

    def _may_overlap(self, parent: Mapping[str, Json]) -> bool:
        first = calendar_day(str(mapping(parent.get("start")).get("local"))[:10])
        last = calendar_day(str(mapping(parent.get("end")).get("local"))[:10])
        return not ((first and first >= self._window.end) or (last and last < self._window.start))

    def _described(self, record: dict[str, Json]) -> Event | LeftOut:
        """The event with its full description, which costs a request."""
        event = read_event(record, default_zone=self._window.zone)
        if isinstance(event, LeftOut) or event.start is None or event.start.date not in self._window:
            return event
        try:
            body = self._api.get(f"/events/{event.source_id}/description/", {})
        except RefusedError:
            self._undescribed += 1
            return event
        return read_event(record | {FULL_DESCRIPTION: body.get("description")}, default_zone=self._window.zone)


def _entry_id(entry: str) -> str:
    """The id at the end of an address such as `…/e/name-tickets-123456789`, or the entry itself."""
    match = _TRAILING_ID.search(entry)
    return match[1] if match else entry


def _following(pagination: Mapping[str, Json]) -> tuple[str, str] | None:
    """The parameter that asks for the next page: a continuation, or the page's number on older addresses."""
    token = pagination.get("continuation")
    if isinstance(token, str) and token:
        return "continuation", token
    number, count = _count(pagination.get("page_number")), _count(pagination.get("page_count"))
    return ("page", str(number + 1)) if number is not None and count is not None and number < count else None


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _gap(code: str, detail: str) -> Page:
    return Page(records=(), warnings=(FetchWarning(code, detail),), incomplete=detail)
