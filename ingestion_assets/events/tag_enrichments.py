"""`tag_enrichments`: the tags of each event, asked of an LLM provider or of the offline rules.

Belongs here: which events to ask about, and what Dagster is told. The questions are `tagging/`, the tables `tag_store.py`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from ingestion_assets import progress
from ingestion_assets.counts import Counts
from ingestion_assets.events import tag_store
from ingestion_assets.events.automation import when_inputs_changed
from ingestion_assets.events.deduplicated_events import KEY as DEDUPLICATED_EVENTS
from ingestion_assets.events.previews import counts_metadata, run_counts, table, table_schema
from ingestion_assets.events.tag_store import Candidate
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger.dagster_runs import import_job
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.ledger.step_counts import add_counts, read_counts
from ingestion_assets.partitions import key_of, weekly_partitions, weeks_of
from ingestion_assets.settings import TaggingSettings
from resources.definitions import PostgresResource
from resources.postgres.database import Database

KEY = dg.AssetKey("tag_enrichments")
NAME = "tag_enrichments"
_OPEN_BATCH = 2000
_OFFLINE_BATCH = 500
"""Offline answers that share a transaction. They cost nothing, so a crash may lose them; paid ones are stored at once."""


class TaggingConfig(dg.Config):
    """What a person may say about one tagging."""

    retry_errors: bool = False
    """Ask again about events whose last answer could not be used."""


@dg.asset(
    key=KEY,
    deps=[DEDUPLICATED_EVENTS],
    description="Type, genres, ambiance and audience of each event, from a closed bilingual taxonomy. Events whose text "
    "has not changed are not asked about again; what a quota refused stays pending and is tried later.",
    group_name="events",
    kinds={"python", "postgres"},
    owners=["team:data-platform"],
    tags={"domain": "events"},
    metadata={"dagster/table_name": "ingestion.public.tag_enrichments", "dagster/column_schema": table_schema(NAME)},
    op_tags={"dagster/max_runtime": "3600"},
    partitions_def=weekly_partitions(),
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=when_inputs_changed(),
    pool="llm",
)
def tag_enrichments(
    context: dg.AssetExecutionContext, config: TaggingConfig, postgres: PostgresResource
) -> dg.MaterializeResult[None]:
    """Tag the events of the run's weeks that are new or whose text changed."""
    started = time.monotonic()
    settings = TaggingSettings()
    with classified(context):
        weeks = weeks_of(context.partition_keys)
        with import_job(context, postgres.database, NAME, weeks) as job:
            extra = _tag(context, job, weeks, settings, retry_errors=config.retry_errors)
            job.commit(job.succeed)
    total, by_week = read_counts(postgres.database, job.job_id)
    for week in weeks:
        context.add_asset_metadata(
            counts_metadata(by_week.get(week, Counts())), asset_key=KEY, partition_key=key_of(week)
        )
    return dg.MaterializeResult(
        metadata={
            **run_counts(total),
            "run_seconds": round(time.monotonic() - started, 2),
            "import_job": job.job_id,
            **extra,
            **_table_metadata(postgres.database, weeks),
        }
    )


tag_enrichments = tag_enrichments.with_hooks({stop_run_retries})


def _tag(
    context: dg.AssetExecutionContext,
    job: ImportJob,
    weeks: Sequence[date],
    settings: TaggingSettings,
    *,
    retry_errors: bool,
) -> Mapping[str, Any]:
    candidates = job.session.transact(
        lambda connection: tag_store.read_candidates(connection, weeks[0], weeks[-1], job_id=job.job_id)
    )
    wanted = [] if settings.disabled else [c for c in candidates if c.needs_asking(retry_errors=retry_errors)]
    asked = wanted[: settings.max_events_per_run]
    asked_ids = {candidate.item.event_id for candidate in asked}
    _open(job, wanted)
    _count_untouched(job, [c for c in candidates if c.item.event_id not in asked_ids])
    if settings.disabled:
        context.log.warning("DISABLE_TAG_ENRICHMENT is true: no event was tagged.")
        return {"disabled": "DISABLE_TAG_ENRICHMENT is true: nothing was asked.", "asked": 0}
    if len(wanted) > len(asked):
        context.log.warning(
            f"{len(wanted) - len(asked)} events stay pending: TAG_ENRICHMENT_MAX_EVENTS_PER_RUN is {len(asked)}."
        )
    recorder = _Recorder(job, {candidate.item.event_id: candidate for candidate in asked})
    reused = job.session.transact(lambda connection: tag_store.known_answers(connection, asked)) if asked else []
    recorder.store(reused)
    answered = {result.event_id for result in reused}
    items = [candidate.item for candidate in asked if candidate.item.event_id not in answered]
    outcome = asyncio.run(_ask(items, recorder, settings, job.database)) if items else None
    recorder.flush()
    if outcome is None:
        return {"asked": 0, "reused": len(reused)}
    for warning, count in outcome.warnings.items():
        context.log.warning(f"{warning}: {count} questions met it")
    outcome.raise_if_fatal()
    return {
        "asked": len(items),
        "reused": len(reused),
        "deferred": outcome.pending,
        "prompts": outcome.prompts,
        "tokens_in": outcome.usage.input_tokens,
        "tokens_out": outcome.usage.output_tokens,
        "answered_by": dg.MetadataValue.json(dict(outcome.by_provider)),
        "reasons": dg.MetadataValue.json(dict(outcome.reasons)),
        "warnings": dg.MetadataValue.json(dict(outcome.warnings)),
        **({"not_before": dg.MetadataValue.timestamp(outcome.not_before)} if outcome.not_before else {}),
    }


