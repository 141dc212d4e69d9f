"""A whole installation whose runs go through Celery: Redis, code server, daemon and workers, each to be killed at will."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import psutil

from ingestion_assets.cli.supervisor import free_port
from tests.processes import ROOT, DagsterProcesses, wait_for

DAGSTER_HOME = ROOT / "deploy" / "celery"


def redis_server() -> str | None:
    """The program, where the machine has it."""
    return shutil.which("redis-server")


class CeleryInstallation(DagsterProcesses):
    """Processes on databases and a broker of their own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment, home=DAGSTER_HOME)
        self.redis_port, self.code_port = free_port(), free_port()
        self.broker = f"redis://127.0.0.1:{self.redis_port}/0"
        self.environment["INGESTION_CELERY_BROKER_URL"] = self.broker
        self.workspace = self.write_workspace(self.code_port, "ingestion")

    def start_redis(self) -> None:
        program = redis_server()
        assert program is not None
        self.spawn(
            "redis",
            [program, "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)],
        )

    def start_dagster(self) -> None:
        self.spawn(
            "code",
            [
                *(sys.executable, "-m", "dagster", "api", "grpc", "-m", "ingestion_assets.definitions"),
                *("--host", "127.0.0.1", "--port", str(self.code_port), "--location-name", "ingestion"),
            ],
        )
        # A backfill that the daemon sees before the code server answers is failed.
        wait_for(lambda: "Started Dagster code server" in self.log("code"), 120, "the code server did not start")
        self.spawn("daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", str(self.workspace)])

    def start_worker(self, name: str, *queues: str, concurrency: int = 2) -> None:
        program = "from ingestion_assets.cli import main; main()"
        options = [part for queue in queues for part in ("--queue", queue)]
        self.spawn(name, [sys.executable, "-c", program, "run-worker", "--concurrency", str(concurrency), *options])

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
