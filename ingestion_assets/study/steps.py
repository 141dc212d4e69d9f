"""What the three study assets share: their partitions, the fenced ledger job of a step, and the batch they work for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ingestion_assets.counts import Counts
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.dagster_runs import run_is_finished
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.study import collection_store
from resources.errors import PermanentError
from resources.postgres.database import Database

PARTITIONS = dg.DynamicPartitionsDefinition(name="study_collections")
"""One partition a collection; its key is the collection's id."""
DOCUMENTS = dg.AssetKey("documents")
ANALYSES = dg.AssetKey("document_analyses")
COLLECTIONS = dg.AssetKey("study_collections")
KEYS = (DOCUMENTS, ANALYSES, COLLECTIONS)
POOL = "study"
"""Of analyses. Not the pool of tagging, one run of which may take an hour."""
AT_ONCE = 2
"""Collections that are made at once: the limit of the pool and, in `dagster.yaml`, of runs with these tags. Providers
limit how fast they are made, and all processes share that pace; more at once would only take slots from imports."""
DOMAIN_TAG = "ingestion/domain"
MAX_RUNTIME_TAG = "dagster/max_runtime"
"""Read from runs alone: on an asset it does nothing."""
RUN_TAGS = {DOMAIN_TAG: "study", MAX_RUNTIME_TAG: "3600"}
"""Of runs that make a collection. Seconds: extraction of five hundred files, the LLM deadline of ten minutes, checks, and
what a busy machine adds. What is done by then is kept, and a retry goes on from there."""
OWNERS = ["team:data-platform"]
TAGS = {"domain": "study"}


class NoSuchCollectionError(PermanentError):
    """The partition has no row."""


@contextmanager
def study_job(context: dg.AssetExecutionContext, database: Database, asset: dg.AssetKey) -> Iterator[ImportJob]:
    """The ledger job of one asset for one collection: the only writer whose rows are accepted.

    A permanent error ends the open batches of the collection: nothing would change by trying again.
    """
    run, instance = context.run, context.instance
    collection_id = context.partition_key
    with ImportJob(
        database,
        source=f"{asset.to_user_string()}:{collection_id}",
        run_id=run.run_id,
        earlier_runs={run_id for run_id in (run.parent_run_id, run.root_run_id) if run_id},
        run_finished=lambda run_id: run_is_finished(instance, run_id),
    ) as job:
        try:
            yield job
        except PermanentError as error:
            code, text = type(error).__name__, str(error)

            def fail(connection: Any) -> None:
                collection_store.set_state(connection, collection_id, "failed", errors=[{"code": code, "detail": text}])
                for batch in batches.open_batches(connection, collection_id=collection_id):
                    batches.finish(connection, batch.id, batches.BatchState.FAILED, code=code, message=text)

            job.commit(fail)
            raise


def tell(
    connection: Any, collection_id: str, type_: str, *, stage: str, progress: Mapping[str, Any], once: bool = False
) -> None:
    """Report progress to the open batches of a collection; `once` to each, however often the step is tried."""
    for batch in batches.open_batches(connection, collection_id=collection_id):
        batches.report(connection, batch.id, type_, stage=stage, progress=progress, once=once)


def step_metadata(counts: Counts, job: ImportJob, seconds: float) -> dict[str, Any]:
    """What every study asset shows first."""
    return {
        "created": counts.created,
        "updated": counts.updated,
        "skipped": counts.skipped,
        "errors": counts.errors,
        "seconds": round(seconds, 2),
        "import_job": job.job_id,
        "attempt": job.attempt,
    }


def as_text(value: Any) -> str:
    """JSON for a fingerprint: sorted, compact."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
