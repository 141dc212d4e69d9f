"""PostgreSQL goes away under a whole Dagster, whose storage it holds too: the work ends by itself when it is back."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources.postgres.database import Database
from resources.postgres.migrate import upgrade
from resources.postgres.server import EmbeddedServer
from resources.postgres.urls import sqlalchemy_psycopg
from tests.databases import scratch_folder
from tests.processes import wait_for
from tests.sensors.installation import Installation

WITHIN = 120.0
"""Seconds from the return of the server to the end of the work."""


class Site:
    """A server of its own with both databases, and a Dagster on it."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.server = server
        for name in ("ingestion", "ingestion_dagster"):
            server.ensure_database(name)
        upgrade(sqlalchemy_psycopg(server.url("ingestion")))
        self.database = Database(server.url("ingestion"), patience=5)
        self.dagster = Database(server.url("ingestion_dagster"), patience=5)
        self.installation = Installation(
            folder,
            {
                "INGESTION_HOME": str(folder / "home"),
                "DATABASE_URL": server.url("ingestion"),
                "DAGSTER_DATABASE_URL": server.url("ingestion_dagster"),
                "TEST_NO_VICTIM": "1",
            },
        )

    def runs(self) -> list[str]:
        return [row["status"] for row in self.dagster.fetch_all("SELECT status FROM runs ORDER BY id")]

    def imports(self) -> list[str]:
        return [row["status"] for row in self.database.fetch_all("SELECT status FROM import_jobs ORDER BY id")]

    def pages(self) -> int:
        [row] = self.database.fetch_all("SELECT coalesce(max(pages), 0) AS pages FROM import_jobs")
        return int(row["pages"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="ingestion-test-", dir=scratch_folder()) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder) / "postgres")
        server.start()
        made = Site(server, tmp_path)
        try:
            yield made
        finally:
            made.installation.stop()
            server.destroy()


@pytest.mark.soak
@pytest.mark.dagster
@pytest.mark.timeout(600)
@pytest.mark.parametrize("away", [0.5, 5.0, 30.0, 120.0])
def test_the_work_ends_by_itself_and_the_first_launch_afterwards_works(
    site: Site, away: float, record_property: Callable[[str, object], None]
) -> None:
    for name in ("code", "daemon"):
        site.installation.start(name)
    site.installation.launch("steady_job")
    wait_for(lambda: site.pages() >= 3, 120, "the import did not begin")
    site.server.stop(force=True)
    revived: list[str] = []
    back = time.monotonic() + away
    while time.monotonic() < back:
        revived += site.installation.revive()
        time.sleep(0.5)
    site.server.start()
    returned = time.monotonic()
    site.installation.revive()
    site.installation.launch("steady_job")

    def ended() -> bool:
        revived.extend(site.installation.revive())
        states = site.runs()
        return states.count("SUCCESS") >= 2 and not set(states) - {"SUCCESS", "FAILURE"}

    wait_for(ended, WITHIN, f"the runs did not end: {site.runs()}, {site.imports()}")
    record_property("seconds from its return until the work was done", time.monotonic() - returned)
    record_property("processes restarted", len(revived))
    assert site.imports().count("SUCCESS") == 2
    assert "RUNNING" not in site.imports()