async def _ask(items: Sequence[Any], recorder: "_Recorder", settings: TaggingSettings, database: Database) -> Any:
    from ingestion_assets.events.tagging import tag_events
    from resources.llm import Deadline, LlmSettings, build_client

    llm = LlmSettings()
    async with build_client(llm, database=database) as client:
        return await tag_events(
            items,
            client,
            deadline=Deadline.after(llm.llm_deadline_seconds),
            on_results=recorder,
            events_per_prompt=settings.events_per_prompt,
            concurrency=llm.llm_concurrency,
        )


class _Recorder:
    """Stores results as they arrive. Called from one worker thread at a time, never while the step itself writes."""

    def __init__(self, job: ImportJob, candidates: Mapping[str, Candidate]) -> None:
        self._job = job
        self._candidates = candidates
        self._waiting: list[Any] = []
        self._stored = 0

    def __call__(self, results: Sequence[Any]) -> None:
        self._waiting.extend(results)
        paid = any(result.provider != "offline" for result in results)
        if paid or len(self._waiting) >= _OFFLINE_BATCH:
            self.flush()

    def flush(self) -> None:
        """Store what waits."""
        results, self._waiting = self._waiting, []
        self.store(results)

    def store(self, results: Sequence[Any]) -> None:
        """Store `results` and their counts in one transaction."""
        if not results:
            return

        def work(connection: Any) -> None:
            counts = tag_store.store_results(connection, self._job.job_id, results, self._candidates)
            add_counts(connection, self._job, counts)

        self._job.commit(work)
        self._stored += len(results)
        progress.report(NAME, f"{self._stored} of {len(self._candidates)} events")


def _open(job: ImportJob, candidates: Sequence[Candidate]) -> None:
    """Give every event that has to be asked about its pending row before the first question goes out."""
    for start in range(0, len(candidates), _OPEN_BATCH):
        batch = candidates[start : start + _OPEN_BATCH]
        job.commit(partial(tag_store.open_rows, job_id=job.job_id, candidates=batch))


def _count_untouched(job: ImportJob, candidates: Sequence[Candidate]) -> None:
    """Events that are not asked about in this run count as skipped, but those that this job has counted already."""
    counts: dict[date, Counts] = {}
    for candidate in candidates:
        if not (candidate.by_this_job and candidate.current and candidate.status == "done"):
            counts[candidate.week] = counts.get(candidate.week, Counts()) + Counts(skipped=1)
    job.commit(partial(add_counts, job=job, counts=counts))


def _table_metadata(database: Database, weeks: Sequence[date]) -> Mapping[str, Any]:
    [row] = database.fetch_all(
        "SELECT count(*) AS rows, count(*) FILTER (WHERE status = 'pending') AS pending,"
        " count(*) FILTER (WHERE status = 'error') AS failed FROM tag_enrichments"
    )
    preview = database.fetch_all(
        "SELECT left(e.title, 100) AS title, t.type, array_to_string(t.genres, ', ') AS genres,"
        " array_to_string(t.ambiance, ', ') AS ambiance, array_to_string(t.audience, ', ') AS audience, t.model"
        " FROM tag_enrichments t JOIN deduplicated_events e USING (event_id)"
        " WHERE t.week BETWEEN %(first)s AND %(last)s AND t.status = 'done' ORDER BY t.changed_at DESC, t.event_id LIMIT 10",
        {"first": weeks[0], "last": weeks[-1]},
    )
    return {
        "dagster/row_count": row["rows"],
        "pending": row["pending"],
        "failed": row["failed"],
        "tagged": table(preview),
    }
