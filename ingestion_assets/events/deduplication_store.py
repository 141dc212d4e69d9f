"""One week of deduplication between the tables and the pure pipeline: what to resolve, and what to write of it.

A week is resolved from its own records and those of the neighbouring days. Its fingerprint covers exactly that, with the
overrides of those records and the versions of model and statistics: a week whose fingerprint is the stored one is left
alone, and a week whose fingerprint differs is dirty, whoever changed it and whenever. Nothing else keeps track, so
nothing can drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from ingestion_assets.counts import Counts
from ingestion_assets.events.canonical import CanonicalEvent, canonical_event
from ingestion_assets.events.deduplication.identity import Identities, assign_identities
from ingestion_assets.events.deduplication.records import (
    Key,
    Override,
    Record,
    RefusedUnion,
    Resolution,
    UncertainPair,
    Verdict,
    record_from_event,
)
from ingestion_assets.events.deduplication_locks import LinkTakenError
from ingestion_assets.events.model import week_of
from ingestion_assets.events.serialising import event_from_dict

if TYPE_CHECKING:
    from psycopg import Connection

    from ingestion_assets.events.deduplication.statistics import CorpusStatistics


RULES_VERSION = "8"
"""Raised when matching, survivorship or identity work differently on the same records: every week is then dirty."""
WEEK = timedelta(days=7)
DAY = timedelta(days=1)

_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS stage_events
    (event_id text, local_date date, start_local timestamp, start_at timestamptz, timezone text, precision text,
     status text, title text, venue_name text, city text, event text, provenance text, nb_sources int, nb_records int,
     content_hash bytea, withdrawn boolean, split_from text) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_links
    (source text, source_id text, event_id text, score float8, reasons text, linked boolean) ON COMMIT DELETE ROWS;
"""

_EVENT_TYPES = (
    *("text", "date", "timestamp", "timestamptz"),
    *("text",) * 8,
    *("int4", "int4", "bytea", "bool", "text"),
)

_WRITE_EVENTS = """
WITH written AS (
    INSERT INTO deduplicated_events AS t (event_id, week, local_date, start_local, start_at, timezone, precision, status,
        title, venue_name, city, event, provenance, nb_sources, nb_records, content_hash, withdrawn_at, split_from,
        first_job, last_change_job)
    SELECT s.event_id, %(week)s, s.local_date, s.start_local, s.start_at, s.timezone, s.precision, s.status, s.title,
           s.venue_name, s.city, s.event::jsonb, s.provenance::jsonb, s.nb_sources, s.nb_records, s.content_hash,
           CASE WHEN s.withdrawn THEN now() END, s.split_from, %(job)s, %(job)s
    FROM stage_events s LEFT JOIN deduplicated_events e USING (event_id)
    WHERE e.event_id IS NULL OR e.content_hash <> s.content_hash OR e.week <> %(week)s
       OR (e.withdrawn_at IS NOT NULL) <> s.withdrawn OR e.replaced_by IS NOT NULL
    ON CONFLICT (event_id) DO UPDATE SET week = EXCLUDED.week, local_date = EXCLUDED.local_date,
        start_local = EXCLUDED.start_local, start_at = EXCLUDED.start_at, timezone = EXCLUDED.timezone,
        precision = EXCLUDED.precision, status = EXCLUDED.status, title = EXCLUDED.title,
        venue_name = EXCLUDED.venue_name, city = EXCLUDED.city, event = EXCLUDED.event,
        provenance = EXCLUDED.provenance, nb_sources = EXCLUDED.nb_sources, nb_records = EXCLUDED.nb_records,
        content_hash = EXCLUDED.content_hash, replaced_by = NULL, changed_at = now(),
        last_change_job = EXCLUDED.last_change_job,
        withdrawn_at = CASE WHEN EXCLUDED.withdrawn_at IS NULL THEN NULL
                            ELSE coalesce(t.withdrawn_at, EXCLUDED.withdrawn_at) END
    -- Inserted just now. An event that this job made in another week, and an import has moved since, is changed here.
    RETURNING xmax = 0 AS created)
SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created) FROM written
"""

