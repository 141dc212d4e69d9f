"""`ingest dev`: database, code server, webserver, daemon, HTTP API and a job worker on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ingestion_assets.cli.api import MODULE as API_MODULE
from ingestion_assets.cli.api import variables
from ingestion_assets.cli.console import stderr
from ingestion_assets.cli.environment import platform
from ingestion_assets.cli.supervisor import Supervisor, free_port, require_free, wait_for_http, wait_for_port
from ingestion_assets.ledger.daemon_lock import DaemonLock
from resources.settings import PlatformSettings

_LOOK_EVERY = 0.5
_LOCK_CHECK_EVERY = 5.0


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Dagster's webserver on 127.0.0.1.")] = 3000,
    api_port: Annotated[
        int, typer.Option(envvar="INGESTION_API_PORT", min=1, max=65535, help="Port of the HTTP API on 127.0.0.1.")
    ] = 8080,
    *,
    demo: Annotated[bool, typer.Option(help="Work on the data and the sample feeds of `ingest demo`.")] = False,
) -> None:
    """Start everything on 127.0.0.1 and stop everything when this command is stopped."""
    from ingestion_assets.cli.demo import demo_environment
    from ingestion_assets.ledger.job_worker import RECYCLE_STATUS

    users = "ingest users add NAME --admin"
    if demo or _only_demo_data():
        os.environ.update(demo_environment())
        home = f"INGESTION_HOME={PlatformSettings().home}"
        stderr.print(
            "Showing the data of [bold]ingest demo[/bold]. Configure a source (README) to work on your own.\n"
            f"Commands beside it need {home}",
            soft_wrap=True,
        )
        users = f"{home} {users}"
    stop = _StopSignal()
    with platform() as databases, DaemonLock(databases.dagster_url) as lock, Supervisor(_logs()) as supervisor:
        # Before anything is started: the answer of another server on the port would be taken for ours.
        require_free(port, "--port")
        require_free(api_port, "--api-port")
        code_port = free_port()
        workspace = _workspace(code_port)
        supervisor.start(
            "code-server",
            [
                *(sys.executable, "-m", "dagster", "code-server", "start", "-m", "ingestion_assets.definitions"),
                *("--host", "127.0.0.1", "--port", str(code_port), "--location-name", "ingestion"),
            ],
        )
        wait_for_port(code_port, supervisor, stop.is_set)
        supervisor.start(
            "webserver",
            [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)],
        )
        supervisor.start("daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)])
        dagster_url, api_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}"
        supervisor.start(
            "api",
            [sys.executable, *API_MODULE],
            environment=variables(host="127.0.0.1", port=api_port, dagster_url=dagster_url),
        )
        supervisor.start("worker", [sys.executable, "-m", "ingestion_assets.cli", "worker"], again={RECYCLE_STATUS})
        wait_for_http(f"{dagster_url}/server_info", supervisor, stop.is_set)
        wait_for_http(f"{api_url}/live", supervisor, stop.is_set)
        if not stop.is_set():
            stderr.print(
                f"Dagster: [bold]{dagster_url}[/bold]\n"
                f"API:     [bold]{api_url}[/bold]   its document: {api_url}/openapi.json\n"
                f"Page:    [bold]{api_url}/admin/ingestion[/bold]   a token for it: {users}\n"
                f"A worker takes asynchronous jobs.   logs: {supervisor.directory}   stop: Ctrl-C",
                soft_wrap=True,
            )
        checked = time.monotonic()
        while not stop.is_set():
            supervisor.check()
            if time.monotonic() - checked > _LOCK_CHECK_EVERY:
                if not lock.still_held():
                    databases.bring_back()
                checked = time.monotonic()
            time.sleep(_LOOK_EVERY)
    stderr.print("Stopped.")


class _StopSignal:
    """Set by the first Ctrl-C or SIGTERM; the second one is left to the operating system."""

    def __init__(self) -> None:
        self._set = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: object) -> None:
        self._set = True
        signal.signal(number, signal.SIG_DFL)

    def is_set(self) -> bool:
        return self._set


def _only_demo_data() -> bool:
    """The demonstration has been run, and there is neither a database, nor a setting of a source, of the user's own."""
    from ingestion_assets.cli.settings import variables
    from ingestion_assets.events.sources import SOURCE_NAMES, source_class

    settings = PlatformSettings()
    if settings.database_url is not None or not (settings.home / "demo").exists():
        return False
    sources = [source_class(name).settings_class for name in SOURCE_NAMES]
    if any(os.environ.get(variable.name) for source in sources for variable in variables(source)):
        return False
    if not (settings.home / "postgres").exists():
        return True
    # Every command makes a database: `ingest status`, called after the demonstration, does not end it.
    with platform(settings) as databases:
        [row] = databases.database.fetch_all(
            "SELECT EXISTS (SELECT FROM import_jobs WHERE status = 'SUCCESS') OR EXISTS (SELECT FROM users) AS used"
        )
    return not row["used"]


def _logs() -> Path:
    directory = PlatformSettings().home / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _workspace(code_port: int) -> Path:
    """A workspace that names the code server by its port, so that webserver and daemon load the code once."""
    path = PlatformSettings().home / "workspace.yaml"
    path.write_text(
        f"load_from:\n  - grpc_server:\n      host: 127.0.0.1\n      port: {code_port}\n      location_name: ingestion\n"
    )
    return path
