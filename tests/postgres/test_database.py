"""Transactions that outlive their connection, and errors that do not pass for outages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from resources.http.cache import CachedReply
from resources.postgres import database as module
from resources.postgres.database import Database, DatabaseUnavailableError, application_name
from resources.postgres.http_store import PostgresValidatorCache
from resources.postgres.migrate import upgrade
from resources.postgres.server import EmbeddedServer
from resources.postgres.urls import sqlalchemy_psycopg


def _insert(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("INSERT INTO request_budgets VALUES ('t', 'day', now(), 1) RETURNING used").fetchone()
    assert row is not None
    return int(row[0])


def _rows(database: Database) -> int:
    return int(database.fetch_all("SELECT count(*) AS n FROM request_budgets")[0]["n"])


def test_a_session_keeps_its_connection_from_transaction_to_transaction(database: Database) -> None:
    with database.session() as session:
        pids = {session.transact(lambda c: c.info.backend_pid) for _ in range(3)}
        assert len(pids) == 1
        assert session.reconnects == 0


def test_a_terminated_backend_in_the_middle_of_a_transaction_is_survived(database: Database) -> None:
    with database.session() as session:
        killed: list[int] = []

        def work(connection: psycopg.Connection[Any]) -> int:
            result = _insert(connection)
            if len(killed) < 2:
                killed.append(connection.info.backend_pid)
                with database.connect(autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s)", (killed[-1],))
                connection.execute("SELECT pg_sleep(5)")
            return result

        assert session.transact(work) == 1
        assert session.reconnects == len(killed) == 2
    assert _rows(database) == 1


def test_a_session_terminated_while_idle_is_no_failure(database: Database) -> None:
    with database.session() as session:
        pid = session.transact(lambda c: c.info.backend_pid)
        with database.connect(autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        assert session.transact(_insert) == 1
    assert _rows(database) == 1


def test_a_backend_terminated_during_copy_is_survived(database: Database) -> None:
    with database.session() as session:
        rounds: list[int] = []

        def work(connection: psycopg.Connection[Any]) -> None:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS t (a text) ON COMMIT DELETE ROWS")
            _insert(connection)
            with connection.cursor().copy("COPY t FROM STDIN") as copy:
                for number in range(2000):
                    copy.write_row(("x" * 500,))
                    if number == 1000 and not rounds:
                        rounds.append(1)
                        with database.connect(autocommit=True) as other:
                            other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

        session.transact(work)
        assert session.reconnects == 1
    assert _rows(database) == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),
        ("SELECT * FROM no_such_table", psycopg.errors.UndefinedTable),
        ("INSERT INTO request_budgets VALUES ('t', 'fortnight', now(), 1)", psycopg.errors.CheckViolation),
        ("SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)", psycopg.errors.QueryCanceled),
    ],
)
def test_what_the_server_says_of_a_statement_is_raised_at_once(
    database: Database, statement: Any, expected: type[Exception]
) -> None:
    with database.session() as session:
        with pytest.raises(expected):
            session.transact(lambda connection: connection.execute(statement))
        assert session.reconnects == 0
        assert session.transact(_insert) == 1


def test_a_lock_that_is_not_granted_is_no_outage(database: Database) -> None:
    with database.session() as session, database.connect() as holder:
        holder.execute("LOCK TABLE request_budgets")

        def work(connection: psycopg.Connection[Any]) -> None:
            connection.execute("SET LOCAL lock_timeout = 20")
            connection.execute("SELECT count(*) FROM request_budgets")

        with pytest.raises(psycopg.errors.LockNotAvailable):
            session.transact(work)
        assert session.reconnects == 0


def test_an_error_of_the_caller_passes_and_rolls_back(database: Database) -> None:
    with database.session() as session:

        def work(connection: psycopg.Connection[Any]) -> None:
            _insert(connection)
            raise KeyError("mine")

        with pytest.raises(KeyError):
            session.transact(work)
    assert _rows(database) == 0


def test_a_server_that_stays_away_is_a_transient_error_that_says_so_and_names_no_url() -> None:
    database = Database("postgresql://nobody:s3cret@127.0.0.1:1/none", patience=0.3)
    with pytest.raises(
        DatabaseUnavailableError, match=r"did not answer for 0 s\. Is the server of DATABASE_URL up"
    ) as e:
        database.session().transact(_insert)
    assert "s3cret" not in str(e.value)
    assert "s3cret" not in repr(database)


def test_the_patience_is_for_the_outage_and_not_for_the_work_before_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of work, then a lost connection: the five minutes of patience begin there."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with database.session() as session:
        ends = iter((True, False))

        def work(connection: psycopg.Connection[Any]) -> int:
            now[0] += 10 * database.patience
            if next(ends):
                connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            return _insert(connection)

        assert session.transact(work) == 1


def test_work_that_kills_its_connection_every_time_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.01)
    begun: list[int] = []

    def work(connection: psycopg.Connection[Any]) -> None:
        begun.append(1)
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with database.session() as session, pytest.raises(DatabaseUnavailableError):
        session.transact(work)
    assert 5 < len(begun) < 20


def patient_database(make_server: Callable[..., EmbeddedServer]) -> tuple[EmbeddedServer, Database]:
    """A server of the test's own, to be restarted, and a database on it that waits for it."""
    server = make_server()
    server.start()
    server.ensure_database("work")
    return server, Database(server.url("work"), patience=60)


