"""Canonical events out of the tables: filters, pages, and what an application gets of each.

Every value is a bound parameter; what may be filtered and the order are fixed here. A page begins after the last event of
the one before it, so no page gets slower, and none repeats an event because another was added meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
from psycopg import Connection
from psycopg.rows import dict_row

from api.problems import Problem

_FOLDED = "àâäáãåçéèêëíìîïñóòôöõúùûüÿ"
_PLAIN = "aaaaaaceeeeiiiinooooouuuuy"
_BEGINS = "coalesce(e.start_local, e.local_date::timestamp)"
_STILL_ON = f"""
{_BEGINS} < %(first)s::date AND e.event_id = ANY(ARRAY(
 SELECT o.event_id FROM deduplicated_events o WHERE o.replaced_by IS NULL AND o.local_date <= %(first)s
 AND ((o.event -> 'end') ->> 'date') >= %(day)s
 AND (((o.event -> 'end') ->> 'date') > %(day)s OR coalesce((o.event -> 'end') ->> 'time', '24') > '00:00:00')))
"""  # noqa: S608 - made of constants
"""By the expression of `ix_deduplicated_events_ends`; an array, so that these few are looked up by their ids and nothing
is read in order from the first event there ever was. An end at midnight is over; one without a time is the day's end."""
_FIELDS = f"""
e.event_id, e.title, e.status, e.precision, e.local_date, e.start_local, e.start_at, e.timezone, e.venue_name, e.city,
e.event, e.nb_sources, e.created_at, e.changed_at, e.withdrawn_at, e.replaced_by, {_BEGINS} AS begins,
t.type AS tag_type, t.genres, t.ambiance, t.audience AS tag_audience,
(SELECT coalesce(array_agg(DISTINCT l.source ORDER BY l.source), '{{}}') FROM event_links l
 WHERE l.event_id = e.event_id) AS sources
"""  # noqa: S608 - made of constants
_FROM = " FROM deduplicated_events e LEFT JOIN tag_enrichments t ON t.event_id = e.event_id AND t.status = 'done' WHERE true"
MOST_TERMS = 8
_LETTERS = {
    plain: f"[{plain}{accented}{accented.upper()}]"
    for plain in sorted(set(_PLAIN))
    if (accented := "".join(letter for letter, bare in zip(_FOLDED, _PLAIN, strict=True) if bare == plain))
}
"""How a letter without an accent may be written, as a class of a regular expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """What to list. Several values of one filter are alternatives; filters add up."""

    first: date | None = None
    """First local day: what begins on it or later, and what began earlier and is still on."""
    last: date | None = None
    """Last local day, included."""
    city: Sequence[str] = ()
    tag: Sequence[str] = ()
    """Any kind of tag."""
    type: Sequence[str] = ()
    genre: Sequence[str] = ()
    ambiance: Sequence[str] = ()
    audience: Sequence[str] = ()
    source: Sequence[str] = ()
    q: str | None = None
    """All its words have to occur in title, place, description or names, without regard to case and accents."""
    withdrawn: bool = False
    """Also events that their sources no longer list."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events in the order in which they begin, and where to go on."""

    events: list[dict[str, Any]]
    next_cursor: str | None


def list_events(
    connection: Connection[Any], chosen: EventFilter, *, limit: int, cursor: str | None = None
) -> EventPage:
    """A page of events. Raises `Problem` 400 for a cursor that was not given out."""
    conditions, parameters = _conditions(chosen)
    if cursor:
        conditions.append(f"({_BEGINS}, e.event_id) > (%(after)s, %(after_id)s)")
        parameters["after"], parameters["after_id"] = decode_cursor(cursor)
    parameters["limit"] = limit + 1
    # Two ranges, of which each is one range of an index; an OR of both would be none.
    ranges = [f"{_BEGINS} >= %(first)s::date", _STILL_ON] if chosen.first is not None else ["true"]
    wanted = "".join(f" AND {condition}" for condition in conditions)
    pages = [
        f"(SELECT {_FIELDS}{_FROM} AND e.replaced_by IS NULL{wanted} AND {begins}"
        f" ORDER BY {_BEGINS}, e.event_id LIMIT %(limit)s)"
        for begins in ranges
    ]
    query = pages[0]
    if len(pages) > 1:
        query = f"{' UNION ALL '.join(pages)} ORDER BY begins, event_id LIMIT %(limit)s"
    with connection.cursor(row_factory=dict_row) as cur:
        rows = cur.execute(query, parameters).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return EventPage(
        [public_event(row) for row in rows],
        encode_cursor(rows[-1]["begins"], rows[-1]["event_id"]) if more else None,
    )


def read_event(connection: Connection[Any], event_id: str) -> dict[str, Any] | None:
    """One event, or None. An event that was merged away has `replaced_by`: the one that stands for it now."""
    with connection.cursor(row_factory=dict_row) as cur:
        row = cur.execute(
            f"SELECT {_FIELDS}{_FROM} AND e.event_id = %(id)s",
            {"id": event_id},
        ).fetchone()
    if row is None:
        return None
    event = public_event(row)
    if row["replaced_by"] is not None:
        event["replaced_by"] = _survivor(connection, event_id)
    return event


