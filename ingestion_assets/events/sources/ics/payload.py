"""What of a VEVENT is stored: its properties as JSON, without people.

Belongs here: the payload, whose hash decides whether an event was updated, and the key of an event in its feed.
"""

from __future__ import annotations

import re
from hashlib import sha256

from ingestion_assets.events.model import Json
from ingestion_assets.events.sources.ics.components import Property
from ingestion_assets.events.sources.ics.values import When, unescape
from ingestion_assets.events.sources.ics.vevent import Occurrence, VEvent
from ingestion_assets.events.sources.text import clean_text

MAX_VALUE = 64 * 1024
"""Characters of one property kept in the payload; longer ones are images written into the file."""

_SERIES_ONLY = frozenset({"RRULE", "RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID", "DTSTART", "DTEND", "DURATION"})
"""Left out of an occurrence's payload, or replaced by its own: one more EXDATE must not update the whole series."""

_PEOPLE = frozenset({"ATTENDEE", "CONTACT"})
"""Left out of every payload: who else is invited is personal data, and no part of the event."""

_MAIL_PARAMS = frozenset({"EMAIL", "SENT-BY", "DIR", "X-EMAIL"})
MAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")


def identity(event: VEvent, feed: str) -> str:
    """The UID as it goes into `source_id`; without one, a hash of what tells the event from others of its feed."""
    uid = cleaned_uid(event.value("UID"))
    if uid is None:
        told_by = "\x1f".join((feed, event.value("SUMMARY"), event.value("DTSTART"), event.value("LOCATION")))
        return f"sha256-{sha256(told_by.encode()).hexdigest()[:32]}"
    return uid


def cleaned_uid(written: str) -> str | None:
    """A UID as it goes into `source_id`; None where there is none."""
    uid = clean_text(unescape(written))
    if uid is None or len(uid) <= 255:
        return uid
    # An index row of PostgreSQL holds 2,700 bytes.
    return f"{uid[:64]}-sha256-{sha256(uid.encode()).hexdigest()[:32]}"


def occurrence_payload(occurrence: Occurrence, properties: dict[str, Json], feed: str, zone: str) -> dict[str, Json]:
    """The payload of one occurrence: the properties of its VEVENT (`record`), and what its calendar adds to them.

    `zone` is the one that the event is shown in. An occurrence of a series has its own times in place of the rule.
    """
    calendar = {"feed": feed, "zone": zone}
    if (method := occurrence.event.raw.calendar.get("METHOD")) is not None:
        calendar["method"] = method.upper()
    if occurrence.recurrence is None:
        return {"calendar": calendar, **properties}
    own = {name: value for name, value in properties.items() if name not in _SERIES_ONLY}
    own["RECURRENCE-ID"] = occurrence.recurrence
    own["DTSTART"] = _written(occurrence.start)
    if occurrence.end is not None:
        own["DTEND"] = _written(occurrence.end)
    if occurrence.title_from is not None and "SUMMARY" not in own:
        own["SUMMARY"] = occurrence.title_from.value("SUMMARY")
    return {"calendar": calendar, **own}


def record(event: VEvent) -> dict[str, Json]:
    """The properties of a VEVENT as JSON, without mail addresses; lines that are no properties are under `?`.

    A property without parameters is its value as written; with parameters it is an object; a repeated one is a list.
    Names are sorted, so that another order in the file reads the same.
    """
    properties: dict[str, Json] = {}
    for name, found in sorted(event.properties.items()):
        if name not in _PEOPLE:
            properties[name] = _stored(found[0]) if len(found) == 1 else [_stored(prop) for prop in found]
    if event.unreadable:
        properties["?"] = [MAIL.sub("…", line[:200]) for line in event.unreadable[:20]]
    return properties


def _stored(prop: Property) -> Json:
    value, params = prop.value, prop.params
    if len(value) > MAX_VALUE or params.get("ENCODING", "").upper() == "BASE64":
        value = f"sha256:{sha256(value.encode()).hexdigest()} ({len(value)} characters)"
    if prop.name == "ORGANIZER" and ("@" in value or value.lower().startswith("mailto:")):
        value = ""
    if not params:
        return value
    kept = {name: MAIL.sub("…", params[name]) for name in sorted(params) if name not in _MAIL_PARAMS}
    return {"params": kept, "value": value} if kept else value


def _written(when: When) -> Json:
    if when.is_date:
        return {"params": {"VALUE": "DATE"}, "value": f"{when.local:%Y%m%d}"}
    if when.zone == "UTC":
        return f"{when.local:%Y%m%dT%H%M%SZ}"
    return {"params": {"TZID": when.zone}, "value": f"{when.local:%Y%m%dT%H%M%S}"}
