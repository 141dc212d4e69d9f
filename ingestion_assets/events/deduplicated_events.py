"""`deduplicated_events`: one event for all its records, week by week.

Belongs here: which weeks to resolve, and what Dagster is told. Matching is `deduplication/`, tables are
`deduplication_store.py`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from ingestion_assets import progress
from ingestion_assets.counts import Counts
from ingestion_assets.events.automation import when_inputs_changed
from ingestion_assets.events.corpus_statistics import SHIPPED
from ingestion_assets.events.corpus_statistics import adopted as adopted_statistics
from ingestion_assets.events.deduplication_locks import WeeksMissingError, holding_weeks
from ingestion_assets.events.deduplication_store import (
    WEEK,
    WeekOutcome,
    fingerprints,
    identify,
    read_overrides,
    read_records,
    stored_fingerprints,
    weeks_of_ids,
    write_week,
)
from ingestion_assets.events.deduplication_store import versions as deduplication_versions
from ingestion_assets.events.previews import counts_metadata, run_counts, table, table_schema
from ingestion_assets.events.raw_events import raw_events_key
from ingestion_assets.events.sources import SOURCE_NAMES
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger.dagster_runs import import_job
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.ledger.step_counts import add_counts, read_counts
from ingestion_assets.partitions import key_of, weekly_partitions, weeks_of
from ingestion_assets.settings import DeduplicationSettings
from resources.definitions import PostgresResource
from resources.postgres.database import Database

KEY = dg.AssetKey("deduplicated_events")
NAME = "deduplicated_events"
POOL = "deduplication"
_PATIENCE = 1800.0
"""Seconds that a run waits for one that works on some of its weeks: a quarter of what a run may take."""


@dg.asset(
    key=KEY,
    deps=[raw_events_key(source) for source in SOURCE_NAMES],
    description="One event for all the records that describe it, across sources and languages. Ids are stable: a merged "
    "event leads on through `replaced_by`, a split one says where it came from.",
    group_name="events",
    kinds={"python", "postgres"},
    owners=["team:data-platform"],
    tags={"domain": "events"},
    metadata={
        "dagster/table_name": "ingestion.public.deduplicated_events",
        "dagster/column_schema": table_schema(NAME),
    },
    partitions_def=weekly_partitions(),
    # Several runs, which workers share. No other asset may have the number: equal policies share a run.
    backfill_policy=dg.BackfillPolicy.multi_run(DeduplicationSettings().weeks_per_run),
    automation_condition=when_inputs_changed(),
    # Each run keeps a core busy; what keeps their weeks apart is `deduplication_locks`.
    pool=POOL,
)
def deduplicated_events(context: dg.AssetExecutionContext, postgres: PostgresResource) -> dg.MaterializeResult[None]:
    """Resolve the weeks of the run, and the neighbours whose boundary days changed with them."""
    started = time.monotonic()
    outcomes: list[WeekOutcome] = []
    with classified(context):
        weeks = weeks_of(context.partition_keys)
        with import_job(context, postgres.database, NAME, weeks, wait=_PATIENCE) as job:
            for outcome in resolve_weeks(job, weeks):
                outcomes.append(outcome)
                if outcome.week not in weeks:
                    _tell_of_neighbour(context, outcome)
                progress.report(NAME, f"{len(outcomes)} weeks, {sum(o.counts.fetched for o in outcomes)} events")
            job.commit(job.succeed)
    total, by_week = read_counts(postgres.database, job.job_id)
    for week in weeks:
        counts = by_week.get(week, Counts())
        context.add_asset_metadata(
            {**counts_metadata(counts), "dagster/partition_row_count": counts.fetched},
            asset_key=KEY,
            partition_key=key_of(week),
        )
    return dg.MaterializeResult(
        metadata=_metadata(postgres.database, job, total, outcomes, weeks, time.monotonic() - started)
    )


deduplicated_events = deduplicated_events.with_hooks({stop_run_retries})


def _tell_of_neighbour(context: dg.AssetExecutionContext, outcome: WeekOutcome) -> None:
    """Tell Dagster of a week that changed though the run was not asked for it: tags follow what was materialized."""
    key, counts = key_of(outcome.week), outcome.counts
    if counts.created + counts.updated and weekly_partitions().has_partition_key(key):
        metadata = {**counts_metadata(counts), "dagster/partition_row_count": counts.fetched}
        context.log_event(dg.AssetMaterialization(KEY, partition=key, metadata=metadata))


def resolve_weeks(job: ImportJob, weeks: Sequence[date]) -> Iterator[WeekOutcome]:
    """Resolve each dirty week in a transaction of its own, and say what each one did.

    A record on a Sunday may be the same event as one on the Monday after it, and the earlier week owns both. So the
    week on either side is resolved as well when its records are not what it was resolved from: last, because a run
    that was asked for it may do so meanwhile.
    """
    versions = deduplication_versions(job.session.transact(adopted_statistics))
    around = [*weeks, weeks[0] - WEEK, weeks[-1] + WEEK]
    now = job.session.transact(lambda connection: fingerprints(connection, around, versions=versions))
    before = job.session.transact(lambda connection: stored_fingerprints(connection, around))
    empty = job.session.transact(lambda connection: _empty_weeks(connection, around))
    for week in around:
        inside = week in weeks
        if now[week] == before.get(week):
            if inside:
                yield job.commit(partial(_skip, job=job, week=week))
        elif inside or week not in empty:
            resolve = partial(_resolve, job=job, week=week, asked_for=inside)
            yield holding_weeks(job, week, resolve)


def _resolve(connection: Any, held: frozenset[date], *, job: ImportJob, week: date, asked_for: bool) -> WeekOutcome:
    """Resolve a week, unless another run has done so since this one looked. `held` are the weeks that are locked."""
    from ingestion_assets.events.deduplication.resolve import resolve

    statistics = adopted_statistics(connection)
    # Before the records: what an import changes in between makes the week dirty again.
    fingerprint = fingerprints(connection, [week], versions=deduplication_versions(statistics))[week]
    if stored_fingerprints(connection, [week]).get(week) == fingerprint:
        if asked_for:
            return _skip(connection, job=job, week=week)
        return WeekOutcome(week=week, unchanged=True)
    records = read_records(connection, week)
    if missing := weeks_of_ids(connection, records) - held:
        raise WeeksMissingError(missing)
    window = week, week + WEEK
    resolution = resolve(records, overrides=read_overrides(connection), statistics=statistics, window=window)
    owned = resolution.owned(*window)
    identities, previous = identify(connection, owned, mint=_mint)
    outcome = write_week(
        connection,
        week=week,
        job_id=job.job_id,
        records=records,
        resolution=owned,
        identities=identities,
        previous=previous,
        fingerprint=fingerprint,
    )
    add_counts(connection, job, {week: outcome.counts})
    return outcome


def _skip(connection: Any, *, job: ImportJob, week: date) -> WeekOutcome:
    """A week that is what it was: its events are skipped, but those that an earlier attempt of this job counted."""
    row = connection.execute(
        "SELECT count(*) FROM deduplicated_events WHERE week = %(week)s AND replaced_by IS NULL"
        " AND first_job <> %(job)s AND last_change_job <> %(job)s",
        {"week": week, "job": job.job_id},
    ).fetchone()
    outcome = WeekOutcome(week=week, counts=Counts(skipped=row[0]), unchanged=True)
    add_counts(connection, job, {week: outcome.counts})
    return outcome


def _empty_weeks(connection: Any, weeks: Sequence[date]) -> set[date]:
    present = {
        week
        for (week,) in connection.execute("SELECT DISTINCT week FROM raw_events WHERE week = ANY(%s)", (list(weeks),))
    }
    return set(weeks) - present


def _mint() -> str:
    """A new id: opaque, random, never derived from what it names, so that it can outlive every field."""
    import uuid

    return f"evt_{uuid.uuid4().hex}"


def _metadata(
    database: Database,
    job: ImportJob,
    total: Counts,
    outcomes: Sequence[WeekOutcome],
    weeks: Sequence[date],
    seconds: float,
) -> Mapping[str, Any]:
    [row] = database.fetch_all(
        "SELECT (SELECT version FROM corpus_statistics WHERE adopted_at IS NOT NULL) AS statistics,"
        " count(*) AS events, coalesce(sum(nb_records), 0) AS records,"
        " count(*) FILTER (WHERE nb_sources > 1) AS shared FROM deduplicated_events WHERE replaced_by IS NULL"
    )
    return {
        **run_counts(total),
        "run_seconds": round(seconds, 2),
        "import_job": job.job_id,
        "weeks_unchanged": sum(outcome.unchanged for outcome in outcomes),
        "records": sum(outcome.records for outcome in outcomes),
        "ids_replaced": sum(outcome.merged for outcome in outcomes),
        "ids_split": sum(outcome.split for outcome in outcomes),
        "records_moved": sum(outcome.moved for outcome in outcomes),
        "unions_refused": sum(outcome.refused for outcome in outcomes),
        "events_in_several_sources": row["shared"],
        "corpus_statistics": row["statistics"] or SHIPPED,
        "dagster/row_count": row["events"],
        "found_in_several_sources": table(_shared(database, weeks)),
        "review_queue": table(_reviews(database, weeks)),
    }


def _shared(database: Database, weeks: Sequence[date]) -> list[dict[str, Any]]:
    return database.fetch_all(
        "SELECT left(e.title, 100) AS title, e.local_date::text AS date, coalesce(e.venue_name, '') AS venue,"
        " string_agg(l.source || ':' || l.source_id, ' = ' ORDER BY l.source) AS records"
        " FROM deduplicated_events e JOIN event_links l USING (event_id)"
        " WHERE e.week BETWEEN %(first)s AND %(last)s AND e.nb_sources > 1 AND e.replaced_by IS NULL"
        " GROUP BY e.event_id ORDER BY e.changed_at DESC, e.event_id LIMIT 10",
        {"first": weeks[0], "last": weeks[-1]},
    )


def _reviews(database: Database, weeks: Sequence[date]) -> list[dict[str, Any]]:
    return database.fetch_all(
        "SELECT a_source || ':' || a_id AS a, b_source || ':' || b_id AS b, round(score::numeric, 3)::float8 AS score,"
        " outcome, left(reasons::text, 200) AS reasons FROM match_reviews WHERE week BETWEEN %(first)s AND %(last)s"
        " ORDER BY abs(score - 0.5), a_source, a_id LIMIT 10",
        {"first": weeks[0], "last": weeks[-1]},
    )
