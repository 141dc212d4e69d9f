"""The values that deduplication takes and gives: records in; clusters, links, refusals and doubtful pairs out.

Belongs here: plain immutable values and the bridge from the platform's `Event`. No rule about who matches whom.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any, NamedTuple

from ingestion_assets.events.model import Event, Venue


class Key(NamedTuple):
    """What a record is known by, everywhere and for ever."""

    source: str
    source_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One source's sighting of an event, as far as matching needs it. Only the first four fields are required."""

    source: str
    source_id: str
    title: str
    local_date: date
    local_time: time | None = None
    """Wall-clock start, None when only the day is known."""
    end_date: date | None = None
    """Inclusive last local day."""
    end_time: time | None = None
    zone: str | None = None
    """IANA name; None where the source's zone is unknown."""
    lang: str | None = None
    venue_name: str | None = None
    address: str | None = None
    city: str | None = None
    lat: float | None = None
    lon: float | None = None
    url: str | None = None
    status: str | None = None
    organizer: str | None = None
    performers: tuple[str, ...] = ()
    content_hash: str | None = None
    withdrawn: bool = False
    """The source no longer lists it. It keeps its place in its cluster, so that identities do not move."""
    event: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Field values for survivorship; matching never looks inside."""

    @property
    def key(self) -> Key:
        return Key(self.source, self.source_id)

    @property
    def publisher(self) -> str:
        """Who lists it. Of calendars, which are many under one source, the one: two of them may list one event.

        Ours have the name of the calendar before the UID. A UID alone ends in who made it (RFC 5545, 3.8.4.7).
        """
        if self.source != _CALENDARS:
            return self.source
        calendar, named, _ = self.source_id.partition(":")
        if named and "@" not in calendar:
            return f"{self.source}/{calendar}"
        host = _HOST.search(self.source_id)
        return f"{self.source}@{host[1].lower()}" if host else self.source


_CALENDARS = "ics"
_HOST = re.compile(r"@([A-Za-z0-9.-]+)[^@]*$")


def record_from_event(
    source: str,
    event: Event,
    *,
    content_hash: str | None = None,
    withdrawn: bool = False,
    seen_at: datetime | None = None,
) -> Record:
    """The record of a dated `Event`. ValueError for an event without a start: it stays outside deduplication."""
    if event.start is None:
        raise ValueError(f"{source}:{event.source_id} has no date yet; leave it out until it is dated")
    from ingestion_assets.events.deduplication.addresses import split_place

    venue = event.venue or Venue()
    # Some sources have the address for the name of a venue, or all of it in one.
    venue_name, address, city = split_place(venue.name, venue.address, venue.city)
    price = event.price
    values: dict[str, Any] = {
        "title": event.title,
        "description": event.description,
        "start": event.start,
        "end": event.end,
        "status": event.status.value,
        "venue": event.venue,
        "online": event.online,
        "url": event.url,
        "image_url": event.image_url,
        "price": price,
        "organizer": event.organizer,
        "performers": event.performers,
        "categories": event.categories,
        "audience": event.audience,
        "language": event.language,
        "series_id": event.series_id,
        "seen_at": seen_at,
    }
    return Record(
        source=source,
        source_id=event.source_id,
        title=event.title,
        local_date=event.start.date,
        local_time=event.start.time,
        end_date=event.end.date if event.end else None,
        end_time=event.end.time if event.end else None,
        zone=None if event.start.zone_assumed else event.start.zone,
        lang=event.language,
        venue_name=venue_name,
        address=address,
        city=city,
        lat=venue.lat,
        lon=venue.lon,
        url=event.url,
        status=event.status.value,
        organizer=event.organizer,
        performers=event.performers,
        content_hash=content_hash,
        withdrawn=withdrawn,
        event=values,
    )


class Verdict(StrEnum):
    """What a person decided about two records."""

    MERGE = "merge"
    SPLIT = "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person's decision, kept by source ids so that it survives every rebuild. A split beats a merge."""

    a: Key
    b: Key
    verdict: Verdict
    who: str = ""
    when: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Records that describe one event. `members` are sorted, `day` is the earliest local date among them."""

    members: tuple[Key, ...]
    day: date
    score: float
    """The weakest link inside, 0..1; 1 for a cluster of one."""


@dataclass(frozen=True, slots=True)
class Link:
    """Why a record is in its cluster: its best link to another member. A record alone has score 1 and no partner."""

    key: Key
    cluster: int
    """Index into `Resolution.clusters`."""
    score: float
    partner: Key | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusedUnion:
    """Two records whose score was high enough and whose union was refused all the same."""

    a: Key
    b: Key
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class UncertainPair:
    """Two records about which a person should decide. The reasons are those that weighed most."""

    a: Key
    b: Key
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What `resolve` found, in an order that does not depend on the order of the input."""

    clusters: tuple[Cluster, ...]
    links: Mapping[Key, Link]
    refused: tuple[RefusedUnion, ...]
    review: tuple[UncertainPair, ...]
    model_version: str
    statistics_version: str
    pairs_compared: int = 0
    unmet_overrides: tuple[Override, ...] = ()
    """Merges that a split overrules."""

    def owned(self, start: date, end: date) -> Resolution:
        """Only the clusters whose earliest local date lies in `[start, end)`, with their links, refusals and doubts.

        A window resolved with one more day on each side owns exactly what a run over everything finds for it.
        A refusal or a doubt belongs to the day of its earlier cluster.
        """
        kept = [i for i, cluster in enumerate(self.clusters) if start <= cluster.day < end]
        position = {old: new for new, old in enumerate(kept)}
        links = {
            key: Link(link.key, position[link.cluster], link.score, link.partner, link.reasons)
            for key, link in self.links.items()
            if link.cluster in position
        }

        def owner(a: Key, b: Key) -> bool:
            days = [self.clusters[self.links[key].cluster].day for key in (a, b)]
            return start <= min(days) < end

        return Resolution(
            clusters=tuple(self.clusters[i] for i in kept),
            links=links,
            refused=tuple(pair for pair in self.refused if owner(pair.a, pair.b)),
            review=tuple(pair for pair in self.review if owner(pair.a, pair.b)),
            model_version=self.model_version,
            statistics_version=self.statistics_version,
            pairs_compared=self.pairs_compared,
            unmet_overrides=self.unmet_overrides,
        )