_INSERT_LINKS = """
INSERT INTO event_links (source, source_id, event_id, score, reasons)
SELECT source, source_id, event_id, score, reasons::jsonb FROM stage_links WHERE NOT linked
ON CONFLICT (source, source_id) DO NOTHING
"""

_UPDATE_LINKS = """
UPDATE event_links t SET score = s.score, reasons = s.reasons::jsonb, event_id = s.event_id,
    since = CASE WHEN t.event_id = s.event_id THEN t.since ELSE now() END
FROM stage_links s
WHERE s.linked AND t.source = s.source AND t.source_id = s.source_id AND (t.event_id <> s.event_id
   OR t.score IS DISTINCT FROM s.score OR t.reasons IS DISTINCT FROM s.reasons::jsonb)
"""

# An event whose records have all lost their date belongs to no week any more: it is withdrawn until they are dated.
_WITHDRAW_UNDATED = """
UPDATE deduplicated_events e SET withdrawn_at = now(), changed_at = now(), last_change_job = %(job)s
WHERE e.week = %(week)s AND e.withdrawn_at IS NULL AND e.replaced_by IS NULL AND NOT EXISTS (
    SELECT 1 FROM event_links l JOIN raw_events r USING (source, source_id)
    WHERE l.event_id = e.event_id AND r.local_date IS NOT NULL)
"""


@dataclass(slots=True)
class WeekOutcome:
    """What resolving one week did. `counts` are of events; `fetched` is the number of events the week has."""

    week: date
    counts: Counts = field(default_factory=Counts)
    records: int = 0
    merged: int = 0
    """Ids that were replaced by another one."""
    split: int = 0
    """New ids that came out of an older one."""
    moved: int = 0
    """Records whose event is another than before."""
    refused: int = 0
    review: int = 0
    unchanged: bool = False
    """The fingerprint was the stored one: nothing was read or written."""


def versions(statistics: CorpusStatistics) -> tuple[str, ...]:
    """What every resolution depends on besides the records: rules, weights and corpus statistics."""
    from ingestion_assets.events.deduplication.weights import default_model

    return RULES_VERSION, default_model().version, statistics.version


def fingerprints(connection: Connection[Any], weeks: Iterable[date], *, versions: Sequence[str]) -> Mapping[date, str]:
    """What each week would be resolved from, in two queries. Sums of hashes: the order of rows does not matter."""
    wanted = sorted(set(weeks))
    if not wanted:
        return {}
    span = wanted[0] - DAY, wanted[-1] + WEEK
    days = {
        day: f"{count}:{total}"
        for day, count, total in connection.execute(
            "SELECT local_date, count(*), sum(hashtextextended(source || chr(31) || source_id || chr(31)"
            " || encode(content_hash, 'hex') || record_version || (withdrawn_at IS NULL), 0)::numeric)"
            " FROM raw_events WHERE local_date BETWEEN %s AND %s GROUP BY local_date",
            span,
        )
    }
    # An override belongs to the days of its records: what it says of other records is nothing.
    for day, count, total in connection.execute(
        "SELECT local_date, count(*), sum(hashtextextended(o::text, 0)::numeric) FROM match_overrides o"
        " CROSS JOIN LATERAL (VALUES (a_source, a_id), (b_source, b_id)) AS k (source, source_id)"
        " JOIN raw_events r USING (source, source_id) WHERE r.local_date BETWEEN %s AND %s GROUP BY local_date",
        span,
    ):
        days[day] = f"{days.get(day, '0')}+{count}:{total}"
    common = "|".join(versions)
    return {
        week: sha256(
            "|".join([common, *(days.get(week + DAY * offset, "0") for offset in range(-1, 8))]).encode()
        ).hexdigest()
        for week in wanted
    }


