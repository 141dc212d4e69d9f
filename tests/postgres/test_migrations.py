"""The schema comes from the migrations, and is the one that the tables in the code describe."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from resources.errors import PermanentError
from resources.postgres import migrate
from resources.postgres.database import Database
from resources.postgres.urls import sqlalchemy_psycopg

ROOT = Path(__file__).parents[2]


def _tables(url: str) -> set[str]:
    rows = Database(url).fetch_all("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    return {row["name"] for row in rows}


def test_upgrading_an_empty_database_gives_what_the_code_describes(empty_database_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from resources.postgres.tables import metadata

    url = sqlalchemy_psycopg(empty_database_url)
    before, after = migrate.upgrade(url)
    assert (before, after) == (None, migrate.head_revision())
    with create_engine(url, poolclass=NullPool).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_schemas": False}
        )
        assert compare_metadata(context, metadata) == []
    assert _tables(empty_database_url) == {*metadata.tables, "alembic_version"}


def test_what_autogenerate_does_not_compare_is_the_same_too(empty_database_url: str, databases: object) -> None:
    """CHECK constraints, partial indexes, storage parameters and generated columns, as the server prints them."""
    from resources.postgres.tables import metadata

    migrate.upgrade(sqlalchemy_psycopg(empty_database_url))
    described = databases.create()  # type: ignore[attr-defined]
    metadata.create_all(create_engine(sqlalchemy_psycopg(described), poolclass=NullPool))
    assert _printed(described) == _printed(empty_database_url)


def _printed(url: str) -> list[tuple[object, ...]]:
    with Database(url).transaction() as connection:
        return connection.execute(
            """
            SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
            UNION ALL
            SELECT 'index', tablename, indexname, indexdef FROM pg_indexes
            WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            UNION ALL
            SELECT 'column', c.relname, a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull,
                   a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
              AND c.relname <> 'alembic_version'
            UNION ALL
            SELECT 'table', relname, '', concat_ws(' ', reloptions) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
            ORDER BY 1, 2, 3, 4
            """
        ).fetchall()


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    before = _printed(database_url)
    assert migrate.upgrade(sqlalchemy_psycopg(database_url)) == (migrate.head_revision(), migrate.head_revision())
    assert _printed(database_url) == before


def test_an_interrupted_upgrade_goes_on_where_it_stopped(empty_database_url: str) -> None:
    """Each revision is a transaction of its own, and the record of it is part of it."""
    _upgrade_to("0001", empty_database_url)
    before, after = migrate.upgrade(sqlalchemy_psycopg(empty_database_url))
    assert before == "0001"
    assert after == migrate.head_revision()


def _upgrade_to(revision: str, url: str) -> None:
    from alembic import command

    config = migrate._config()
    with create_engine(sqlalchemy_psycopg(url), poolclass=NullPool).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def test_a_database_of_a_newer_version_is_refused(fresh_database: Database) -> None:
    database_url = fresh_database.url
    with Database(database_url).transaction() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
    with pytest.raises(PermanentError, match=r"'9999_from_the_future', which this version does not know"):
        migrate.upgrade(sqlalchemy_psycopg(database_url))
    # The lock was given back: somebody who knows the revision can go on.
    with Database(database_url).connect(autocommit=True) as connection:
        assert connection.execute("SELECT pg_try_advisory_lock(%s)", (migrate._LOCK,)).fetchone() == (True,)


def test_six_processes_at_once_migrate_once(empty_database_url: str) -> None:
    program = (
        "import sys; from resources.postgres.migrate import upgrade;"
        "sys.stdin.readline(); before, after = upgrade(sys.argv[1]); print(before)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, sqlalchemy_psycopg(empty_database_url)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0] * 6
    assert answers == [*[migrate.head_revision()] * 5, "None"]
    with create_engine(sqlalchemy_psycopg(empty_database_url), poolclass=NullPool).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_a_migration_that_waits_for_a_long_transaction_keeps_nobody_else_waiting(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump holds every table for as long as it takes, and who comes after a migration in the queue waits for both."""
    monkeypatch.setattr(migrate, "_LOCK_WAIT", "300ms")
    monkeypatch.setattr(migrate, "_PAUSE", 0.1)
    _upgrade_to("0009", empty_database_url)
    database = Database(empty_database_url)
    outcome: list[object] = []
    with database.connect() as dump:
        dump.execute("SELECT count(*) FROM incidents")
        migration = threading.Thread(
            target=lambda: outcome.append(migrate.upgrade(sqlalchemy_psycopg(empty_database_url)))
        )
        migration.start()
        waits = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND relation = 'incidents'::regclass"
        while database.fetch_all(waits) == [{"n": 0}]:
            assert migration.is_alive()
        with database.transaction() as connection:
            connection.execute("SET LOCAL statement_timeout = '10s'")
            connection.execute(
                "INSERT INTO incidents (watcher, subject_type, subject, reason, action, detail)"
                " VALUES ('w', 'run', 's', 'r', 'freed', 'd')"
            )
        assert migration.is_alive()
        dump.rollback()
        migration.join(30)
    assert outcome == [("0009", migrate.head_revision())]


def test_a_migration_gives_up_when_a_transaction_does_not_end(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_WAIT", "50ms")
    monkeypatch.setattr(migrate, "_PATIENCE", 0.2)
    monkeypatch.setattr(migrate, "_PAUSE", 0.01)
    _upgrade_to("0009", empty_database_url)
    with Database(empty_database_url).connect() as dump:
        dump.execute("SELECT count(*) FROM incidents")
        with pytest.raises(migrate.SchemaError, match=r"long transaction.*`ingest db upgrade`"):
            migrate.upgrade(sqlalchemy_psycopg(empty_database_url))
    assert migrate.upgrade(sqlalchemy_psycopg(empty_database_url)) == ("0009", migrate.head_revision())


def test_no_two_migrations_claim_the_same_place() -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(migrate._config())
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
