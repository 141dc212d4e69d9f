"""Ticketmaster Discovery API v2: every event of a window, although a query shows at most 1,000.

Belongs here: settings, and which questions to ask. One question and its errors are in `ticketmaster_api.py`, what a
record means in `ticketmaster_records.py`.

The API answers no deeper than `page × size < 1000`. So a window with more events is cut by time, down to a minute; a
minute that is still too full by segment, then by venue. Each part is checked against the number the service counted
for it: what it counted and did not list makes the fetch incomplete, in words, and nothing is withdrawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from ingestion_assets.events.model import Event, FetchWarning, FetchWindow, Json, Page
from ingestion_assets.events.sources.base import SourceSettings
from ingestion_assets.events.sources.fields import (
    LeftOut,
    PageReader,
    identifier,
    mapping,
    objects,
    utc_bounds,
    warnings_of,
)
from ingestion_assets.events.sources.ticketmaster_api import CAP, DiscoveryApi, Listing
from ingestion_assets.events.sources.ticketmaster_parts import Part, Tally
from ingestion_assets.events.sources.ticketmaster_records import read_event
from resources.errors import PermanentError
from resources.http import OutboundClient, OutboundPolicy

_MAX_VENUES = 500
"""Venues to ask one by one for a minute that its segments did not explain: a tenth of a day's requests."""
_EVERYWHERE = "*"


class TicketmasterSettings(SourceSettings):
    """What to fetch and as whom. `*` as country or state means everywhere."""

    model_config = SettingsConfigDict(env_prefix="TICKETMASTER_")

    api_key: SecretStr | None = None
    """Key of the Discovery API, from developer.ticketmaster.com."""
    base_url: str = "https://app.ticketmaster.com/discovery/v2"
    """Replaces scheme, host and version."""
    country_code: str = "CA"
    """ISO 3166-1 alpha-2; `*` for everywhere."""
    state_code: str | None = None
    """Unset: QC if the country is CA and no place is named (city, point, DMA), else none."""
    city: str | None = None
    """Only events in this city."""
    geo_point: str | None = None
    """Geohash, at most 9 characters."""
    radius: int | None = Field(default=None, gt=0)
    """Around the geo point, in `TICKETMASTER_UNIT`."""
    unit: str = Field(default="km", pattern="^(km|miles)$")
    """`km` or `miles`."""
    dma_id: str | None = None
    """Designated market area."""
    locale: str = "*"
    """All languages; the API's own default, `en`, can leave out events that exist in French only."""
    requests_per_second: float = Field(default=2.0, gt=0, le=5)
    """The documentation says 5 in one place and 2 in another."""
    requests_per_day: int = Field(default=5_000, gt=0)
    """What the key allows."""

    def missing(self) -> list[str]:
        """The API key is all that is needed."""
        return [] if self.api_key is not None else ["TICKETMASTER_API_KEY"]

    def place(self) -> dict[str, str]:
        """The query parameters that select where, for events."""
        state = self.state_code
        if state is None and self.country_code == "CA" and not (self.city or self.geo_point or self.dma_id):
            state = "QC"
        chosen = {
            "countryCode": self.country_code,
            "stateCode": state,
            "city": self.city,
            "dmaId": self.dma_id,
            "geoPoint": self.geo_point,
            "radius": str(self.radius) if self.radius is not None and self.geo_point else None,
            "unit": self.unit if self.geo_point else None,
        }
        return {name: value for name, value in chosen.items() if value and value != _EVERYWHERE}


class TicketmasterSource:
    """The Discovery API as an event source."""

    name: ClassVar[str] = "ticketmaster"
    title: ClassVar[str] = "Ticketmaster"
    homepage: ClassVar[str] = "https://developer.ticketmaster.com/products-and-docs/apis/discovery-api/v2/"
    settings_class: ClassVar[type[SourceSettings]] = TicketmasterSettings
    record_version: ClassVar[int] = 1
    reading_settings: ClassVar[tuple[str, ...]] = ()
    volatile_paths: ClassVar[tuple[str, ...]] = (
        # Links of the API itself, which repeat the request's own parameters.
        "_links",
        "_embedded.venues.*._links",
        "_embedded.attractions.*._links",
        # Counters of other events at the venue or by the artist: they move whenever anything is announced.
        "_embedded.venues.*.upcomingEvents",
        "_embedded.attractions.*.upcomingEvents",
        # Distance from the point that was asked for: it belongs to the question.
        "distance",
        "units",
        "_embedded.venues.*.distance",
        "_embedded.venues.*.units",
        # Pictures and social links of the venue and the artist, which no field of ours is read from. The event's own
        # `images` do count.
        "_embedded.venues.*.images",
        "_embedded.venues.*.social",
        "_embedded.attractions.*.images",
        "_embedded.attractions.*.externalLinks",
    )

    def __init__(self, settings: TicketmasterSettings) -> None:
        self.settings = settings

    @property
    def policy(self) -> OutboundPolicy:
        """The service's published limits."""
        return OutboundPolicy(
            name=self.name,
            requests_per_second=self.settings.requests_per_second,
            requests_per_day=self.settings.requests_per_day,
            secret_params=frozenset({"apikey"}),
        )

    def fetch(self, window: FetchWindow, client: OutboundClient) -> Iterator[Page]:
        """Dated events of the window, then those whose date is still to be announced, whatever the window."""
        missing = self.settings.missing()
        if missing:
            raise PermanentError(f"set {', '.join(missing)} to fetch from {self.title}")
        yield from _Fetch(self.settings, client, window).pages()