def stored_fingerprints(connection: Connection[Any], weeks: Iterable[date]) -> Mapping[date, str]:
    """What each week was resolved from last time; weeks that never were are missing."""
    return dict(
        connection.execute(
            "SELECT week, input_hash FROM deduplication_weeks WHERE week = ANY(%s)", (sorted(set(weeks)),)
        ).fetchall()
    )


def read_records(connection: Connection[Any], week: date) -> list[Record]:
    """The dated records of a week and of one day on each side, withdrawn ones included: they keep their place."""
    cursor = connection.execute(
        "SELECT source, event, encode(content_hash, 'hex'), withdrawn_at IS NOT NULL, changed_at FROM raw_events"
        " WHERE local_date BETWEEN %s AND %s ORDER BY source, source_id",
        (week - DAY, week + WEEK),
    )
    return [
        record_from_event(
            source, event_from_dict(event), content_hash=content_hash, withdrawn=withdrawn, seen_at=changed_at
        )
        for source, event, content_hash, withdrawn, changed_at in cursor
    ]


def read_overrides(connection: Connection[Any]) -> list[Override]:
    """Every decision that people made about pairs of records."""
    return [
        Override(a=Key(a_source, a_id), b=Key(b_source, b_id), verdict=Verdict(decision), who=who, when=when, why=why)
        for a_source, a_id, b_source, b_id, decision, who, when, why in connection.execute(
            "SELECT a_source, a_id, b_source, b_id, decision, decided_by, decided_at, why FROM match_overrides"
        )
    ]


def weeks_of_ids(connection: Connection[Any], records: Iterable[Record]) -> set[date]:
    """The weeks of the events that the records belong to so far."""
    keys = [record.key for record in records]
    return {
        week
        for (week,) in connection.execute(
            "SELECT DISTINCT e.week FROM unnest(%s::text[], %s::text[]) AS k (source, source_id)"
            " JOIN event_links l USING (source, source_id) JOIN deduplicated_events e USING (event_id)",
            ([key.source for key in keys], [key.source_id for key in keys]),
        )
    }


def identify(connection: Connection[Any], resolution: Resolution, *, mint: Any) -> tuple[Identities, Mapping[Key, str]]:
    """Ids for the clusters of a resolution, the old ones wherever records carry them; and those that they carry."""
    keys = [key for cluster in resolution.clusters for key in cluster.members]
    rows = connection.execute(
        "SELECT l.source, l.source_id, l.event_id, e.created_at FROM event_links l"
        " JOIN deduplicated_events e USING (event_id) WHERE l.event_id IN ("
        "   SELECT event_id FROM event_links JOIN unnest(%s::text[], %s::text[]) AS k (source, source_id)"
        "   USING (source, source_id))",
        ([key.source for key in keys], [key.source_id for key in keys]),
    ).fetchall()
    previous = {Key(source, source_id): event_id for source, source_id, event_id, _ in rows}
    age: Mapping[str, datetime] = {event_id: created for _, _, event_id, created in rows}
    members = [cluster.members for cluster in resolution.clusters]
    return assign_identities(members, previous, mint=mint, age=age), previous


