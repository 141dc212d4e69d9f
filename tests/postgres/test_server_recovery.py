from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from resources.postgres import _binaries, _home, _postmaster
from resources.postgres.platform import open_databases
from resources.postgres.server import EmbeddedServer, EmbeddedServerError
from tests.processes import ROOT

Make = Callable[..., EmbeddedServer]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def zombie() -> Iterator[int]:
    """A process that has ended and that nobody waits for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    yield process.pid
    process.wait()


@pytest.fixture
def pid_file() -> Callable[[EmbeddedServer, int], None]:
    """Leaves the files of a server that died behind, with a process id of choice."""

    def leave(server: EmbeddedServer, pid: int) -> None:
        server.start()
        server.ensure_database("numbers")
        status = server.status()
        assert status.data_directory is not None
        assert status.socket is not None
        assert status.pid is not None
        content = (status.data_directory / "postmaster.pid").read_text()
        socket_lock = (status.socket / ".s.PGSQL.5432.lock").read_text()
        server.release()
        owner = status.data_directory.stat()
        for path, text in (
            (status.data_directory / "postmaster.pid", content),
            (status.socket / ".s.PGSQL.5432.lock", socket_lock),
            (status.socket / ".s.PGSQL.5432", ""),
        ):
            path.write_text(text.replace(str(status.pid), str(pid), 1))
            os.chown(path, owner.st_uid, owner.st_gid)

    return leave


def test_committed_rows_survive_a_killed_postmaster(warm_server: Make) -> None:
    server = warm_server()
    server.start()
    server.ensure_database("numbers")
    with psycopg.connect(server.url("numbers"), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS numbers")
        connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS value")
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    server.start()
    assert server.status().pid != pid
    with psycopg.connect(server.url("numbers")) as connection:
        assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (1000,)


def test_a_postmaster_that_is_a_zombie_of_a_living_holder_is_dead(warm_server: Make, hold: Callable) -> None:
    server = warm_server()
    parent = hold(server.directory)
    assert parent.ask("start") == "1"
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert not server.status().running

    server.start()
    assert server.status().running
    assert server.status().pid != pid
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "nobody has reaped it in between"


@pytest.mark.dagster
def test_a_daemon_brings_its_killed_server_back(make_server: Make, open_folder: Path, tmp_path: Path) -> None:
    """Everybody waited for the server, and nobody started it until the next command was called by hand."""
    server = make_server()
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []\n")
    command = [sys.executable, "-m", "ingestion_assets.cli", "daemon", "-w", str(workspace)]
    environment = {**os.environ, "INGESTION_HOME": str(open_folder)}
    daemon = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert daemon.stderr is not None
        assert "daemon is up" in daemon.stderr.readline()
        pid = server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not server.status().running)
        until(lambda: server.status().running)
        assert daemon.poll() is None
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)


def test_a_server_of_ones_own_is_not_ours_to_start(monkeypatch: pytest.MonkeyPatch, warm_server: Make) -> None:
    server = warm_server()
    server.start()
    monkeypatch.setenv("DATABASE_URL", server.url("postgres"))
    with open_databases() as databases:
        server.stop(force=True)
        databases.bring_back()
        assert not server.status().running


def test_a_pid_file_that_names_a_zombie_is_stale(warm_server: Make, pid_file: Callable, zombie: int) -> None:
    server = warm_server()
    pid_file(server, zombie)
    server.start()
    assert server.status().running


def test_a_pid_file_that_names_another_program_is_stale(warm_server: Make, pid_file: Callable) -> None:
    server = warm_server()
    pid_file(server, os.getpid())
    server.start()
    assert server.status().running


def test_a_pid_file_that_names_another_postgres_is_stale(
    warm_server: Make, pid_file: Callable, embedded_server: EmbeddedServer
) -> None:
    server = warm_server()
    other = embedded_server.status().pid
    pid_file(server, other)
    server.start()
    assert server.status().pid != other
    server.release()
    assert embedded_server.status().pid == other, "stopping ours has not touched the other"


def test_stopping_with_a_stale_pid_file_kills_nobody(
    warm_server: Make, pid_file: Callable, embedded_server: EmbeddedServer
) -> None:
    server = warm_server()
    other = embedded_server.status().pid
    pid_file(server, other)
    server.stop(force=True)
    assert embedded_server.status().pid == other


def test_orphans_of_a_killed_postmaster_are_gone_before_the_next_one_starts(
    warm_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is stopped cannot notice that its postmaster died; woken later, it writes beside the new one."""
    monkeypatch.setattr("resources.postgres.server._ORPHAN_TIMEOUT", 0.1)
    monkeypatch.setattr(_postmaster, "_ORPHANS", ((None, 0.1), (signal.SIGQUIT, 0.1), (signal.SIGKILL, 10.0)))
    server = warm_server()
    server.start()
    with psycopg.connect(server.url("postgres")) as connection:
        backend = connection.info.backend_pid
        pid = server.status().pid
        assert pid is not None
        os.kill(backend, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        assert _postmaster.alive(_home.Home(server.directory))
        server.start()
        assert server.status().running
        assert not psutil.pid_exists(backend) or psutil.Process(backend).status() == psutil.STATUS_ZOMBIE


def test_an_interrupted_initdb_is_done_again(make_server: Make, hold: Callable) -> None:
    server = make_server()
    victim = hold(server.directory)
    victim.send("start")
    until(lambda: any(server.directory.glob("initdb-*/data/PG_VERSION")))
    victim.process.kill()
    victim.process.wait(60)
    assert not (server.directory / "data").exists()

    server.start()
    assert server.status().running
    assert list(server.directory.glob("initdb-*")) == []


def test_an_interrupted_first_start_gets_its_role_later(warm_server: Make) -> None:
    server = warm_server()
    server.start()
    home = _home.Home(server.directory)
    with psycopg.connect(host=str(home.socket), user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("ALTER ROLE ingestion RENAME TO set_aside")
        server.start()
        with psycopg.connect(server.url("postgres")) as ours:
            assert ours.execute("SELECT current_user").fetchone() == ("ingestion",)
        connection.execute("DROP ROLE ingestion")
        connection.execute("ALTER ROLE set_aside RENAME TO ingestion")


def test_a_live_server_whose_socket_was_cleaned_away_is_restarted(warm_server: Make) -> None:
    server = warm_server()
    server.start()
    before = server.status()
    assert before.socket is not None
    (before.socket / ".s.PGSQL.5432").unlink()
    assert not server.status().running
    server.start()
    assert server.status().running
    assert server.status().pid != before.pid


def test_the_server_of_a_deleted_folder_does_not_outlive_its_holders(make_server: Make, closed_folder: Path) -> None:
    server = make_server(closed_folder / "postgres")
    server.start()
    pid = server.status().pid
    assert pid is not None
    shutil.rmtree(server.directory)
    server.release()
    if os.geteuid() == 0:  # relocated, so its own files are still there
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    else:  # PostgreSQL looks for its files once a minute; the test does not wait for it
        os.kill(pid, signal.SIGQUIT)


def test_a_folder_called_data_with_other_things_in_it_is_left_alone(open_folder: Path) -> None:
    directory = open_folder / "mine"
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "thesis.txt").write_text("ten years")
    server = EmbeddedServer(directory)
    with pytest.raises(EmbeddedServerError, match="no PostgreSQL data directory"):
        server.start()
    assert (directory / "data" / "thesis.txt").read_text() == "ten years"


def test_a_data_directory_of_an_unknown_version_says_what_to_do(warm_server: Make) -> None:
    server = warm_server()
    server.start()
    server.release()
    version = server.directory / "data" / "PG_VERSION"
    version.write_text("12\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 12, .* carries 16, 18\. Install .* dump"):
        server.start()
    version.write_text("half\n")
    with pytest.raises(EmbeddedServerError, match="damaged"):
        server.start()
    version.write_text(f"{_binaries.newest().major}\n")


def test_a_data_directory_of_an_older_version_that_the_wheel_carries_is_used(
    make_server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    with monkeypatch.context() as patch:
        patch.setattr(_binaries, "newest", lambda: _binaries.installations()[16])
        server.start()
        server.release()
    server.start()
    version = server.status().version
    assert version is not None
    assert version.startswith("16.")


def test_a_setting_that_the_server_refuses_is_in_the_error(warm_server: Make) -> None:
    server = warm_server()
    server.start()
    server.release()
    settings = server.directory / "data" / "local.conf"
    good = settings.read_text()
    settings.write_text("shared_buffers = 'a lot'\n")
    try:
        with pytest.raises(EmbeddedServerError, match=r"ended while it was starting(?s:.)*shared_buffers"):
            server.start()
    finally:
        settings.write_text(good)
    server.start()
    assert server.status().running


def test_initdb_that_fails_says_why_and_leaves_nothing(make_server: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.postgres import _cluster

    server = make_server()
    with monkeypatch.context() as patch:
        patch.setattr(_cluster, "SUPERUSER", "pg_forbidden")
        with pytest.raises(EmbeddedServerError, match="superuser name"):
            server.start()
    assert not (server.directory / "data").exists()
    assert list(server.directory.glob("initdb-*")) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(open_folder: Path) -> None:
    (open_folder / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"cannot use .* or set INGESTION_HOME"):
        EmbeddedServer(open_folder / "file" / "postgres").start()
