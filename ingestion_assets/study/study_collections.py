"""`study_collections`: flashcards and quiz questions that passed every check, from the answers that are stored."""

import time
from datetime import datetime
from hashlib import sha256
from typing import Any

import dagster as dg

from ingestion_assets.counts import Counts
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import BatchState
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.study import collection_store, store
from ingestion_assets.study.checks.collection import MOST_LONGEST, longest_key_share
from ingestion_assets.study.model import DropReason
from ingestion_assets.study.steps import (
    ANALYSES,
    COLLECTIONS,
    OWNERS,
    PARTITIONS,
    TAGS,
    NoSuchCollectionError,
    as_text,
    step_metadata,
    study_job,
)
from resources.definitions import PostgresResource

ENOUGH = 20
"""Questions below which a share says nothing."""


@dg.asset(
    key=COLLECTIONS,
    deps=[ANALYSES],
    description="Flashcards and quiz questions of one collection. Each rests on a quote that is in its document, at stored "
    "offsets; what was generated and not stored is counted by reason.",
    metadata={"dagster/table_name": "ingestion.public.study_cards"},
    group_name="study",
    kinds={"python", "postgres"},
    owners=OWNERS,
    tags=TAGS,
    partitions_def=PARTITIONS,
)
def study_collections(context: dg.AssetExecutionContext, postgres: PostgresResource) -> dg.MaterializeResult[None]:
    """Check, choose and store; a pure function of documents, options and answers."""
    started = time.monotonic()
    with classified(context), study_job(context, postgres.database, COLLECTIONS) as job:
        counts, extra = _assemble(context.partition_key, job)
        if extra["instructions"]:
            context.log.warning(
                f"{extra['instructions']} items held orders to a model, or what only its instructions hold (I1): they were "
                "dropped. A document of this collection was written to steer models."
            )
        if extra["longest_key"] > MOST_LONGEST and extra["questions"] >= ENOUGH:
            context.log.warning(f"the right option is the longest in {extra['longest_key']:.0%} of the questions (Q4)")
    return dg.MaterializeResult(metadata={**step_metadata(counts, job, time.monotonic() - started), **extra})


study_collections = study_collections.with_hooks({stop_run_retries})


