"""Tags between the tables and the tagging engine: which events to ask about, and what to write of each answer.

Every event of a week has a row from the moment it is considered: pending until it is answered or has failed, so none is
lost between two runs. Answers are kept apart, by what they depend on: equal texts are asked once, and a text that comes
back costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import orjson

from ingestion_assets.counts import Counts
from ingestion_assets.events.tagging import (
    PROMPT_VERSION,
    EventTags,
    RowStatus,
    TagInput,
    TagResult,
    tag_input,
    taxonomy,
)

if TYPE_CHECKING:
    from psycopg import Connection

_CANDIDATES = """
SELECT e.event_id, e.week, e.title, e.event ->> 'description', e.venue_name, e.event -> 'categories',
       e.event -> 'audience', t.status, t.input_hash,
       t.prompt_version = %(prompt)s AND t.taxonomy_version = %(taxonomy)s,
       t.not_before > now(), t.last_change_job = %(job)s, t.error_code
FROM deduplicated_events e LEFT JOIN tag_enrichments t USING (event_id)
WHERE e.week BETWEEN %(first)s AND %(last)s AND e.replaced_by IS NULL AND e.withdrawn_at IS NULL
ORDER BY e.local_date, e.event_id
"""

_OPEN = """
INSERT INTO tag_enrichments AS t (event_id, week, status, input_hash, prompt_version, taxonomy_version, first_job,
    last_change_job)
SELECT event_id, week, 'pending', input_hash, %(prompt)s, %(taxonomy)s, %(job)s, %(job)s
FROM unnest(%(ids)s::text[], %(weeks)s::date[], %(hashes)s::text[]) AS n (event_id, week, input_hash)
ON CONFLICT (event_id) DO UPDATE SET week = EXCLUDED.week, status = 'pending', input_hash = EXCLUDED.input_hash,
    prompt_version = EXCLUDED.prompt_version, taxonomy_version = EXCLUDED.taxonomy_version
"""

_KNOWN = """
SELECT DISTINCT ON (input_hash) input_hash, provider, model, tags, explanation FROM tag_answers
WHERE prompt_version = %(prompt)s AND taxonomy_version = %(taxonomy)s AND input_hash = ANY(%(hashes)s)
ORDER BY input_hash, answered_at DESC
"""

_ANSWERS = """
INSERT INTO tag_answers (model, prompt_version, taxonomy_version, input_hash, provider, tags, explanation)
SELECT model, %(prompt)s, %(taxonomy)s, input_hash, provider, tags, explanation
FROM jsonb_to_recordset(%(rows)s::jsonb) AS n (status text, model text, input_hash text, provider text, tags jsonb,
    explanation jsonb)
WHERE status = 'done'
ON CONFLICT DO NOTHING
"""

# A row changes only while it is pending for the text that was asked about: the event may have changed meanwhile.
_RESULTS = """
WITH news AS (
    SELECT n.event_id, n.input_hash, n.status, n.provider, n.model, n.explanation, n.error_code, n.error_text,
           n.not_before, n.tags ->> 'type' AS type,
           coalesce(ARRAY(SELECT jsonb_array_elements_text(n.tags -> 'genres')), '{}') AS genres,
           coalesce(ARRAY(SELECT jsonb_array_elements_text(n.tags -> 'ambiance')), '{}') AS ambiance,
           coalesce(ARRAY(SELECT jsonb_array_elements_text(n.tags -> 'audience')), '{}') AS audience
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS n (event_id text, input_hash text, status text, provider text,
        model text, tags jsonb, explanation jsonb, error_code text, error_text text, not_before timestamptz)),
before AS (
    SELECT t.event_id, t.type IS NOT NULL AS tagged,
           (t.type, t.genres, t.ambiance, t.audience) IS DISTINCT FROM (n.type, n.genres, n.ambiance, n.audience) AS differs
    FROM tag_enrichments t JOIN news n USING (event_id, input_hash) WHERE t.status = 'pending'),
written AS (
    UPDATE tag_enrichments AS t SET status = n.status, error_code = n.error_code, error_text = n.error_text,
        not_before = n.not_before, provider = n.provider, model = n.model, explanation = n.explanation,
        last_change_job = %(job)s,
        type = CASE WHEN n.status = 'done' THEN n.type ELSE t.type END,
        genres = CASE WHEN n.status = 'done' THEN n.genres ELSE t.genres END,
        ambiance = CASE WHEN n.status = 'done' THEN n.ambiance ELSE t.ambiance END,
        audience = CASE WHEN n.status = 'done' THEN n.audience ELSE t.audience END,
        changed_at = CASE WHEN n.status = 'done' AND b.differs THEN now() ELSE t.changed_at END
    FROM news n JOIN before b USING (event_id)
    WHERE t.event_id = n.event_id AND t.input_hash = n.input_hash AND t.status = 'pending'
    RETURNING t.event_id)
