"""A Dagster installation in processes of its own: a code server and a daemon, which a test may kill."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingestion_assets.cli.supervisor import free_port
from resources.postgres.urls import sqlalchemy_psycopg2

ROOT = Path(__file__).parents[2]


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

    def revive(self) -> list[str]:
        """Start again what has ended, as a supervisor would; returns what that was."""
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def launch(self, job: str) -> None:
        """Queue a run of `job` from the command line, once the code server listens."""
        wait_for(self._listens, 60, "the code server did not come up")
        command = ["-m", "dagster", "job", "launch", "-w", str(self.workspace), "-j", job]
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment, timeout=120, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.25)
    return value
