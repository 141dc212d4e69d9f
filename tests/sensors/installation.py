"""A Dagster installation in processes of its own: a code server and a daemon, which a test may kill."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from ingestion_assets.cli.supervisor import free_port
from tests.processes import ROOT, DagsterProcesses, wait_for


class Installation(DagsterProcesses):
    """A code server and a daemon on storage of their own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment)
        self.port = free_port()
        self.workspace = self.write_workspace(self.port, "kill")

    def start(self, name: str) -> None:
        command = {
            "code": [
                *("-m", "dagster", "api", "grpc", "-m", "tests.sensors.kill_definitions", "--location-name", "kill"),
                *("--host", "127.0.0.1", "--port", str(self.port)),
            ],
            "daemon": ["-m", "dagster._daemon", "run", "-w", str(self.workspace)],
        }[name]
        self.spawn(name, [sys.executable, *command])

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
