from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.postgres.database import Database
from resources.postgres.server import EmbeddedServer
from tests.databases import Databases, scratch_folder
from tests.fakes.feeds import this_week
from tests.faults.harness import Feeds, Workers


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with Workers(tmp_path_factory.mktemp("workers")) as started:
        yield started


@pytest.fixture(scope="session")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Feeds:
    """Small, so that a kill costs little: a thousand records in eleven batches."""
    return Feeds(tmp_path_factory.mktemp("feeds"), 1000, this_week())


@pytest.fixture(scope="session")
def first_pass(_shared_databases: Databases, migrated_template: str, workers: Workers, feeds: Feeds) -> str:
    """URL of a database into which the first pass was imported; tests copy it."""
    url = _shared_databases.create(template=migrated_template)
    workers.run(feeds, Database(url), number=1)
    return url


@pytest.fixture
def loaded(databases: Databases, first_pass: str) -> Database:
    """A copy of it."""
    return Database(databases.create(template=first_pass), patience=60)


class OwnServer:
    """A PostgreSQL server that a test may stop, and a database on it that holds the first pass."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedServer(folder / "postgres")
        self.server.start()

    def database(self, name: str) -> Database:
        from resources.postgres.migrate import upgrade
        from resources.postgres.urls import sqlalchemy_psycopg

        self.server.ensure_database(name)
        url = self.server.url(name)
        upgrade(sqlalchemy_psycopg(url))
        return Database(url, patience=60)


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnServer]:
    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=scratch_folder()) as folder:
        Path(folder).chmod(0o755)
        made = OwnServer(Path(folder))
        yield made
        made.server.destroy()