def _assemble(collection_id: str, job: ImportJob) -> tuple[Counts, dict[str, Any]]:
    from ingestion_assets.study.exports.markdown import preview
    from ingestion_assets.study.pipeline import Workshop, is_partial

    def read(connection: Any) -> tuple[Any, ...]:
        options = collection_store.read_options(connection, collection_id)
        documents = store.read_documents(connection, collection_id)
        answers = store.read_answers(connection, collection_id)
        results = store.read_results(connection, collection_id, documents, answers)
        row = connection.execute(
            "SELECT report, usage FROM study_collections WHERE id = %s", (collection_id,)
        ).fetchone()
        return options, documents, results, store.item_ids(connection, collection_id), *(row or ({}, {}))

    options, documents, results, items, before, usage = job.session.transact(read)
    if options is None:
        raise NoSuchCollectionError(f"there is no collection {collection_id}: delete its partition")
    workshop = Workshop(documents, options, translates=True)
    prints = _fingerprints(results)
    # Another text, option or set of documents makes another deck. With these unchanged, only documents that were asked
    # about anew may change: a person's other cards stay as they are.
    base = sha256(
        as_text([collection_store.options_json(options), sorted((d.id, d.text_sha256) for d in documents)]).encode()
    ).hexdigest()
    kept = before.get("fingerprints", {}) if before.get("base") == base else {}
    frozen = {name: items[name] for name in items if prints.get(name) == kept.get(name)}
    collection, ordered = workshop.assemble(results, usage.get("verdicts", {}), frozen)
    partial = is_partial(ordered, documents)
    errors = [
        {"document": document.name, "code": document.code, "detail": document.detail}
        for document in documents
        if document.code is not None
    ]
    # Only what is missing because of it: a quota that ended the judging alone puts nothing off.
    quota = usage.get("quota") if partial or not collection.items else None
    if quota:
        errors.append({"document": None, "code": quota["code"], "detail": quota["message"], **_scope(quota)})
    state = _state(collection.items, quota)
    figures = {
        "chunks": {str(status): count for status, count in collection.chunks.items()},
        "reasons": collection.chunk_codes,
        "cards": collection.card_tally.report(),
        "questions": collection.question_tally.report(),
        "coverage": {"words": collection.coverage.words, "pages": collection.coverage.pages},
        "evidence": {"verified": collection.verified, "total": collection.items},
        "warnings": usage.get("warnings", {}),
        "quota": quota,
        "fingerprints": prints,
        "base": base,
    }

    def write(connection: Any) -> Counts:
        counts = store.write_items(connection, collection, collection_id)
        collection_store.set_state(
            connection,
            collection_id,
            state,
            partial=partial,
            errors=errors,
            report=figures,
            not_before=datetime.fromisoformat(quota["not_before"]) if quota else None,
        )
        collection_store.add_study_counts(connection, job, counts)
        told = {"cards": len(collection.cards), "questions": len(collection.questions), **_scope(quota)}
        quality = {"kept": collection.items, "dropped": sum(sum(t.dropped.values()) for _, t in _tallies(collection))}
        for batch in batches.open_batches(connection, collection_id=collection_id):
            batches.report(connection, batch.id, "quality:checked", stage="collection", progress=quality)
            batches.report(connection, batch.id, "collection:ready", stage="collection", progress=told)
            batches.finish(
                connection, batch.id, _batch_state(state, partial=partial), payload=told, **_why(state, errors)
            )
        job.succeed(connection)
        return counts

    counts = job.commit(write)
    return counts, {
        "state": state,
        "partial": partial,
        "cards": len(collection.cards),
        "questions": len(collection.questions),
        "generated": collection.card_tally.generated + collection.question_tally.generated,
        "stored": collection.items,
        "dropped": dg.MetadataValue.json(
            {name: dict(tally.report()["dropped"]) for name, tally in _tallies(collection)}
        ),
        "coverage_words": collection.coverage.words,
        "coverage_pages": collection.coverage.pages,
        "evidence_share": collection.verified / collection.items if collection.items else 1.0,
        "tokens": usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
        "cost_usd": usage.get("cost_usd") if usage.get("cost_usd") is not None else "unknown",
        "instructions": sum(
            tally.dropped.get(DropReason.INSTRUCTION, 0) for tally in (collection.card_tally, collection.question_tally)
        ),
        "longest_key": longest_key_share(collection.questions) or 0.0,
        "frozen_documents": len(frozen),
        "preview": dg.MetadataValue.md(preview(collection)),
    }


def _tallies(collection: Any) -> tuple[tuple[str, Any], ...]:
    return ("cards", collection.card_tally), ("questions", collection.question_tally)


def _fingerprints(results: list[Any]) -> dict[str, str]:
    """What was answered about each document, as a digest."""
    digests: dict[str, Any] = {}
    for result in results:
        digest = digests.setdefault(result.chunk.document_id, sha256())
        digest.update(f"{result.chunk.number} {result.status}".encode())
        for answered in result.answers:
            digest.update(store.answer_json(answered.answer).encode())
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _state(items: int, quota: dict[str, Any] | None) -> str:
    if items:
        return "ready"
    return "quota_exceeded" if quota else "failed"


def _batch_state(state: str, *, partial: bool) -> BatchState:
    if state == "ready":
        return BatchState.READY_PARTIAL if partial else BatchState.READY
    return BatchState.QUOTA_EXCEEDED if state == "quota_exceeded" else BatchState.FAILED


def _scope(quota: dict[str, Any] | None) -> dict[str, str]:
    """Whose quota it was and until when, for events and errors."""
    return {name: quota[name] for name in ("quota_scope", "quota", "not_before")} if quota else {}


def _why(state: str, errors: list[dict[str, Any]]) -> dict[str, str]:
    if state == "ready":
        return {}
    if state == "quota_exceeded":
        return {"code": "quota_exceeded", "message": errors[-1]["detail"]}
    first = (
        errors[0] if errors else {"code": "insufficient_content", "detail": "no card could be made from the documents"}
    )
    return {"code": str(first["code"]), "message": str(first["detail"])}
