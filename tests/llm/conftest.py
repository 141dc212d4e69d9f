"""A provider process and a database for the tests of the LLM clients."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.postgres.database import Database
from tests.fakes.llm_provider import FakeProvider, fake_provider


@pytest.fixture(scope="session")
def _provider() -> Iterator[FakeProvider]:
    with fake_provider(latency=0.0) as provider:
        yield provider


@pytest.fixture
def provider(_provider: FakeProvider) -> FakeProvider:
    """One provider for all tests, as new for each: nothing limited, nothing goes wrong, no latency."""
    _provider.reset(latency=0.0)
    return _provider


@pytest.fixture(scope="session")
def _database() -> Iterator[Database]:
    from resources.postgres.migrate import upgrade
    from resources.postgres.server import EmbeddedServer
    from resources.postgres.urls import sqlalchemy_psycopg

    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "postgres")
        server.start()
        server.ensure_database("llm")
        url = server.url("llm")
        upgrade(sqlalchemy_psycopg(url))
        yield Database(url, patience=20)
        server.destroy()


@pytest.fixture
def database(_database: Database) -> Database:
    """A migrated database with empty tables of ours."""
    with _database.transaction() as connection:
        connection.execute(
            "TRUNCATE llm_pacing, llm_usage, llm_budgets, llm_budget_limits, llm_budget_reservations, llm_batches"
        )
    return _database