def test_a_restart_of_the_server_in_the_middle_of_a_transaction_is_survived(
    make_server: Callable[..., EmbeddedServer],
) -> None:
    server, database = patient_database(make_server)
    with database.session() as session:
        session.transact(lambda connection: connection.execute("CREATE TABLE t (a int)"))
        restarts: list[threading.Thread] = []

        def restart() -> None:
            server.stop(force=True)
            server.start()

        def work(connection: psycopg.Connection[Any]) -> str:
            connection.execute("INSERT INTO t VALUES (1)")
            if not restarts:
                restarts.append(threading.Thread(target=restart))
                restarts[0].start()
                connection.execute("SELECT pg_sleep(30)")
            return "committed"

        assert session.transact(work) == "committed"
        restarts[0].join()
        assert session.reconnects >= 1
    assert database.fetch_all("SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_a_restart_of_the_server_between_two_feeds_is_survived_by_what_remembers_their_answers(
    make_server: Callable[..., EmbeddedServer],
) -> None:
    server, database = patient_database(make_server)
    upgrade(sqlalchemy_psycopg(database.url))
    cache = PostgresValidatorCache(database)
    kept = CachedReply("e", None, b"body", "text/plain", datetime.now(UTC))
    for use in (lambda: cache.put("key", kept), lambda: cache.get("key")):
        server.stop(force=True)
        back = threading.Timer(0.5, server.start)
        back.start()
        found = use()
        back.join()
    assert found == kept


def test_the_role_of_a_connection_shows_in_the_list_of_sessions(database: Database) -> None:
    with database.connect(role="import feed") as connection:
        row = connection.execute(
            "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
    assert row == ("ingestion/import feed",)
    assert application_name("import feed") == "ingestion/import feed"
    assert len(application_name("x" * 100)) == 63


def test_the_server_gives_up_on_a_client_that_the_network_lost(database: Database) -> None:
    """By default a half-open connection keeps its locks for two hours, and its successor waits for them."""
    with database.session() as session:
        rows = session.transact(
            lambda c: c.execute(
                "SELECT source FROM pg_settings WHERE name LIKE 'tcp_%' AND source = 'session'"
            ).fetchall()
        )
    assert len(rows) == 4


def test_a_client_gives_up_on_a_server_that_the_network_lost_also_in_the_middle_of_a_question(
    database: Database,
) -> None:
    """Keepalive probes are not sent while something waits to be acknowledged: that has a timeout of its own."""
    with database.connect() as connection:
        given = connection.info.get_parameters()
    assert int(given["keepalives_idle"]) + int(given["keepalives_interval"]) * int(given["keepalives_count"]) <= 30
    assert 0 < int(given["tcp_user_timeout"]) <= 30_000


def test_nobody_else_sees_a_transaction_before_its_end(database: Database) -> None:
    seen: list[int] = []
    with database.session() as session:

        def work(connection: psycopg.Connection[Any]) -> None:
            _insert(connection)
            seen.append(_rows(database))

        session.transact(work)
    assert (seen, _rows(database)) == ([0], 1)
