"""Events as JSON, the form in which they are stored and handed from asset to asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import date, time
from functools import lru_cache
from typing import Any

import orjson

from ingestion_assets.events.model import Event, EventStatus, Moment, Price, Venue

_PLAIN = ("title", "description", "online", "url", "image_url", "organizer", "language", "series_id")
_LISTS = ("performers", "categories", "audience", "warnings")


def event_json(event: Event) -> bytes:
    """The normalised event without its payload, in UTF-8; what is missing is left out."""
    return orjson.dumps(event_dict(event))


def payload_json(payload: Any) -> bytes:
    """A payload as JSON in UTF-8. Raises TypeError for what JSON cannot hold."""
    return orjson.dumps(payload)


def event_dict(event: Event) -> dict[str, Any]:
    """The normalised event as plain JSON values; keys whose value is missing or empty are left out."""
    result: dict[str, Any] = {"source_id": event.source_id, "status": event.status.value}
    for name in _PLAIN:
        value = getattr(event, name)
        if value is not None and value is not False:  # `in` would compare each text with both
            result[name] = value
    for name in _LISTS:
        if values := getattr(event, name):
            result[name] = list(values)
    if event.start is not None:
        result["start"] = _moment_dict(event.start)
    if event.end is not None:
        result["end"] = _moment_dict(event.end)
    if event.venue is not None:
        result["venue"] = _known(event.venue)
    if event.price is not None:
        result["price"] = _known(event.price)
    return result


def event_from_dict(stored: Mapping[str, Any]) -> Event:
    """The inverse of `event_dict`; the payload is not part of it and comes back empty."""
    plain: dict[str, Any] = {name: stored[name] for name in _PLAIN if name in stored and name != "title"}
    lists: dict[str, Any] = {name: tuple(stored[name]) for name in _LISTS if name in stored}
    return Event(
        source_id=stored["source_id"],
        title=stored["title"],
        payload={},
        start=_moment(stored.get("start")),
        end=_moment(stored.get("end")),
        status=EventStatus(stored["status"]),
        venue=Venue(**stored["venue"]) if "venue" in stored else None,
        price=Price(**stored["price"]) if "price" in stored else None,
        **plain,
        **lists,
    )


_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Venue, Price)}


@lru_cache(maxsize=2_048)
def _known(value: Venue | Price) -> Mapping[str, Any]:
    """Remembered: many events share a venue, and most of a source's prices are alike. Never changed by a caller."""
    return {name: item for name in _FIELDS[type(value)] if (item := getattr(value, name)) is not None}


@lru_cache(maxsize=4_096)
def _moment_dict(moment: Moment) -> Mapping[str, Any]:
    """Remembered: many events begin together. Never changed by a caller."""
    result: dict[str, Any] = {"date": moment.date.isoformat(), "zone": moment.zone}
    if moment.time is not None:
        result["time"] = moment.time.isoformat()
    if moment.zone_assumed:
        result["zone_assumed"] = True
    return result


def _moment(stored: Mapping[str, Any] | None) -> Moment | None:
    if stored is None:
        return None
    clock = stored.get("time")
    return Moment(
        date=date.fromisoformat(stored["date"]),
        time=None if clock is None else time.fromisoformat(clock),
        zone=stored["zone"],
        zone_assumed=stored.get("zone_assumed", False),
    )
