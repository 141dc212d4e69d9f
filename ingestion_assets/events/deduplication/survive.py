"""Which value of each field the canonical event shows, and where it comes from.

Every field is decided on its own, by the source's precedence, then the completeness of the record, then how recent
it is; values that only make sense together (a place, a price, a start with its end) come from one record. Nothing is
lost: provenance names the record chosen, the rule that chose it and how many records disagreed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from ingestion_assets.events.deduplication.records import Key, Record

PRECEDENCE: tuple[str, ...] = (
    "ticketmaster",
    "eventbrite",
    "lavitrine",
    "open_data_montreal",
    "meetup",
    "ics",
    "allevents",
)
"""Who is believed first: who sells the ticket, then who organises or edits, then who aggregates."""

TICKETING: frozenset[str] = frozenset({"ticketmaster", "eventbrite", "meetup"})
"""Sources on which the organiser acts directly: alone they can cancel an event, and they settle a tied start."""

_COMPUTED = frozenset({"start", "end", "status", "seen_at"})
_OFF = ("cancelled", "postponed", "rescheduled")
"""Strongest first."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one field's value comes from. `rule` is a short stable code, `rivals` counts other distinct values."""

    source: str
    source_id: str
    rule: str
    rivals: int = 0


@dataclass(frozen=True, slots=True)
class Survivor:
    """The canonical event: field values, and for each of them its provenance."""

    fields: Mapping[str, Any]
    provenance: Mapping[str, Provenance]


def survive(
    members: Sequence[Record], *, precedence: Sequence[str] = PRECEDENCE, ticketing: frozenset[str] = TICKETING
) -> Survivor:
    """The canonical fields of one cluster. ValueError for an empty one.

    Fields are those of the members' `event` mappings (or the record's own where it has none). A record that its
    source withdrew speaks only when no other record does. Does not depend on the order of `members`.
    """
    if not members:
        raise ValueError("a cluster has at least one record")
    live = [record for record in members if not record.withdrawn] or list(members)
    rank = {source: position for position, source in enumerate(precedence)}
    views = sorted(((_fields(record), record) for record in live), key=lambda view: _order(view[0], view[1], rank))

    fields: dict[str, Any] = {}
    provenance: dict[str, Provenance] = {}
    names = sorted({name for values, _ in views for name in values} - _COMPUTED)
    for name in names:
        filled = [(values[name], record) for values, record in views if not _empty(values.get(name))]
        if not filled:
            fields[name] = next((values[name] for values, _ in views if name in values), None)
            continue
        value, record = max(filled, key=lambda item: _detail(item[0])) if name == "venue" else filled[0]
        fields[name] = value
        rule = "only" if len(filled) == 1 else "precedence"
        provenance[name] = Provenance(*record.key, rule, len({_plain(other) for other, _ in filled}) - 1)

    _start(views, ticketing, fields, provenance)
    _status(views, ticketing, fields, provenance)
    fields["withdrawn"] = all(record.withdrawn for record in members)
    return Survivor(fields, provenance)


_View = tuple[Mapping[str, Any], Record]


def _fields(record: Record) -> Mapping[str, Any]:
    if record.event:
        return record.event
    return {
        "title": record.title,
        "status": record.status,
        "url": record.url,
        "organizer": record.organizer,
        "performers": record.performers,
        "language": record.lang,
        "venue": {
            "name": record.venue_name,
            "address": record.address,
            "city": record.city,
            "lat": record.lat,
            "lon": record.lon,
        },
    }


def _order(values: Mapping[str, Any], record: Record, rank: Mapping[str, int]) -> tuple[int, int, float, Key]:
    filled = sum(not _empty(value) for value in values.values())
    seen = values.get("seen_at")
    recency = seen.timestamp() if isinstance(seen, datetime) else 0.0
    return rank.get(record.source, len(rank)), -filled, -recency, record.key


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | tuple | list | dict) and not value)


def _detail(value: Any) -> tuple[bool, int]:
    """How much a place says: one with a name beats one without, then the number of its parts that are filled."""
    parts = value if isinstance(value, Mapping) else {name: getattr(value, name, None) for name in _PLACE}
    return bool(parts.get("name")), sum(not _empty(part) for part in parts.values())


_PLACE = ("name", "address", "city", "region", "postal_code", "country", "lat", "lon")


def _plain(value: Any) -> Hashable:
    return repr(value)


def _start(
    views: Sequence[_View], ticketing: frozenset[str], fields: dict[str, Any], provenance: dict[str, Provenance]
) -> None:
    """Majority of the timed records; a tie goes to a ticketing source, then by precedence. A bare day never wins."""
    timed = [view for view in views if view[1].local_time is not None]
    pool = timed or list(views)

    def when(view: _View) -> tuple[date, time | None]:
        return view[1].local_date, view[1].local_time

    votes = Counter(when(view) for view in pool)
    most = max(votes.values())
    leaders = [view for view in pool if votes[when(view)] == most]
    values, record = next((view for view in leaders if view[1].source in ticketing), leaders[0])
    rule = "only" if len(pool) == 1 else "majority" if len({when(view) for view in leaders}) == 1 else "tie_ticketing"
    fields["start"] = values.get("start", when((values, record)))
    fields["local_date"], fields["local_time"], fields["zone"] = record.local_date, record.local_time, record.zone
    provenance["start"] = Provenance(*record.key, rule, len(votes) - 1)
    if record.zone is None:
        fields["zone"] = next((other.zone for _, other in views if other.zone), None)

    # The end must fit the start chosen: the same record's, else one of a record that agrees on the start.
    agreeing = [(values, record), *(view for view in pool if when(view) == when((values, record)))]
    fallback = [*agreeing, *(view for view in views if view[1].local_date == record.local_date)]
    chosen = next((view for view in fallback if view[1].end_date or view[1].end_time), None)
    fields["end"], fields["end_date"], fields["end_time"] = None, None, None
    if chosen is not None:
        fields["end"] = chosen[0].get("end", (chosen[1].end_date, chosen[1].end_time))
        fields["end_date"], fields["end_time"] = chosen[1].end_date, chosen[1].end_time
        provenance["end"] = Provenance(*chosen[1].key, "with_start" if chosen[1] is record else "agrees_with_start")


def _status(
    views: Sequence[_View], ticketing: frozenset[str], fields: dict[str, Any], provenance: dict[str, Provenance]
) -> None:
    """An event is off when a ticketing source says so, or two sources do: one aggregator alone is often wrong."""
    said = [(record.status or "scheduled", record) for _, record in views]
    off = [(word, record) for word, record in said if word in _OFF]
    sources = {record.source for _, record in said}
    believed = (
        {record.source for _, record in off} & ticketing
        or len({record.source for _, record in off}) >= 2
        or (off and len(sources) == 1)
    )
    if believed:
        # The strongest word of those who are believed: of a ticketing source where one speaks, else of all.
        heard = [item for item in off if item[1].source in ticketing] or off
        word, record = min(heard, key=lambda item: _OFF.index(item[0]))
    else:
        word, record = next((item for item in said if item[0] not in _OFF), ("scheduled", said[0][1]))
    fields["status"] = word
    rule = "confirmed" if believed else "precedence"
    provenance["status"] = Provenance(*record.key, rule, len({other for other, _ in said}) - 1)