SELECT event_id, tagged, differs FROM before JOIN written USING (event_id)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One event of the weeks of a run: what would be asked, and what is known of it."""

    item: TagInput
    week: date
    status: str | None
    """Of its row; None when it has none."""
    current: bool
    """The row was made from this text, with these versions of prompt and taxonomy."""
    deferred: bool
    """A provider named a time before which asking makes no sense, and it has not come."""
    by_this_job: bool
    """An earlier attempt of this job wrote the row, and counted it."""
    error_code: str | None

    def needs_asking(self, *, retry_errors: bool) -> bool:
        if self.status is None or not self.current:
            return True
        if self.status == "pending":
            return not self.deferred
        return self.status == "error" and retry_errors


def versions() -> dict[str, str]:
    """What every answer depends on besides the text."""
    return {"prompt": PROMPT_VERSION, "taxonomy": taxonomy().version}


def read_candidates(connection: Connection[Any], first: date, last: date, *, job_id: int) -> list[Candidate]:
    """Every event of the weeks that is neither replaced nor withdrawn."""
    candidates = []
    for row in connection.execute(_CANDIDATES, {**versions(), "first": first, "last": last, "job": job_id}):
        event_id, week, title, description, venue, categories, audience, status, input_hash, versions_match, *rest = row
        item = tag_input(
            event_id=event_id,
            title=title,
            description=description,
            venue_name=venue,
            categories=categories or (),
            audience=audience or (),
        )
        candidates.append(
            Candidate(
                item=item,
                week=week,
                status=status,
                current=bool(versions_match) and input_hash == item.input_hash,
                deferred=bool(rest[0]),
                by_this_job=bool(rest[1]),
                error_code=rest[2],
            )
        )
    return candidates


def open_rows(connection: Connection[Any], job_id: int, candidates: Sequence[Candidate]) -> None:
    """Make the rows of `candidates` pending. What they said before stays readable until the answer replaces it."""
    connection.execute(
        _OPEN,
        {
            **versions(),
            "job": job_id,
            "ids": [candidate.item.event_id for candidate in candidates],
            "weeks": [candidate.week for candidate in candidates],
            "hashes": [candidate.item.input_hash for candidate in candidates],
        },
    )


def known_answers(connection: Connection[Any], candidates: Sequence[Candidate]) -> list[TagResult]:
    """Results for those candidates whose text was answered before, whoever asked about it then."""
    hashes = sorted({candidate.item.input_hash for candidate in candidates})
    known = {row[0]: row[1:] for row in connection.execute(_KNOWN, {**versions(), "hashes": hashes})}
    return [
        TagResult(
            event_id=candidate.item.event_id,
            input_hash=candidate.item.input_hash,
            status=RowStatus.DONE,
            provider=known[candidate.item.input_hash][0],
            model=known[candidate.item.input_hash][1],
            tags=EventTags.model_validate(known[candidate.item.input_hash][2]),
            explanation=known[candidate.item.input_hash][3],
        )
        for candidate in candidates
        if candidate.item.input_hash in known
    ]


def store_results(
    connection: Connection[Any], job_id: int, results: Sequence[TagResult], weeks: Mapping[str, date]
) -> dict[date, Counts]:
    """Write answers, failures and deferrals in two statements; returns what they count as, by week.

    A deferred row is skipped, and so is one whose tags are what they were: nothing changed for readers.
    """
    rows = orjson.dumps([_row(result) for result in results]).decode()
    connection.execute(_ANSWERS, {**versions(), "rows": rows})
    written = {
        event_id: (tagged, differs)
        for event_id, tagged, differs in connection.execute(_RESULTS, {"job": job_id, "rows": rows})
    }
    counts: dict[date, Counts] = {}
    for result in results:
        week = weeks[result.event_id]
        tagged, differs = written.get(result.event_id, (True, False))
        if result.event_id in written and result.status is RowStatus.ERROR:
            one = Counts(errors=1, by_reason={result.error_code or "unknown": 1})
        elif result.status is not RowStatus.DONE or not differs:
            one = Counts(skipped=1)
        else:
            one = Counts(updated=1) if tagged else Counts(created=1)
        counts[week] = counts.get(week, Counts()) + one
    return counts


def make_due(connection: Connection[Any]) -> int:
    """Let the events that a quota had put off be asked about at once. Returns how many those are."""
    return connection.execute(
        "UPDATE tag_enrichments SET not_before = now()"
        " WHERE status = 'pending' AND error_code = 'quota_exceeded' AND not_before > now()"
    ).rowcount


def _row(result: TagResult) -> dict[str, Any]:
    return {
        "event_id": result.event_id,
        "input_hash": result.input_hash,
        "status": result.status.value,
        "provider": result.provider or None,
        "model": result.model or None,
        "tags": None if result.tags is None else result.tags.model_dump(mode="json"),
        "explanation": result.explanation,
        "error_code": result.error_code,
        "error_text": result.error_text,
        "not_before": result.not_before,
    }
