"""Runs of the study assets on a database and an ephemeral Dagster instance."""

from __future__ import annotations

from typing import Any

import dagster as dg

from benchmarks.study.book import facts, paragraphs
from ingestion_assets.ledger import batches
from ingestion_assets.ledger.batches import NewFile
from ingestion_assets.study.asset_checks import STUDY_CHECKS
from ingestion_assets.study.document_analyses import document_analyses
from ingestion_assets.study.documents import documents
from ingestion_assets.study.steps import PARTITIONS
from ingestion_assets.study.study_collections import study_collections
from resources.definitions import PostgresResource
from resources.llm.resource import LlmResource
from resources.postgres.database import Database


class Studio:
    """A database, an ephemeral Dagster instance, and runs of the study assets on them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.instance = dg.DagsterInstance.ephemeral()

    def create(self, *given: NewFile, title: str = "Deck", user: str | None = None, **options: Any) -> tuple[str, Any]:
        with self.database.transaction() as connection:
            if user is not None:
                connection.execute("INSERT INTO users (id) VALUES (%s) ON CONFLICT DO NOTHING", (user,))
            batch, _ = batches.create_batch(connection, given, title=title, options=options, user_id=user)
        self.instance.add_dynamic_partitions(str(PARTITIONS.name), [batch.collection_id])
        return batch.collection_id, batch.id

    def run(
        self,
        collection: str,
        *,
        config: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
        ok: bool = True,
    ) -> dg.ExecuteInProcessResult:
        result = dg.materialize(
            [documents, document_analyses, study_collections, *STUDY_CHECKS],
            instance=self.instance,
            partition_key=collection,
            tags=tags,
            resources={"postgres": PostgresResource(), "llm": LlmResource()},
            run_config={
                "ops": config or {},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )
        assert result.success is ok, problems(result)
        return result

    def metadata(self, result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
        [event] = result.asset_materializations_for_node(name)
        return {key: value.value for key, value in event.metadata.items()}

    def rows(self, table: str, collection: str) -> list[dict[str, Any]]:
        assert table in {"study_cards", "study_questions", "study_chunks", "study_answers", "study_documents"}
        return self.database.fetch_all(
            f"SELECT * FROM {table} WHERE collection_id = %(id)s ORDER BY 2, 3",  # type: ignore[arg-type]
            {"id": collection},
        )

    def collection(self, collection: str) -> dict[str, Any]:
        [row] = self.database.fetch_all("SELECT * FROM study_collections WHERE id = %(id)s", {"id": collection})
        return row

    def batch(self, batch_id: Any) -> Any:
        with self.database.transaction() as connection:
            return batches.read_batch(connection, batch_id)

    def events(self, batch_id: Any) -> list[Any]:
        with self.database.transaction() as connection:
            return batches.events_after(connection, batch_id)


def chapter(number: int, pages: int = 4, *, kind: str = "txt") -> NewFile:
    known = facts(pages, seed=number)
    return NewFile(f"chapter{number}.{kind}", "\n\n".join(p for fact in known for p in paragraphs(fact)).encode())


def problems(result: dg.ExecuteInProcessResult) -> list[str]:
    """What the failed steps died of."""
    found = []
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            found.append(str(error)[-1500:])
    return found