def write_week(
    connection: Connection[Any],
    *,
    week: date,
    job_id: int,
    records: Sequence[Record],
    resolution: Resolution,
    identities: Identities,
    previous: Mapping[Key, str],
    fingerprint: str,
) -> WeekOutcome:
    """Store what was resolved: new and changed events, links, replaced ids, the review queue and the fingerprint.

    Raises `LinkTakenError` when a record that is not in `previous` has an event by now.
    """
    by_key = {record.key: record for record in records}
    connection.execute(_STAGE)
    events = [
        canonical_event([by_key[key] for key in identity.members], identity) for identity in identities.by_cluster
    ]
    _copy_events(connection, events)
    unlinked = _copy_links(connection, resolution, identities, previous)
    parameters = {"week": week, "job": job_id}
    row = connection.execute(_WRITE_EVENTS, parameters).fetchone()
    created, updated = row or (0, 0)
    if connection.execute(_INSERT_LINKS).rowcount != unlinked:
        raise LinkTakenError("a record has been given an event meanwhile")
    connection.execute(_UPDATE_LINKS)
    for old, new in identities.replaced_by.items():
        connection.execute(
            "UPDATE deduplicated_events SET replaced_by = %s, changed_at = now(), last_change_job = %s"
            " WHERE event_id = %s",
            (new, job_id, old),
        )
    connection.execute(_WITHDRAW_UNDATED, parameters)
    _write_reviews(connection, week, resolution)
    connection.execute(
        "INSERT INTO deduplication_weeks (week, input_hash, job_id) VALUES (%s, %s, %s) ON CONFLICT (week)"
        " DO UPDATE SET input_hash = EXCLUDED.input_hash, job_id = EXCLUDED.job_id, resolved_at = now()",
        (week, fingerprint, job_id),
    )
    return WeekOutcome(
        week=week,
        counts=Counts(created=created, updated=updated, skipped=len(events) - created - updated),
        records=sum(len(cluster.members) for cluster in resolution.clusters),
        merged=len(identities.replaced_by),
        split=sum(identity.split_from is not None for identity in identities.by_cluster),
        moved=len(identities.moved),
        refused=len(resolution.refused),
        review=len(resolution.review),
    )


def _copy_events(connection: Connection[Any], events: Sequence[CanonicalEvent]) -> None:
    with connection.cursor().copy("COPY stage_events FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_EVENT_TYPES)
        for event in events:
            copy.write_row(event.row())


def _copy_links(
    connection: Connection[Any], resolution: Resolution, identities: Identities, previous: Mapping[Key, str]
) -> int:
    """How many of the records had no event before."""
    ids, unlinked = identities.assignments, 0
    with connection.cursor().copy("COPY stage_links FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(("text", "text", "text", "float8", "text", "bool"))
        for key, link in resolution.links.items():
            reasons = {"partner": link.partner and ":".join(link.partner), "reasons": list(link.reasons)}
            linked = key in previous
            unlinked += not linked
            copy.write_row((key.source, key.source_id, ids[key], link.score, orjson.dumps(reasons).decode(), linked))
    return unlinked


def _write_reviews(connection: Connection[Any], week: date, resolution: Resolution) -> None:
    """The review queue of a week, rebuilt with it."""
    connection.execute("DELETE FROM match_reviews WHERE week = %s", (week,))
    rows: list[tuple[UncertainPair | RefusedUnion, str, list[str]]] = []
    for pair in resolution.review:
        # A record of the Monday after the week belongs to the next one, which owns its cluster as a whole.
        a, b = resolution.links.get(pair.a), resolution.links.get(pair.b)
        together = a is not None and b is not None and a.cluster == b.cluster
        rows.append((pair, "merged" if together else "kept apart", list(pair.reasons)))
    rows += [(pair, "refused", [pair.reason]) for pair in resolution.refused]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO match_reviews (a_source, a_id, b_source, b_id, week, score, outcome, reasons)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb) ON CONFLICT DO NOTHING",
            [
                (*pair.a, *pair.b, week, pair.score, outcome, orjson.dumps(reasons).decode())
                for pair, outcome, reasons in rows
            ],
        )


def dirty_weeks(connection: Connection[Any], *, versions: Sequence[str]) -> list[date]:
    """Every week that has dated records and was not resolved from what is stored now, oldest first."""
    weeks = {
        week_of(day) for (day,) in connection.execute("SELECT DISTINCT week FROM raw_events WHERE week IS NOT NULL")
    }
    now = fingerprints(connection, weeks, versions=versions)
    before = stored_fingerprints(connection, weeks)
    return sorted(week for week in weeks if now[week] != before.get(week))
