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
from ingestion_assets.events import tag_batches, tag_store
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
from resources.llm import LlmSettings
from resources.llm.ledger import record_usage
from resources.llm.prices import load_prices
from resources.llm.resource import LlmResource
from resources.postgres.database import Database
from resources.settings import reading_settings

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
    partitions_def=weekly_partitions(),
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=when_inputs_changed(),
    pool="llm",
)
def tag_enrichments(
    context: dg.AssetExecutionContext, config: TaggingConfig, postgres: PostgresResource, llm: LlmResource
) -> dg.MaterializeResult[None]:
    """Tag the events of the run's weeks that are new or whose text changed."""
    started = time.monotonic()
    with classified(context):
        weeks = weeks_of(context.partition_keys)
        with import_job(context, postgres.database, NAME, weeks) as job:
            extra = _tag(context, job, weeks, llm.settings(), retry_errors=config.retry_errors)
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
    llm: LlmSettings,
    *,
    retry_errors: bool,
) -> Mapping[str, Any]:
    with reading_settings():
        settings = TaggingSettings()
    extra: dict[str, Any] = {}
    if not settings.disabled and (collected := tag_batches.collect(job, llm, weeks, warn=context.log.warning)):
        extra["batches_collected"] = collected
    candidates = job.session.transact(
        lambda connection: tag_store.read_candidates(connection, weeks[0], weeks[-1], job_id=job.job_id)
    )
    if settings.disabled:
        # What has tags keeps them; the others are pending, so that none is missing when tagging is on again.
        _open(job, [candidate for candidate in candidates if candidate.status is None])
        context.log.warning("DISABLE_TAG_ENRICHMENT is true: no event was tagged.")
        _count_untouched(job, candidates)
        return {"disabled": "DISABLE_TAG_ENRICHMENT is true: nothing was asked.", "asked": 0}
    wanted = [candidate for candidate in candidates if candidate.needs_asking(retry_errors=retry_errors)]
    _open(job, wanted)
    recorder = _Recorder(job, {candidate.item.event_id: candidate.week for candidate in candidates})
    reused = job.session.transact(partial(tag_store.known_answers, candidates=wanted)) if wanted else []
    recorder.store(reused)
    answered = {result.event_id for result in reused}
    unanswered = [candidate for candidate in wanted if candidate.item.event_id not in answered]
    asked = unanswered[: settings.max_events_per_run]
    if len(unanswered) > len(asked):
        context.log.warning(
            f"{len(unanswered) - len(asked)} events stay pending: TAG_ENRICHMENT_MAX_EVENTS_PER_RUN is {len(asked)}."
        )
    extra["reused"] = len(reused)
    # What a batch could not answer is asked about online; everything else, also what a quota had put off, may wait for
    # the cheaper way.
    by_batch = settings.mode == "batch" and "openai" in llm.order
    later = [candidate for candidate in asked if by_batch and candidate.error_code in (None, "quota_exceeded")]
    submitted = {candidate.item.event_id for candidate in later}
    online = [candidate for candidate in asked if candidate.item.event_id not in submitted]
    asked_online = {candidate.item.event_id for candidate in online} | answered
    _count_untouched(job, [c for c in candidates if c.item.event_id not in asked_online])
    if later:
        extra["batches_submitted"] = tag_batches.submit(
            job, later, llm, events_per_prompt=settings.events_per_prompt, warn=context.log.warning
        )
        extra["submitted"] = len(later)
    return {**extra, **_ask_online(context, job, online, recorder, settings, llm)}


def _ask_online(
    context: dg.AssetExecutionContext,
    job: ImportJob,
    candidates: Sequence[Candidate],
    recorder: "_Recorder",
    settings: TaggingSettings,
    llm: LlmSettings,
) -> Mapping[str, Any]:
    if not candidates:
        return {"asked": 0}
    items = [candidate.item for candidate in candidates]
    outcome = asyncio.run(_ask(items, recorder, settings, llm, job.database))
    recorder.flush()
    cost = job.commit(
        partial(
            record_usage,
            spent=outcome.usage_by_model,
            prices=load_prices(llm.llm_prices),
            purpose=NAME,
            reference=job.run_id,
        )
    )
    for warning, count in outcome.warnings.items():
        context.log.warning(f"{warning}: {count} questions met it")
    if outcome.pending:
        context.log.warning(
            f"{outcome.pending} events stay pending ({dict(outcome.reasons)}); next try from {outcome.not_before}"
        )
    outcome.raise_if_fatal()
    return {
        "asked": len(items),
        "deferred": outcome.pending,
        "prompts": outcome.prompts,
        "requests": outcome.usage.requests,
        "rate_limited": outcome.usage.rate_limited,
        "waited_seconds": round(outcome.usage.waited_seconds, 1),
        "tokens_in": outcome.usage.input_tokens,
        "tokens_out": outcome.usage.output_tokens,
        "tokens_cached": outcome.usage.cached_tokens,
        "cost_usd": float(cost or 0),
        "answered_by": dg.MetadataValue.json(dict(outcome.by_provider)),
        "reasons": dg.MetadataValue.json({str(reason): count for reason, count in outcome.reasons.items()}),
        "warnings": dg.MetadataValue.json(dict(outcome.warnings)),
        **({"not_before": dg.MetadataValue.timestamp(outcome.not_before)} if outcome.not_before else {}),
    }


async def _ask(
    items: Sequence[Any], recorder: "_Recorder", settings: TaggingSettings, llm: LlmSettings, database: Database
) -> Any:
    from ingestion_assets.events.tagging import tag_events
    from resources.llm import Deadline, build_client

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

    def __init__(self, job: ImportJob, weeks: Mapping[str, date]) -> None:
        self._job = job
        self._weeks = weeks
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
            counts = tag_store.store_results(connection, self._job.job_id, results, self._weeks)
            add_counts(connection, self._job, counts)

        self._job.commit(work)
        self._stored += len(results)
        progress.report(NAME, f"{self._stored} events")


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