def _survivor(connection: Connection[Any], event_id: str) -> str:
    """The end of the chain of mergers. Bounded, though the writer makes no loops."""
    row = connection.execute(
        "WITH RECURSIVE chain AS ("
        " SELECT event_id, replaced_by, 0 AS depth FROM deduplicated_events WHERE event_id = %s"
        " UNION ALL SELECT e.event_id, e.replaced_by, depth + 1 FROM chain c"
        " JOIN deduplicated_events e ON e.event_id = c.replaced_by WHERE depth < 100"
        ") SELECT event_id FROM chain ORDER BY depth DESC LIMIT 1",
        (event_id,),
    ).fetchone()
    assert row is not None  # noqa: S101 - the chain begins with the event itself
    return str(row[0])


def _conditions(chosen: EventFilter) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if chosen.first is not None:
        parameters["first"] = chosen.first
        parameters["day"] = chosen.first.isoformat()
    if chosen.last is not None:
        conditions.append(f"{_BEGINS} < %(last)s::date + interval '1 day'")
        parameters["last"] = chosen.last
    if not chosen.withdrawn:
        conditions.append("e.withdrawn_at IS NULL")
    if chosen.city:
        conditions.append(f"{_fold('e.city')} = ANY(%(city)s)")
        parameters["city"] = [fold(city) for city in chosen.city]
    if chosen.type:
        conditions.append("t.type = ANY(%(type)s)")
        parameters["type"] = list(chosen.type)
    for name, column in (("genre", "genres"), ("ambiance", "ambiance"), ("audience", "audience")):
        if values := getattr(chosen, name):
            conditions.append(f"t.{column} && %({name})s::text[]")
            parameters[name] = list(values)
    if chosen.tag:
        conditions.append("(t.type = ANY(%(tag)s) OR t.genres || t.ambiance || t.audience && %(tag)s::text[])")
        parameters["tag"] = list(chosen.tag)
    if chosen.source:
        conditions.append(
            "EXISTS (SELECT FROM event_links l WHERE l.event_id = e.event_id AND l.source = ANY(%(source)s))"
        )
        parameters["source"] = list(chosen.source)
    _search(chosen.q or "", conditions, parameters)
    return conditions, parameters


def _search(words: str, conditions: list[str], parameters: dict[str, Any]) -> None:
    text = "concat_ws(' ', e.title, e.venue_name, e.city, e.event->>'description', e.event->>'organizer',"
    text += " e.event->>'performers')"
    for number, word in enumerate(words.split()[:MOST_TERMS]):
        conditions.append(f"{text} ~* %(q{number})s")
        parameters[f"q{number}"] = _pattern(word)


def fold(text: str) -> str:
    """Lower case without accents: the same letters as the database's expression folds, and no others."""
    return text.lower().translate(str.maketrans(_FOLDED, _PLAIN))


def _fold(expression: str) -> str:
    return f"translate(lower({expression}), '{_FOLDED}', '{_PLAIN}')"


def _pattern(word: str) -> str:
    """A regular expression for a word however it is accented: literals and classes, nothing that could take long.

    Folding the descriptions instead, letter by letter, takes twenty times as long: seconds for some thousand events.
    """
    return "".join(_LETTERS.get(letter) or re.escape(letter) for letter in fold(word))


def encode_cursor(begins: datetime, event_id: str) -> str:
    """Where a page ended, as opaque text."""
    return base64.urlsafe_b64encode(orjson.dumps([begins.isoformat(), event_id])).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """The inverse. Raises `Problem` 400 for anything else."""
    try:
        begins, event_id = orjson.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        moment = datetime.fromisoformat(begins)
        if moment.tzinfo is not None or not isinstance(event_id, str) or "\x00" in event_id:
            raise ValueError  # noqa: TRY301 - one answer for all that is wrong with it
    except (ValueError, TypeError, binascii.Error):
        raise Problem(400, "The cursor is none that was given out. Begin again without one.") from None
    return moment, event_id


def public_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an application gets of an event, as JSON."""
    event = row["event"]
    end = event.get("end")
    tags = None
    if row["tag_type"] is not None:
        tags = {
            "type": row["tag_type"],
            "genres": row["genres"],
            "ambiance": row["ambiance"],
            "audience": row["tag_audience"],
        }
    return {
        "id": row["event_id"],
        "title": row["title"],
        "status": row["status"],
        "precision": row["precision"],
        "date": row["local_date"].isoformat(),
        "start_local": row["start_local"].isoformat() if row["start_local"] else None,
        "start": row["start_at"].isoformat() if row["start_at"] else None,
        "timezone": row["timezone"],
        "end_date": end["date"] if end else None,
        "end_local": f"{end['date']}T{end['time']}" if end and end.get("time") else None,
        "venue": event.get("venue"),
        "city": row["city"],
        "online": bool(event.get("online", False)),
        "description": event.get("description"),
        "url": event.get("url"),
        "image_url": event.get("image_url"),
        "price": event.get("price"),
        "organizer": event.get("organizer"),
        "performers": event.get("performers", []),
        "categories": event.get("categories", []),
        "language": event.get("language"),
        "tags": tags,
        "sources": row["sources"],
        "created_at": row["created_at"].isoformat(),
        "changed_at": row["changed_at"].isoformat(),
        "withdrawn_at": row["withdrawn_at"].isoformat() if row["withdrawn_at"] else None,
        "replaced_by": row["replaced_by"],
    }
