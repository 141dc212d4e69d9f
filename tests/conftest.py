"""What every test may ask for: a PostgreSQL server, a migrated database of its own, an environment without settings.

The server is an embedded one, started once a session, or that of `TEST_DATABASE_URL` (PostgreSQL 15 or newer, a role that
may create databases). Migrations run once. Tests share one database, emptied after each of them; a test that changes the
schema or counts what the server writes asks for a copy of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from resources.postgres.database import Database
from resources.postgres.urls import libpq, sqlalchemy_psycopg, sqlalchemy_psycopg2
from tests.databases import Databases, scratch_folder

_SETTINGS = (
    *("ALLEVENTS_", "EVENTBRITE_", "ICS_", "LAVITRINE_", "MEETUP_", "OPEN_DATA_MONTREAL_", "TICKETMASTER_"),
    *("GEMINI_", "GOOGLE_", "LLM_", "OPENAI_", "DISABLE_TAG_ENRICHMENT", "TAG_ENRICHMENT_"),
    *("DAGSTER_", "DATABASE_URL", "INGESTION_", "PG", "STUDY_"),
    *("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_"),
)

settings.register_profile("default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("default"), max_examples=500)


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's settings, before any fixture reads them, and leave long tests to `-m soak`."""
    for name in list(os.environ):
        if name.upper().startswith(_SETTINGS):
            del os.environ[name]
    if not config.option.markexpr:
        config.option.markexpr = "not soak"
    settings.load_profile("soak" if "not soak" not in config.option.markexpr else "default")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a worker report text that is no UTF-8, such as half a surrogate pair that a test logged: xdist dies of it."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(map(_encodable, value))
    return value


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """libpq URL of a database of the server that all tests share. Nobody stops or breaks this server."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield libpq(given)
        return
    from resources.postgres.server import EmbeddedServer

    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=scratch_folder()) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "postgres")
        server.start()
        try:
            url = server.url("postgres")
            _trade_durability_for_speed(url)
            yield url
        finally:
            server.destroy()


def _trade_durability_for_speed(url: str) -> None:
    """These databases need not survive a power cut, and hundreds of them are made and dropped."""
    import psycopg

    with psycopg.connect(url, user="postgres", autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")  # type: ignore[arg-type]
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def _shared_databases(postgres_url: str) -> Iterator[Databases]:
    databases = Databases(postgres_url)
    yield databases
    databases.drop_all()


@pytest.fixture(scope="session")
def migrated_template(_shared_databases: Databases) -> str:
    """URL of a database at the newest schema, which tests copy and never change."""
    from resources.postgres.migrate import upgrade

    url = _shared_databases.create()
    upgrade(sqlalchemy_psycopg(url))
    return url


@pytest.fixture(scope="session")
def dagster_template(_shared_databases: Databases) -> str:
    """URL of a database that holds Dagster's empty storage, which tests copy and never change."""
    import dagster as dg

    url = _shared_databases.create()
    with (
        tempfile.TemporaryDirectory() as folder,
        dg.DagsterInstance.local_temp(folder, overrides=_instance_settings(url)) as instance,
    ):
        instance.get_run_records(limit=1)
        instance.fetch_run_status_changes(dg.DagsterEventType.RUN_START, limit=1)
        instance.all_instigator_state()
    return url


def _instance_settings(dagster_url: str) -> dict[str, object]:
    return {
        "storage": {"postgres": {"postgres_url": sqlalchemy_psycopg2(dagster_url)}},
        "telemetry": {"enabled": False},
    }


@pytest.fixture
def databases(postgres_url: str) -> Iterator[Databases]:
    """Databases that are dropped after the test."""
    made = Databases(postgres_url)
    yield made
    made.drop_all()


@pytest.fixture
def empty_database_url(databases: Databases) -> str:
    """libpq URL of a database without any table."""
    return databases.create()


@pytest.fixture
def fresh_database(databases: Databases, migrated_template: str) -> Database:
    """A migrated, empty database of this test's own, whose schema it may change. Takes a third of a second."""
    return Database(databases.create(template=migrated_template), patience=30)


@pytest.fixture(scope="session")
def _common_database(_shared_databases: Databases, migrated_template: str) -> Database:
    return Database(_shared_databases.create(template=migrated_template), patience=30)


@pytest.fixture
def database(_common_database: Database) -> Iterator[Database]:
    """A migrated, empty database. Its sequences go on from test to test, so no id may be expected."""
    yield _common_database
    from resources.postgres.tables import metadata

    with _common_database.transaction(role="cleaner") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        there = {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        connection.execute("UPDATE deduplicated_events SET replaced_by = NULL, split_from = NULL")
        for table in reversed([table for table in metadata.sorted_tables if table.name in there]):
            connection.execute(f"DELETE FROM {table.name}")  # type: ignore[arg-type]


@pytest.fixture
def database_url(database: Database) -> str:
    """libpq URL of `database`."""
    return database.url


@pytest.fixture
def dagster_url(databases: Databases, dagster_template: str) -> str:
    """libpq URL of an empty Dagster storage of this test's own."""
    return databases.create(template=dagster_template)


@pytest.fixture
def platform_environment(
    database_url: str, dagster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The variables that point this process, and the commands it starts, at databases of the test's own."""
    values = {
        "INGESTION_HOME": str(tmp_path / "home"),
        "DATABASE_URL": database_url,
        "DAGSTER_DATABASE_URL": dagster_url,
        "INGESTION_ALLOW_PRIVATE_ADDRESSES": "true",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def make_instance(dagster_url: str, tmp_path: Path) -> Iterator[Callable[[], object]]:
    """Dagster instances on PostgreSQL, all on one storage."""
    import dagster as dg

    made: list[dg.DagsterInstance] = []

    def make() -> dg.DagsterInstance:
        folder = tmp_path / "dagster"
        folder.mkdir(exist_ok=True)
        instance = dg.DagsterInstance.local_temp(str(folder), overrides=_instance_settings(dagster_url))
        made.append(instance)
        return instance

    yield make
    for instance in made:
        instance.dispose()
