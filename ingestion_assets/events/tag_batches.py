"""Tags by a provider's batch mode: submit in one run, collect in a later one.

The rows of a submitted batch stay pending, marked `batch_submitted`, until its answers are stored; the sensor
`recover_tags` asks for a run when a batch has ended. What a batch leaves open is asked about online in that run. Rows are
marked before the batch is submitted: a submitter that is killed in between leaves an announcement, by which the next run
finds the batch at the provider, or finds that there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ingestion_assets.events import tag_store
from ingestion_assets.events.tag_store import Candidate
from ingestion_assets.ledger.step_counts import add_counts
from resources.errors import PermanentError
from resources.llm.prices import load_prices

if TYPE_CHECKING:
    from psycopg import Connection

    from ingestion_assets.events.tagging.batch import BatchRows
    from ingestion_assets.ledger.import_jobs import ImportJob
    from resources.llm import LlmSettings
    from resources.llm.batch_ledger import StoredBatch
    from resources.llm.errors import LlmError
    from resources.llm.openai_batch import OpenAiBatches

SUBMITTED = "batch_submitted"
PROVIDER = "openai"
_PATIENCE = timedelta(hours=25)
"""A batch ends within 24 hours; rows that nobody collected by then are asked about online."""
_QUEUE_PAUSE = timedelta(hours=1)
"""Most batches end within it, and make room among the enqueued tokens."""


def collect(job: ImportJob, settings: LlmSettings, weeks: Sequence[date], *, warn: Callable[[str], None]) -> int:
    """Store what ended batches brought, each exactly once; returns how many batches were collected.

    Counts of events of other weeks are kept with the nearest week of the run. A batch that cannot be asked about holds
    up neither the others nor the run: `warn` is told.
    """
    from ingestion_assets.events.tagging.engine import PURPOSE
    from resources.llm.batch_ledger import open_batches, record_given_up
    from resources.llm.errors import LlmError, LlmRequestError
    from resources.llm.openai_batch import OpenAiBatches

    stored = job.session.transact(lambda connection: open_batches(connection, purpose=PURPOSE))
    if not stored or settings.openai_api_key is None:
        return 0
    collected = 0
    with closing(OpenAiBatches(settings)) as batches:
        for kept in stored:
            try:
                collected += _collect(job, batches, kept, weeks, settings, warn=warn)
            except LlmError as error:
                warn(f"batch {kept.batch_id} could not be collected: {error}")
                if isinstance(error, LlmRequestError) and kept.submitted_at < datetime.now(UTC) - _PATIENCE:
                    # The provider does not have it, and its rows are asked about online by now.
                    job.commit(partial(record_given_up, batch_id=kept.batch_id, text=str(error)))
    return collected


def _collect(
    job: ImportJob,
    batches: OpenAiBatches,
    kept: StoredBatch,
    weeks: Sequence[date],
    settings: LlmSettings,
    *,
    warn: Callable[[str], None],
) -> bool:
    from ingestion_assets.events.tagging.batch import read_batch
    from ingestion_assets.events.tagging.model import TagBatch
    from resources.llm.batch_ledger import record_polled
    from resources.llm.errors import ErrorCode

    batch = kept if kept.submission is None else _adopted(job, batches, kept, kept.submission)
    if batch is None:
        return False
    status = batches.poll(batch.batch_id)
    job.session.transact(partial(record_polled, status=status))
    if not status.state.ended:
        return False
    rows = read_batch(batch.items, batches.collect(status, TagBatch), provider=PROVIDER, model=batch.model)
    if status.over_limit:
        text = (
            "openai refused the batch for the account's limit of enqueued tokens: it is submitted again when others have "
            "ended; OPENAI_BATCH_TOKENS makes it smaller"
        )
        warn(f"{len(rows.left)} events stay pending: {text}")
        later = datetime.now(UTC) + _QUEUE_PAUSE
        # As of a quota: they wait for the cheaper way, and are not asked online.
        rows.left = [
            replace(row, error_code=ErrorCode.QUOTA_EXCEEDED, error_text=text, not_before=later) for row in rows.left
        ]
    return bool(job.commit(partial(_ingest, job=job, batch=batch, rows=rows, weeks=weeks, settings=settings)))


def _ingest(
    connection: Connection[Any],
    *,
    job: ImportJob,
    batch: StoredBatch,
    rows: BatchRows,
    weeks: Sequence[date],
    settings: LlmSettings,
) -> bool:
    from ingestion_assets.events.tagging.engine import PURPOSE
    from resources.llm.batch_ledger import claim, record_ingested
    from resources.llm.ledger import record_usage

    if not claim(connection, batch.batch_id):
        return False
    known = dict(
        connection.execute(
            "SELECT event_id, week FROM tag_enrichments WHERE event_id = ANY(%s)",
            ([result.event_id for result in (*rows.done, *rows.left)],),
        ).fetchall()
    )
    near = {event_id: min(max(week, weeks[0]), weeks[-1]) for event_id, week in known.items()}
    counts = tag_store.store_results(connection, job.job_id, [r for r in rows.done if r.event_id in near], near)
    # Not counted: those of the run's weeks are asked about online in this run, and counted there.
    tag_store.store_results(connection, job.job_id, [r for r in rows.left if r.event_id in near], near)
    add_counts(connection, job, counts)
    record_usage(
        connection,
        {(PROVIDER, batch.model): rows.usage},
        prices=load_prices(settings.llm_prices),
        purpose=PURPOSE,
        reference=job.run_id,
        batch=True,
    )
    record_ingested(connection, batch.batch_id)
    return True


def _adopted(job: ImportJob, batches: OpenAiBatches, kept: StoredBatch, submission: str) -> StoredBatch | None:
    """The batch that an earlier attempt announced; None while that may be under way, and when there is none."""
    from resources.llm.batch_ledger import SUBMITTING, record_found

    if kept.submitted_at > datetime.now(UTC) - SUBMITTING:
        return None
    found = batches.find(submission, since=kept.submitted_at - SUBMITTING)
    if found is None:
        job.commit(partial(_forget, submission=submission, events=_events(kept.items)))
        return None
    job.commit(partial(record_found, submission=submission, status=found))
    return replace(kept, batch_id=found.batch_id)


def submit(
    job: ImportJob,
    candidates: Sequence[Candidate],
    settings: LlmSettings,
    *,
    events_per_prompt: int,
    warn: Callable[[str], None],
) -> int:
    """Submit the questions about `candidates`, whose rows are pending; returns the number of batches started.

    What a quota refuses is put off, as online: `warn` is told.
    """
    from ingestion_assets.events.tagging.batch import batch_questions
    from ingestion_assets.events.tagging.engine import PURPOSE
    from resources.llm.batch_ledger import record_announced, record_found
    from resources.llm.errors import LlmQuotaError, LlmRateLimitError
    from resources.llm.openai_batch import OpenAiBatches

    questions = batch_questions([candidate.item for candidate in candidates], events_per_prompt=events_per_prompt)
    batches = OpenAiBatches(settings)
    announced: list[tuple[str, list[str]]] = []

    def announce(submission: str, custom_ids: Sequence[str]) -> None:
        items = {custom_id: questions.items[custom_id] for custom_id in custom_ids}
        events = _events(items)

        def work(connection: Connection[Any]) -> None:
            record_announced(
                connection, submission, provider=PROVIDER, model=batches.model, purpose=PURPOSE, items=items
            )
            _mark(connection, events)

        job.commit(work)
        announced.append((submission, events))

    waiting = {candidate.item.event_id for candidate in candidates}
    started = 0
    try:
        for status in batches.submit(
            questions.requests,
            max_tokens=settings.openai_batch_tokens,
            metadata={"run": job.run_id},
            announce=announce,
        ):
            job.commit(partial(record_found, submission=status.submission, status=status))
            waiting.difference_update(announced[-1][1])
            started += 1
    except (LlmQuotaError, LlmRateLimitError) as error:  # refused for certain, and nothing that a step could repair
        submission, events = announced[-1]
        job.commit(partial(_forget, submission=submission, events=events))
        job.commit(partial(_put_off, events=sorted(waiting), error=error))
        warn(f"{len(waiting)} events stay pending: {error}")
    except PermanentError:  # refused for certain; after any other error the batch may exist, and the next run looks
        submission, events = announced[-1]
        job.commit(partial(_forget, submission=submission, events=events))
        raise
    finally:
        batches.close()
    return started


def _events(items: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
    return [event_id for events in items.values() for event_id, _ in events]


def _mark(connection: Connection[Any], events: Sequence[str]) -> None:
    connection.execute(
        "UPDATE tag_enrichments SET error_code = %s, error_text = 'waits for a batch', not_before = now() + %s"
        " WHERE status = 'pending' AND event_id = ANY(%s)",
        (SUBMITTED, _PATIENCE, list(events)),
    )


def _put_off(connection: Connection[Any], *, events: Sequence[str], error: LlmError) -> None:
    from ingestion_assets.events.tagging.engine import deferral

    code, not_before = deferral(error)
    connection.execute(
        "UPDATE tag_enrichments SET error_code = %s, error_text = %s, not_before = %s, provider = %s, model = %s"
        " WHERE status = 'pending' AND event_id = ANY(%s)",
        (code, str(error), not_before, error.provider, error.model, list(events)),
    )


def _forget(connection: Connection[Any], *, submission: str, events: Sequence[str]) -> None:
    """There is no such batch: its rows may be asked about again."""
    from resources.llm.batch_ledger import forget_announced

    forget_announced(connection, submission)
    connection.execute(
        "UPDATE tag_enrichments SET error_code = NULL, error_text = NULL, not_before = NULL"
        " WHERE status = 'pending' AND error_code = %s AND event_id = ANY(%s)",
        (SUBMITTED, list(events)),
    )
