"""One embedded PostgreSQL for all methods of a run, a database of its own for each, and what each cost the server."""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._measure import tree_cpu_seconds
from resources.postgres.server import EmbeddedServer

if TYPE_CHECKING:
    from psycopg import Connection


@dataclass(slots=True)
class ServerCost:
    """What the server did while the body of `BenchDatabase.watched` ran, its background processes included."""

    cpu: float = 0.0
    wal_bytes: int = 0
    table_wal_bytes: int | None = None
    """The part of it that concerns the table that was asked for."""
    tuples: dict[str, tuple[int, int, int]] | None = None
    """(inserted, updated, deleted) rows by table, as PostgreSQL counts them."""


class BenchDatabase:
    """One database of the server."""

    def __init__(self, server: EmbeddedServer, name: str) -> None:
        self._server = server
        self.name = name
        server.ensure_database(name)

    @property
    def url(self) -> str:
        """Through the Unix socket: what the platform uses with the embedded server."""
        return self._server.url(self.name)

    @property
    def tcp_url(self) -> str:
        """Through 127.0.0.1, for peers that cannot use a Unix socket."""
        return self._server.tcp_url(self.name)

    def migrate(self) -> None:
        """Bring it to the platform's schema."""
        from resources.postgres.migrate import upgrade
        from resources.postgres.urls import sqlalchemy_psycopg

        upgrade(sqlalchemy_psycopg(self.url))

    def fetch(self, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        """The rows of one query."""
        with self.administrator() as connection:
            return connection.execute(query, parameters).fetchall()

    def _wal_of(self, table: str, begin: str, end: str) -> int:
        """Bytes of WAL that concern `table`, its indexes and its TOAST table, as `pg_waldump` reads them."""
        from resources.postgres._binaries import newest

        data = self._server.status().data_directory
        if data is None or begin == end:
            return 0
        relations = self.fetch(
            "WITH heap AS (SELECT oid, reltoastrelid FROM pg_class WHERE oid = %s::regclass),"
            " heaps AS (SELECT oid FROM heap UNION ALL SELECT reltoastrelid FROM heap WHERE reltoastrelid <> 0)"
            " SELECT d.dattablespace || '/' || d.oid || '/' || pg_relation_filenode(r.oid) FROM pg_database d,"
            " (SELECT oid FROM heaps UNION ALL SELECT indexrelid FROM pg_index JOIN heaps ON indrelid = heaps.oid) r"
            " WHERE d.datname = current_database()",
            (table,),
        )
        total = 0
        for (relation,) in relations:
            dump = subprocess.run(
                [newest().program("pg_waldump"), "-p", data / "pg_wal", "-s", begin, "-e", end, "-R", relation],
                capture_output=True,
                text=True,
                check=False,
            )
            if dump.returncode != 0:
                raise RuntimeError(f"pg_waldump failed: {dump.stderr.strip()}")
            total += sum(int(found) for found in re.findall(r"len \(rec/tot\):\s+\d+/\s*(\d+)", dump.stdout))
        return total

    @contextmanager
    def watched(self, *, wal_of: str | None = None) -> Iterator[ServerCost]:
        """Measure the server around the body; `wal_of` is a table whose part of the WAL is wanted.

        Vacuum and checkpoint come before the first look, so that no method pays for the one before it; what the body
        leaves to the checkpointer afterwards is charged by the checkpoint at the end.
        """
        cost = ServerCost()
        pid = self._server.status().pid
        if pid is None:
            raise RuntimeError("the server is not running")
        with self.administrator() as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            tuples = _tuples(connection)
            begin = _wal_position(connection)
        cpu = tree_cpu_seconds(pid)
        yield cost
        with self.administrator() as connection:
            end = _wal_position(connection)
            cost.wal_bytes = _offset(end) - _offset(begin)
        if wal_of is not None:  # before the checkpoint, which recycles the files
            cost.table_wal_bytes = self._wal_of(wal_of, begin, end)
        with self.administrator() as connection:
            connection.execute("CHECKPOINT")
        cost.cpu = tree_cpu_seconds(pid) - cpu
        with self.administrator() as connection:
            now = _tuples(connection)
        cost.tuples = {
            table: (new[0] - old[0], new[1] - old[1], new[2] - old[2])
            for table, new in now.items()
            if new != (old := tuples.get(table, (0, 0, 0)))
        }

    def administrator(self) -> Connection[Any]:
        """A connection of the server's own account: CHECKPOINT is not for everybody."""
        import psycopg

        return psycopg.connect(self.url.replace("ingestion@", "postgres@", 1), autocommit=True)


@contextmanager
def bench_server() -> Iterator[EmbeddedServer]:
    """A server of its own, deleted at the end; it listens on TCP too, because peers need that.

    Without autovacuum, which would tidy up after one method while another is measured: `watched` vacuums before it
    looks. What a method leaves behind is thus not charged to it, which favours those that rewrite unchanged rows.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedServer(Path(folder) / "postgres", tcp_port=_free_port())
        server.start()
        try:
            with BenchDatabase(server, "bench").administrator() as connection:
                connection.execute("ALTER SYSTEM SET autovacuum = off")
                connection.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            server.destroy()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wal_position(connection: Connection[Any]) -> str:
    row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    return str(row[0]) if row else "0/0"


def _offset(position: str) -> int:
    high, _, low = position.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _tuples(connection: Connection[Any]) -> dict[str, tuple[int, int, int]]:
    rows = connection.execute(
        "SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
    )
    return {name: (inserted, updated, deleted) for name, inserted, updated, deleted in rows}
