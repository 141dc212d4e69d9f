"""Whole Dagster installations whose processes are killed: everything goes on without a manual step."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingestion_assets.cli.supervisor import free_port
from resources.postgres.database import Database
from resources.postgres.urls import sqlalchemy_psycopg2
from tests.sensors.conftest import Ledger

ROOT = Path(__file__).parents[2]
WITHIN = 120.0
"""Seconds from the kill to the end of the work."""


class Installation:
    """A code server and a daemon on storage of their own, each in a session of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.workspace = folder / "workspace.yaml"
        self.workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {self.port}, location_name: kill}}\n"
        )
        (folder / "dagster").mkdir()
        self.environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(ROOT),
            "INGESTION_DAGSTER_DIR": str(folder / "dagster"),
            "INGESTION_DAGSTER_STORAGE_URL": sqlalchemy_psycopg2(environment["DAGSTER_DATABASE_URL"]),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = {
            "code": [
                *("-m", "dagster", "api", "grpc", "-m", "tests.sensors.kill_definitions", "--location-name", "kill"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            "daemon": ["-m", "dagster._daemon", "run", "-w", str(self.workspace)],
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def installation(tmp_path: Path, platform_environment: dict[str, str]) -> Iterator[Installation]:
    made = Installation(tmp_path, platform_environment)
    yield made
    made.stop()


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.25)
    return value


@pytest.mark.soak
@pytest.mark.dagster
@pytest.mark.timeout(400)
@pytest.mark.parametrize("victims", ["worker", "code", "daemon", "code daemon", "stopped worker"])
@pytest.mark.parametrize("round_", range(4))
def test_an_import_whose_processes_are_killed_is_done_without_a_manual_step(
    installation: Installation, ledger: Ledger, dagster_url: str, victims: str, round_: int
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
    print(f"{victims}: done {seconds:.0f} s after the kill")


def _statuses(ledger: Ledger) -> list[str]:
    return [row["status"] for row in ledger.database.fetch_all("SELECT status FROM import_jobs ORDER BY id")]


def _runs(dagster_url: str) -> list[str]:
    def read() -> list[str]:
        rows = Database(dagster_url).fetch_all("SELECT status FROM runs WHERE pipeline_name = 'victim_job' ORDER BY id")
        return [row["status"] for row in rows]

    # The ledger row closes a moment before the run does.
    wait_for(lambda: read()[-1] == "SUCCESS", 30, "the run did not end")
    return read()
