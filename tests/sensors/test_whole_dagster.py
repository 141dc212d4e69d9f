"""Whole Dagster installations whose processes are killed: everything goes on without a manual step."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from resources.postgres.database import Database
from tests.processes import wait_for
from tests.sensors.conftest import Ledger
from tests.sensors.installation import Installation

WITHIN = 120.0
"""Seconds from the kill to the end of the work."""


@pytest.fixture
def installation(tmp_path: Path, platform_environment: dict[str, str]) -> Iterator[Installation]:
    made = Installation(tmp_path, platform_environment)
    yield made
    made.stop()


@pytest.mark.soak
@pytest.mark.dagster
@pytest.mark.timeout(400)
@pytest.mark.parametrize("victims", ["worker", "code", "daemon", "code daemon", "stopped worker"])
@pytest.mark.parametrize("round_", range(4))
def test_an_import_whose_processes_are_killed_is_done_without_a_manual_step(
    installation: Installation,
    ledger: Ledger,
    dagster_url: str,
    victims: str,
    round_: int,
    record_property: Callable[[str, object], None],
) -> None:
    """The worker dies in every case: killed, or paused so that it wakes up later as a late writer."""
    for name in ("code", "daemon"):
        installation.start(name)
    [row] = wait_for(
        lambda: ledger.database.fetch_all(
            "SELECT h.process, j.run_id FROM run_heartbeats h JOIN import_jobs j USING (run_id) WHERE j.pages = 1"
        ),
        120,
        "the import did not begin",
    )
    time.sleep(round_)
    worker = psutil.Process(int(row["process"].rpartition(":")[2]))
    killed = time.monotonic()
    for name in victims.split():
        if name in installation.processes:
            installation.kill(name)
    if victims == "stopped worker":
        worker.send_signal(signal.SIGSTOP)
    else:
        worker.kill()
    for name in victims.split():
        if name in installation.processes:
            installation.start(name)
    wait_for(lambda: _statuses(ledger) == ["ERROR", "SUCCESS"], WITHIN, "the import was not done again")
    seconds = time.monotonic() - killed
    assert _runs(dagster_url) == ["FAILURE", "SUCCESS"]
    if victims == "stopped worker":
        worker.send_signal(signal.SIGCONT)
        worker.wait(60)  # its run is over: it ends by itself
        assert _statuses(ledger) == ["ERROR", "SUCCESS"]
    record_property(f"{victims}: seconds from the kill until it was done", seconds)


def _statuses(ledger: Ledger) -> list[str]:
    return [row["status"] for row in ledger.database.fetch_all("SELECT status FROM import_jobs ORDER BY id")]


def _runs(dagster_url: str) -> list[str]:
    def read() -> list[str]:
        rows = Database(dagster_url).fetch_all("SELECT status FROM runs WHERE pipeline_name = 'victim_job' ORDER BY id")
        return [row["status"] for row in rows]

    # The ledger row closes a moment before the run does.
    wait_for(lambda: read()[-1] == "SUCCESS", 30, "the run did not end")
    return read()
