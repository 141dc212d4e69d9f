"""`documents`: the files of a collection as canonical text. Extraction itself is `extraction/`."""

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg

from ingestion_assets import progress
from ingestion_assets.counts import Counts
from ingestion_assets.failures import classified, stop_run_retries
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.import_jobs import ImportJob
from ingestion_assets.ledger.step_counts import read_counts
from ingestion_assets.study import collection_store, store
from ingestion_assets.study.model import Document, DocumentCode, DocumentStatus
from ingestion_assets.study.settings import StudySettings
from ingestion_assets.study.steps import (
    DOCUMENTS,
    MAX_RUNTIME_TAG,
    OWNERS,
    PARTITIONS,
    TAGS,
    NoSuchCollectionError,
    step_metadata,
    study_job,
    tell,
)
from resources.definitions import PostgresResource
from resources.settings import reading_settings


class DocumentsConfig(dg.Config):
    """What a person may say about one extraction."""

    again: bool = False
    """Extract files anew that have been extracted."""


@dg.asset(
    key=DOCUMENTS,
    description="Uploaded files as text with page boundaries, language and hashes, extracted in a child process with limits "
    "of time and memory. A file that cannot be used says why and holds nothing up.",
    group_name="study",
    kinds={"python", "postgres"},
    owners=OWNERS,
    tags=TAGS,
    partitions_def=PARTITIONS,
)
def documents(
    context: dg.AssetExecutionContext, config: DocumentsConfig, postgres: PostgresResource
) -> dg.MaterializeResult[None]:
    """Extract what has not been extracted yet, one committed file after the other."""
    started = time.monotonic()
    with classified(context), study_job(context, postgres.database, DOCUMENTS) as job:
        _extract(context, job, again=config.again)
        job.commit(job.succeed)
        counts, _ = read_counts(postgres.database, job.job_id)
        found = job.session.transact(lambda connection: store.read_documents(connection, context.partition_key))
    codes = Counter(str(document.code) for document in found if document.code)
    return dg.MaterializeResult(
        metadata={
            **step_metadata(counts, job, time.monotonic() - started),
            "documents": len(found),
            "ready": sum(document.ready for document in found),
            "pages": sum(document.pages or 0 for document in found),
            "characters": sum(len(document.text) for document in found),
            "codes": dg.MetadataValue.json(dict(codes)),
        }
    )


documents = documents.with_hooks({stop_run_retries})


def _extract(context: dg.AssetExecutionContext, job: ImportJob, *, again: bool) -> None:
    from ingestion_assets.study.extraction.documents import FAULTS_OF_NAME, Upload, extract

    collection_id = context.partition_key
    with reading_settings():
        settings = StudySettings()

    def begin(connection: Any) -> list[store.StoredFile]:
        if collection_store.read_options(connection, collection_id) is None:
            raise NoSuchCollectionError(f"there is no collection {collection_id}: delete its partition")
        limit = context.run.tags.get(MAX_RUNTIME_TAG)
        for batch in batches.open_batches(connection, collection_id=collection_id):
            batches.begin(connection, batch.id, context.run.run_id, seconds=float(limit) if limit else None)
        collection_store.set_state(connection, collection_id, "processing")
        return _validated(connection, job, collection_id, settings, again=again)

    files = job.commit(begin)
    done_before = {file.sha256 for file in files if file.by_this_job}
    known = {
        document.text_sha256: document.name
        for document in job.session.transact(lambda c: store.read_documents(c, collection_id))
        # What is extracted anew may turn out otherwise, unless an earlier attempt has done it.
        if document.ready and (not again or document.sha256 in done_before)
    }
    seen: dict[str, str] = {}
    done = sum(_is_left(file, again=again) for file in files)
    for file in files:
        code, repeated = file.code, seen.get(file.sha256)
        if _is_left(file, again=again):
            counts = _left(file)
            job.commit(partial(collection_store.add_study_counts, job=job, counts=counts))
        else:
            if repeated is not None:
                document = _duplicate_of(file, repeated)
            else:
                content = job.session.transact(partial(_content, collection_id=collection_id, position=file.position))
                document = extract(Upload(file.name, content), settings)
                if document.ready and document.text_sha256 in known:
                    document = replace(
                        document,
                        status=DocumentStatus.SKIPPED,
                        code=DocumentCode.DUPLICATE,
                        detail=f"the same text as {known[document.text_sha256]}",
                    )
                elif document.ready:
                    known[document.text_sha256] = document.name
            code = document.code
            counts = _counted(document, file)
            done += 1
            _store(job, collection_id, file.position, document, counts, done=done, of=len(files))
        if code not in FAULTS_OF_NAME:
            seen.setdefault(file.sha256, file.name)
        progress.report("documents", f"{done} of {len(files)} files")


