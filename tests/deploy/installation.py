"""A whole installation whose runs go through Celery: Redis, code server, daemon and workers, each to be killed at will."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from ingestion_assets.cli.supervisor import free_port
from resources.postgres.urls import sqlalchemy_psycopg2

ROOT = Path(__file__).parents[2]
DAGSTER_HOME = ROOT / "deploy" / "celery"


def redis_server() -> str | None:
    """The program, where the machine has it."""
    return shutil.which("redis-server")


class CeleryInstallation:
    """Processes on databases and a broker of their own, each in a session of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.redis_port, self.code_port = free_port(), free_port()
        self.broker = f"redis://127.0.0.1:{self.redis_port}/0"
        self.workspace = folder / "workspace.yaml"
        self.workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {self.code_port}, location_name: ingestion}}\n"
        )
        (folder / "dagster").mkdir()
        self.environment = {
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(DAGSTER_HOME),
            "INGESTION_CELERY_BROKER_URL": self.broker,
            "INGESTION_DAGSTER_DIR": str(folder / "dagster"),
            "INGESTION_DAGSTER_STORAGE_URL": sqlalchemy_psycopg2(environment["DAGSTER_DATABASE_URL"]),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_redis(self) -> None:
        program = redis_server()
        assert program is not None
        self._start(
            "redis",
            [program, "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)],
        )

    def start_dagster(self) -> None:
        self._start(
            "code",
            [
                *(sys.executable, "-m", "dagster", "api", "grpc", "-m", "ingestion_assets.definitions"),
                *("--host", "127.0.0.1", "--port", str(self.code_port), "--location-name", "ingestion"),
            ],
        )
        # A backfill that the daemon sees before the code server answers is failed.
        wait_for(lambda: "Started Dagster code server" in self.log("code"), 120, "the code server did not start")
        self._start("daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", str(self.workspace)])

    def start_worker(self, name: str, *queues: str, concurrency: int = 2) -> None:
        program = "from ingestion_assets.cli import main; main()"
        options = [part for queue in queues for part in ("--queue", queue)]
        self._start(name, [sys.executable, "-c", program, "run-worker", "--concurrency", str(concurrency), *options])

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def holder(self, pid: int) -> str:
        """The name of the process whose tree `pid` is in."""
        parents = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
        [name] = [name for name, process in self.processes.items() if process.pid in parents]
        return name

    def kill_tree(self, name: str) -> None:
        """As when its machine loses power: nothing of it says goodbye, and nothing stays behind."""
        root = psutil.Process(self.processes[name].pid)
        tree = [*root.children(recursive=True), root]
        for process in tree:
            process.suspend()  # none may notice that another one is gone
        for process in tree:
            process.kill()
        psutil.wait_procs(tree, timeout=10)
        self.processes[name].wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What `condition` returns once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.25)
    return value