class _Fetch:
    """One fetch: what it needs and what it learnt on the way."""

    def __init__(self, settings: TicketmasterSettings, client: OutboundClient, window: FetchWindow) -> None:
        self._place = settings.place()
        self._window = window
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._api = DiscoveryApi(client, base_url=settings.base_url, key=key, locale=settings.locale)
        self._segments: list[str] | None = None
        self._listed_venues: list[str] | None = None
        self._met_venues: dict[str, None] = {}
        """Ids met so far. A dictionary because it keeps its order."""
        self._left_out: Counter[str] = Counter()

    def pages(self) -> Iterator[Page]:
        begin, end = utc_bounds(self._window)
        yield from self._part(Part(int(begin.timestamp()), int(end.timestamp()) - 1))
        undated = Tally()
        for parameter in ("includeTBA", "includeTBD"):
            yield from self._part(Part(undated=parameter), undated)
        if self._left_out:
            yield Page(records=(), warnings=tuple(warnings_of(self._left_out, "Ticketmaster records")))

    def _part(self, part: Part, above: Tally | None = None) -> Iterator[Page]:
        first = self._events(part, 0)
        if first.total < CAP:
            yield from self._small(part, first, Tally(above))
        elif pieces := part.by_time(first.total):
            for piece in pieces:
                yield from self._part(piece, above)
        else:
            yield from self._crowded(part, first, Tally(above))

    def _small(self, part: Part, first: Listing, tally: Tally) -> Iterator[Page]:
        """All pages of a part below the cap, read again once if fewer came than the service counted."""
        total = yield from self._reachable(part, first, tally, nameless=True)
        if tally.received < total:
            # Rows move between pages while they are read; two smaller questions find what slipped through.
            for piece in part.by_time(total) or [part]:
                yield from self._reachable(piece, self._events(piece, 0), tally, nameless=False)
        if tally.received < total:
            yield self._incomplete(part, total, tally)

    def _crowded(self, part: Part, first: Listing, tally: Tally) -> Iterator[Page]:
        """A part over the cap that time cannot cut: by segment, then by venue, until all that was counted is there.

        A segment of a part does not judge itself: what it misses, its part still looks for.
        """
        total = first.total
        if part.segment is None:
            for segment in self._all_segments():
                piece = replace(part, segment=segment)
                listing = self._events(piece, 0)
                if listing.total < CAP:
                    yield from self._reachable(piece, listing, Tally(tally), nameless=True)
                else:
                    yield from self._crowded(piece, listing, Tally(tally))
        if tally.received < total:
            yield from self._reachable(part, first, tally, nameless=part.segment is not None)
        if tally.received < total:
            for venue in self._all_venues():
                piece = replace(part, venue=venue)
                yield from self._reachable(piece, self._events(piece, 0), tally, nameless=False)
                if tally.received >= total:
                    break
        if tally.received < total and part.segment is None:
            yield self._incomplete(part, total, tally)

    def _reachable(self, part: Part, first: Listing, tally: Tally, *, nameless: bool) -> Generator[Page, None, int]:
        """The pages that the API lets one see. Returns its newest count for the part."""
        listing, number = first, 0
        while True:
            yield self._page(tally.fresh(listing.items, nameless=nameless))
            number += 1
            # An empty page ends the list whatever was counted; asking for page × size >= 1000 is an error.
            if not listing.items or number * listing.size >= min(listing.total, CAP):
                return listing.total
            listing = self._events(part, number)

    def _incomplete(self, part: Part, total: int, tally: Tally) -> Page:
        short = total - tally.received
        detail = f"Ticketmaster counted {total} events for {part} and did not list {short} of them"
        return Page(records=(), warnings=(FetchWarning("not_listed", detail),), incomplete=detail)

    def _page(self, items: Sequence[Json]) -> Page:
        reader = PageReader(self._window)
        for item in items:
            self._learn_venue(item)
            reader.add(item, self._read, known_as=identifier(mapping(item).get("id")))
        self._left_out += reader.left_out
        return reader.page()

    def _read(self, record: dict[str, Json]) -> Event | LeftOut:
        return read_event(record, default_zone=self._window.zone)

    def _learn_venue(self, item: Json) -> None:
        for venue in objects(mapping(mapping(item).get("_embedded")).get("venues")):
            key = identifier(venue.get("id"))
            if key is not None:
                self._met_venues[key] = None

    def _all_segments(self) -> list[str]:
        if self._segments is None:
            found = (mapping(entry.get("segment")).get("id") for entry in self._api.all("classifications", {}))
            self._segments = list(dict.fromkeys(key for value in found if (key := identifier(value)) is not None))
        return self._segments

    def _all_venues(self) -> Iterator[str]:
        """Venues met on the way, then those that the service lists for the place; at most `_MAX_VENUES`."""
        given: set[str] = set()
        for key in self._venue_candidates():
            if key not in given and len(given) < _MAX_VENUES:
                given.add(key)
                yield key

    def _venue_candidates(self) -> Iterator[str]:
        yield from list(self._met_venues)
        yield from self._venues_of_the_place()

    def _venues_of_the_place(self) -> list[str]:
        if self._listed_venues is None:
            # The venue search knows fewer ways to say where than the event search does.
            known = ("countryCode", "stateCode", "geoPoint", "radius", "unit")
            where = {name: self._place[name] for name in known if name in self._place}
            found = (identifier(entry.get("id")) for entry in self._api.all("venues", where))
            self._listed_venues = [key for key in found if key is not None]
        return self._listed_venues

    def _events(self, part: Part, number: int) -> Listing:
        # The default order, by relevance, is not stable from page to page.
        return self._api.listing(
            "events", {"sort": "date,asc", "includeTest": "no"} | self._place | part.params(), number
        )