def _is_left(file: store.StoredFile, *, again: bool) -> bool:
    """It is not extracted this time: it has been, by this job or before."""
    return file.by_this_job or (file.status != "pending" and not again)


def _validated(
    connection: Any, job: ImportJob, collection_id: str, settings: StudySettings, *, again: bool
) -> list[store.StoredFile]:
    """The files, after refusing what no child has to look at. What is refused here is counted as left by an attempt."""
    from ingestion_assets.study.extraction.documents import refused
    from ingestion_assets.study.extraction.sniff import HEAD

    def say(type_: str, *, once: bool = False, **more: Any) -> None:
        counted = {"documents": {"done": done, "total": len(files)}, **more}
        tell(connection, collection_id, type_, stage="extraction", progress=counted, once=once)

    files = store.read_files(connection, collection_id, job_id=job.job_id)
    new = [file for file in files if not _is_left(file, again=again)]
    left = done = len(files) - len(new)
    heads = store.read_heads(connection, collection_id, HEAD)
    for file in new:
        size, head = heads[file.position]
        document = refused(file.name, head, size=size, digest=file.sha256, settings=settings)
        if document is not None:
            store.write_document(connection, collection_id, file.position, document)
            done += 1
            say("ingestion:rejected", code=document.code)
    say("ingestion:validated", once=True, rejected=done - left)
    say("extraction:started", once=True)
    return store.read_files(connection, collection_id, job_id=job.job_id)


def _content(connection: Any, *, collection_id: str, position: int) -> bytes:
    return store.read_content(connection, collection_id, position)


def _duplicate_of(file: store.StoredFile, first: str) -> Document:
    return Document(
        name=file.name,
        sha256=file.sha256,
        status=DocumentStatus.SKIPPED,
        code=DocumentCode.DUPLICATE,
        detail=f"the same as {first}",
    )


def _left(file: store.StoredFile) -> Counts:
    """What a file counts as that is left as it is. Of an earlier attempt of the job, created and updated stay counted."""
    if file.by_this_job and file.status == "failed":
        return Counts(errors=1, by_reason={str(file.code): 1})
    return Counts() if file.by_this_job and file.status == "ready" else Counts(skipped=1)


def _counted(document: Document, file: store.StoredFile) -> Counts:
    if document.status is DocumentStatus.FAILED:
        return Counts(errors=1, by_reason={str(document.code): 1})
    if document.status is DocumentStatus.SKIPPED:
        return Counts(skipped=1)
    return Counts(updated=1) if file.status != "pending" else Counts(created=1)


def _store(
    job: ImportJob, collection_id: str, position: int, document: Document, counts: Counts, *, done: int, of: int
) -> None:
    def work(connection: Any) -> None:
        store.write_document(connection, collection_id, position, document)
        collection_store.add_study_counts(connection, job, counts)
        failed = document.status is DocumentStatus.FAILED
        tell(
            connection,
            collection_id,
            "extraction:document_failed" if failed else "extraction:document_done",
            stage="extraction",
            progress={"documents": {"done": done, "total": of}, **({"code": document.code} if failed else {})},
        )

    job.commit(work)
