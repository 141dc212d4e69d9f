"""`document_analyses`: what a provider proposes for each chunk, kept as it arrives. The questions are `generation/`."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from ingestion_assets import progress
from ingestion_assets.counts import Counts
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.study import collection_store, store
from ingestion_assets.study.settings import StudySettings
from ingestion_assets.study.spending import Books, Budgeted
from ingestion_assets.study.steps import (
    ANALYSES,
    DOCUMENTS,
    OWNERS,
    PARTITIONS,
    POOL,
    TAGS,
    NoSuchCollectionError,
    step_metadata,
    study_job,
    tell,
)
from resources.definitions import PostgresResource
from resources.llm.prices import load_prices
from resources.llm.protocol import LlmClient, Usage, together
from resources.llm.resource import LlmResource
from resources.postgres.database import Database

_OFFLINE_BATCH = 200
"""Offline answers that share a transaction: they cost nothing, so a crash may lose them."""
_TELL_EVERY = 10


class AnalysesConfig(dg.Config):
    """What a person may say about one analysis."""

    regenerate: list[str] = Field(default_factory=list)
    """Names or ids of documents whose answers are thrown away and asked for anew. The others are not touched."""


@dg.asset(
    key=ANALYSES,
    deps=[DOCUMENTS],
    description="Cards and questions that a provider proposes for each chunk of a collection's documents. Answers are kept "
    "as they arrive and never paid for twice; the time budget is shared evenly over documents and pages.",
    pool=POOL,
    group_name="study",
    kinds={"python", "postgres"},
    owners=OWNERS,
    tags=TAGS,
    partitions_def=PARTITIONS,
)
def document_analyses(
    context: dg.AssetExecutionContext, config: AnalysesConfig, postgres: PostgresResource, llm: LlmResource
) -> dg.MaterializeResult[None]:
    """Ask about every chunk that has no answer yet."""
    started = time.monotonic()
    with classified(context), study_job(context, postgres.database, ANALYSES) as job:
        counts, extra = _analyse(context, job, llm, regenerate=config.regenerate)
    return dg.MaterializeResult(metadata={**step_metadata(counts, job, time.monotonic() - started), **extra})


document_analyses = document_analyses.with_hooks({stop_run_retries})


def _analyse(
    context: dg.AssetExecutionContext, job: ImportJob, llm: LlmResource, *, regenerate: list[str]
) -> tuple[Counts, dict[str, Any]]:
    from ingestion_assets.study.pipeline import build_collection
    from ingestion_assets.study.report import usage

    collection_id = context.partition_key

    def read(connection: Any) -> tuple[Any, ...]:
        return (
            collection_store.read_options(connection, collection_id),
            store.read_documents(connection, collection_id),
            collection_store.owner(connection, collection_id),
            collection_store.read_usage(connection, collection_id),
        )

    options, documents, user_id, earlier = job.session.transact(read)
    if options is None:
        raise NoSuchCollectionError(f"there is no collection {collection_id}: delete its partition")
    # Only the first attempt throws answers away: those of a killed attempt of this run are paid for.
    chosen = [document.id for document in documents if {document.id, document.name} & set(regenerate)]
    if chosen and job.attempt == 1:
        job.commit(partial(store.forget_answers, collection_id=collection_id, document_ids=chosen))
    job.commit(
        lambda connection: tell(
            connection,
            collection_id,
            "analysis:started",
            stage="analysis",
            progress={"chunks": {"done": 0}},
            once=True,
        )
    )
    known = job.session.transact(lambda connection: store.read_answers(connection, collection_id))
    settings = llm.settings()
    recorder = _Recorder(job, collection_id, Books(load_prices(settings.llm_prices), user_id, job.run_id))

    async def ask() -> Any:
        async with _client(llm, job.database, user_id) as client:
            return await build_collection(
                documents,
                options,
                client,
                deadline=llm.deadline(),
                translates=settings.order != ("offline",),
                known=known,
                on_answer=recorder,
                on_wait=recorder.wait,
                on_round=lambda text: progress.report("document_analyses", text),
                concurrency=settings.llm_concurrency,
                user_id=user_id,
                alive=_Alive(job, collection_id),
                judge_share=StudySettings().judge_share,
                verdicts=earlier.get("verdicts", {}),
            )

    built = asyncio.run(ask())
    recorder.flush()
    for warning, count in built.outcome.warnings.items():
        context.log.warning(f"{warning}: {count} questions met it")
    spent = {
        **usage(built.outcome),
        "verdicts": dict(built.verdicts),
        "warnings": dict(built.outcome.warnings),
        "quota": built.outcome.quota.report() if built.outcome.quota else None,
    }
    if built.outcome.quota:
        context.log.warning(f"stopped by a quota ({built.outcome.quota.scope}): {built.outcome.quota.message}")

    def close(connection: Any) -> Counts:
        counts = store.write_chunks(connection, collection_id, built.results)
        collection_store.add_study_counts(connection, job, counts)
        collection_store.set_state(connection, collection_id, "processing", usage=spent)
        recorder.record_rest(connection, built.outcome.usage)
        job.succeed(connection)
        return counts

    counts = job.commit(close)
    chunks = built.collection.chunks
    return counts, {
        "chunks": len(built.results),
        **{f"chunks_{status}": count for status, count in chunks.items()},
        "reasons": dg.MetadataValue.json(built.collection.chunk_codes),
        "asked": built.outcome.asked,
        "reused": built.outcome.reused,
        "regenerated": len(chosen),
        "judged": len(built.verdicts),
        "judged_wrong": sum(not good for good in built.verdicts.values()),
        "tokens_in": spent["input_tokens"],
        "tokens_out": spent["output_tokens"],
        "cost_usd": spent["cost_usd"] if spent["cost_usd"] is not None else "unknown",
        "warnings": dg.MetadataValue.json(dict(built.outcome.warnings)),
        "errors_of_providers": dg.MetadataValue.json(dict(built.outcome.errors)),
    }


def _client(llm: LlmResource, database: Database, user_id: str) -> LlmClient:
    """The providers; for a user's collection within the user's daily budget, where anything costs."""
    settings = llm.settings()
    client = llm.client(database=database)
    if not user_id or settings.order == ("offline",):
        return client
    from resources.llm.offline import OfflineProvider

    return Budgeted(
        client,
        database,
        user_id=user_id,
        default_limit=settings.llm_daily_token_budget,
        free=OfflineProvider() if "offline" in settings.order else None,
    )


class _Recorder:
    """Stores answers as they arrive. Called from one worker thread at a time, never while the step itself writes."""

    def __init__(self, job: ImportJob, collection_id: str, books: Books) -> None:
        self._job = job
        self._collection_id = collection_id
        self._books = books
        self._waiting: list[Any] = []
        self._stored = 0

    def __call__(self, kept: Any) -> None:
        self._waiting.append(kept)
        if kept.answered.provider != "offline" or len(self._waiting) >= _OFFLINE_BATCH:
            self.flush()

    def flush(self) -> None:
        """Store what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return

        spent: dict[tuple[str, str], Usage] = {}
        for kept in waiting:
            spent = together(spent, kept.spent)

        def work(connection: Any) -> None:
            for kept in waiting:
                store.write_answer(connection, self._collection_id, kept)
            self._books.record(connection, spent)
            if self._stored % _TELL_EVERY == 0 or len(waiting) > 1:
                tell(
                    connection,
                    self._collection_id,
                    "analysis:progress",
                    stage="analysis",
                    progress={"chunks": {"done": self._stored + len(waiting)}},
                )

        self._job.commit(work)
        self._books.note(spent)
        self._stored += len(waiting)
        progress.report("document_analyses", f"{self._stored} answers")

    def wait(self, seconds: float) -> None:
        """A provider is asked again after so long."""
        self._job.commit(
            lambda connection: tell(
                connection,
                self._collection_id,
                "analysis:retrying",
                stage="analysis",
                progress={"chunks": {"done": self._stored}, "retry_in_s": round(seconds, 1)},
            )
        )

    def record_rest(self, connection: Any, total: Mapping[tuple[str, str], Usage]) -> None:
        """Into the books: what was spent on questions without an answer, and on judging."""
        self._books.record(connection, self._books.missing(total))


class _Alive:
    """Whether anybody still wants the answer: a batch that was cancelled is asked about no further."""

    def __init__(self, job: ImportJob, collection_id: str, every: float = 2.0) -> None:
        self._database = job.database
        self._collection_id = collection_id
        self._every = every
        self._looked = 0.0
        self._answer = True
        self._had_batch = self._open()

    def __call__(self) -> bool:
        if self._had_batch and self._answer and time.monotonic() - self._looked > self._every:
            self._looked = time.monotonic()
            self._answer = self._open()
        return self._answer

    def _open(self) -> bool:
        with self._database.transaction() as connection:
            return bool(batches.open_batches(connection, collection_id=self._collection_id))
