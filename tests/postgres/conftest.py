"""Real servers for tests: one for the whole session, throw-away ones, and other processes that hold them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from resources.postgres import _binaries
from resources.postgres.server import EmbeddedServer

REPOSITORY = Path(__file__).parents[2]


def _scratch() -> str:
    """Where these tests make clusters: in memory where there is room for some dozen of 40 MB, since each waits for the
    disk several times. Every account can enter it, unlike pytest's folder.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    return str(memory if roomy else "/var/tmp")


SCRATCH = _scratch()

# Reads one command a line and answers each with one line, so that a test knows what has happened without waiting.
_PROGRAM = """
import os, subprocess, sys
from pathlib import Path
directory, uid = Path(sys.argv[1]), int(sys.argv[2])
import atexit, psutil, psycopg, psycopg_binary, psycopg.sql, encodings.ascii, encodings.idna
from resources.postgres.server import EmbeddedServer
if uid:
    os.setgroups([]); os.setgid(uid); os.setuid(uid); os.environ["HOME"] = "/"
server = EmbeddedServer(directory)
for line in sys.stdin:
    command = line.strip()
    try:
        if command == "start":
            server.start()
            with psycopg.connect(server.url("postgres")) as connection:
                answer = str(connection.execute("SELECT 1").fetchone()[0])
        elif command == "release":
            server.release(); answer = "released"
        elif command == "url":
            answer = server.url("postgres")
        elif command == "sleeping child":
            answer = str(subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL).pid)
        elif command == "forked child":
            answer = str(os.fork())
            if answer == "0":
                os.close(1)
                server.release()
                os.read(0, 1)  # until the test closes our common standard input
                sys.exit(0)
        elif command == "destroy":
            server.destroy(); answer = "destroyed"
        elif command == "exit":
            print("exiting", flush=True)
            sys.exit(0)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}".replace(chr(10), " ")
    print(answer, flush=True)
"""


class Holder:
    """Another process with an `EmbeddedServer` of its own."""

    def __init__(self, directory: Path, uid: int = 0, *, below: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*below, sys.executable, "-c", _PROGRAM, str(directory), str(uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    def send(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.send(command)
        return self.answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def server_processes(data: Path) -> list[int]:
    """The live processes that work in a data directory, by other means than the manager's own."""
    found = []
    for process in psutil.process_iter(["status", "name"]):
        try:
            if process.info["status"] != psutil.STATUS_ZOMBIE and Path(process.cwd()) == data:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[EmbeddedServer]:
    """One server for all tests that break nothing."""
    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=SCRATCH) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "postgres")
        server.start()
        yield server
        server.destroy()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account can enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=SCRATCH) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only its owner can enter."""
    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=SCRATCH) as folder:
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        yield Path(folder)


@pytest.fixture
def make_server(open_folder: Path, closed_folder: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Servers that a test may break; each is destroyed afterwards, and nothing of it may be left."""
    made: list[EmbeddedServer] = []

    def make(directory: Path | None = None) -> EmbeddedServer:
        server = EmbeddedServer(directory or open_folder / "postgres")
        made.append(server)
        return server

    yield make
    for server in made:
        data = server.status().data_directory
        server.destroy()
        assert data is None or (server_processes(data) == [] and not data.exists())


@pytest.fixture(scope="session")
def _warm_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=SCRATCH) as folder:
        Path(folder).chmod(0o755)
        directory = Path(folder) / "postgres"
        yield directory
        EmbeddedServer(directory).destroy()


@pytest.fixture
def warm_server(_warm_directory: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Servers on one folder, for tests that start and stop but break nothing: only the first runs `initdb`."""
    made: list[EmbeddedServer] = []

    def make(*, tcp_port: int | None = None) -> EmbeddedServer:
        made.append(EmbeddedServer(_warm_directory, tcp_port=tcp_port))
        return made[-1]

    yield make
    for server in made:
        server.stop(force=True)
    data = EmbeddedServer(_warm_directory).status().data_directory
    assert data is not None
    assert server_processes(data) == []


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    """Other processes; they are ended after the test."""
    holders: list[Holder] = []

    def start(directory: Path, uid: int = 0, *, below: tuple[str, ...] = ()) -> Holder:
        if uid:
            _skip_where_programs_are_closed()
        holders.append(Holder(directory, uid, below=below))
        return holders[-1]

    yield start
    for holder in holders:
        if holder.process.poll() is None:
            holder.close()
        for pipe in (holder.process.stdin, holder.process.stdout):
            assert pipe is not None
            pipe.close()


def _skip_where_programs_are_closed() -> None:
    """An ordinary user can run only what he can reach, and this environment may lie in somebody's private folder."""
    for folder in _binaries.newest().folder.parents:
        if not folder.stat().st_mode & 0o001:
            pytest.skip(f"other accounts cannot enter {folder}, where the programs of PostgreSQL are")


@pytest.fixture
def unprivileged() -> int:
    """The number of an ordinary user that these tests may become."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    import pwd

    return pwd.getpwnam("nobody").pw_uid
