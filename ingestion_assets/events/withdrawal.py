"""Events that a source no longer lists: marked, never deleted, and not at all when the feed looks broken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

GUARD = 0.20
"""A complete fetch that misses more than this share of the known events is a broken feed, not a cancelled season."""
ALWAYS_ALLOWED = 3
"""So many may be missing from any fetch that listed something: of four known events, one is over the share already."""

_MISSING = """
SELECT count(*) FILTER (WHERE s.last_job IS DISTINCT FROM %(job)s),
       count(*) FILTER (WHERE r.first_job <> %(job)s)
FROM raw_events r LEFT JOIN raw_events_seen s USING (source, source_id)
WHERE r.source = %(source)s AND r.week BETWEEN %(first)s AND %(last)s AND r.local_date >= %(today)s
  AND r.withdrawn_at IS NULL
"""

_WITHDRAW = """
UPDATE raw_events r SET withdrawn_at = now(), changed_at = now()
WHERE r.source = %(source)s AND r.week BETWEEN %(first)s AND %(last)s AND r.local_date >= %(today)s
  AND r.withdrawn_at IS NULL AND NOT EXISTS (
      SELECT 1 FROM raw_events_seen s
      WHERE s.source = r.source AND s.source_id = r.source_id AND s.last_job = %(job)s)
"""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a complete fetch said of the events that it no longer lists."""

    known: int
    """Events of the window, from today on, that were known before the fetch."""
    missing: int
    """Those of them that the fetch did not list."""
    withdrawn: int
    """Those that were marked: all of the missing, or none."""
    refused: str | None
    """Why nothing was marked although events are missing."""


def withdraw(
    connection: Connection[Any],
    *,
    source: str,
    job_id: int,
    weeks: tuple[date, date],
    today: date,
    listed: int,
    incomplete: str | None,
    accept: bool,
) -> Withdrawal:
    """Mark the events of `weeks` that this job, whose fetch has ended, did not see.

    Only events from `today` on: what is over drops out of most feeds. Nothing is marked when the fetch was `incomplete`
    (the reason), or when more than `GUARD` of the known events would go, and more than `ALWAYS_ALLOWED` or the fetch
    `listed` no record at all, unless a person said to `accept` that.
    """
    parameters = {"source": source, "job": job_id, "first": weeks[0], "last": weeks[1], "today": today}
    row = connection.execute(_MISSING, parameters).fetchone()
    missing, known = row or (0, 0)
    refused = None
    if missing and incomplete:
        refused = f"the fetch was not complete: {incomplete}"
    elif missing > GUARD * known and (missing > ALWAYS_ALLOWED or not listed) and not accept:
        refused = (
            f"{missing} of {known} known events are gone, over {GUARD:.0%}: the feed is taken for broken. "
            "If they are really gone, run the asset with accept_withdrawals."
        )
    withdrawn = connection.execute(_WITHDRAW, parameters).rowcount if missing and refused is None else 0
    return Withdrawal(known=known, missing=missing, withdrawn=withdrawn, refused=refused)
