"""One daemon on a storage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion_assets.ledger.daemon_lock import DaemonLock, DaemonLockError
from resources.postgres.database import Database

ROOT = Path(__file__).parents[2]


def drop_lock_connections(url: str) -> None:
    with Database(url).transaction() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'ingestion/daemon lock'"
        )


def test_the_second_daemon_is_refused_and_told_who_is_first(database_url: str) -> None:
    with DaemonLock(database_url) as first:
        assert first.still_held()
        with pytest.raises(
            # An external server knows the address of who holds it.
            DaemonLockError,
            match=r"a daemon is at work on this storage already \(from (this machine|[\da-f.:]+), since",
        ):
            DaemonLock(database_url).__enter__()
    with DaemonLock(database_url):
        pass


def test_daemons_on_different_storages_do_not_mind_each_other(database_url: str, empty_database_url: str) -> None:
    with DaemonLock(database_url) as one, DaemonLock(empty_database_url) as two:
        assert one.still_held()
        assert two.still_held()


def test_the_lock_is_taken_again_after_the_server_dropped_it(database_url: str) -> None:
    with DaemonLock(database_url) as lock:
        drop_lock_connections(database_url)
        assert not lock.still_held()
        assert lock.still_held()
        with pytest.raises(DaemonLockError):
            DaemonLock(database_url).__enter__()


def test_a_daemon_that_lost_its_lock_to_another_has_to_stop(database_url: str) -> None:
    with DaemonLock(database_url) as lock:
        drop_lock_connections(database_url)
        assert not lock.still_held()
        with DaemonLock(database_url), pytest.raises(DaemonLockError):
            lock.still_held()


def test_the_server_gives_up_on_a_daemon_whose_machine_is_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default a standby would be refused for two hours: so long the server takes the connection for a living one."""
    held: list[psycopg.Connection[Any]] = []
    connect = Database.connect

    def connected(database: Database, **options: Any) -> psycopg.Connection[Any]:
        held.append(connect(database, **options))
        return held[-1]

    monkeypatch.setattr(Database, "connect", connected)
    with DaemonLock(database_url):
        [row] = held[0].execute("SELECT count(*) FROM pg_settings WHERE name LIKE 'tcp_%' AND source = 'session'")
    assert row == (4,)


@pytest.mark.dagster
def test_ingest_daemon_refuses_to_be_the_second_one(
    platform_environment: dict[str, str], tmp_path: Path, dagster_url: str
) -> None:
    program = "from ingestion_assets.cli.jobs import daemon; import typer; typer.run(daemon)"
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []\n")
    command = [sys.executable, "-c", program, "-w", str(workspace)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: _daemon_beats(dagster_url), first)
        second = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode != 0
        assert "a daemon is at work on this storage already" in second.stderr
        assert first.poll() is None
    finally:
        first.terminate()
        first.communicate(timeout=60)
    assert first.returncode == 0


def _daemon_beats(url: str) -> bool:
    return bool(Database(url).fetch_all("SELECT 1 AS one FROM daemon_heartbeats LIMIT 1"))


def _wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.2)
