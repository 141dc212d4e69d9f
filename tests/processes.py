"""Dagster's processes as a test starts, watches and kills them, each in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from resources.postgres.urls import sqlalchemy_psycopg2

ROOT = Path(__file__).parents[1]


class DagsterProcesses:
    """Processes that share Dagster's storage, a folder for their files, and an environment."""

    def __init__(self, folder: Path, environment: dict[str, str], *, home: Path = ROOT) -> None:
        self.folder = folder
        (folder / "dagster").mkdir()
        self.environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(home),
            "INGESTION_DAGSTER_DIR": str(folder / "dagster"),
            "INGESTION_DAGSTER_STORAGE_URL": sqlalchemy_psycopg2(environment["DAGSTER_DATABASE_URL"]),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def write_workspace(self, port: int, location: str) -> Path:
        """A workspace with the one code server that listens on `port`."""
        path = self.folder / "workspace.yaml"
        path.write_text(f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {location}}}\n")
        return path

    def spawn(self, name: str, command: Sequence[str]) -> None:
        """Start a process; what it says is in `log(name)`."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self, *names: str) -> None:
        """Kill the named processes, or all, with what they started in their sessions."""
        for name in names or tuple(self.processes):
            process = self.processes.pop(name)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What `condition` returns once it is true; fails with `what` when that takes too long."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.25)
    return value
