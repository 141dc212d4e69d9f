"""`ingest worker`, `ingest clean-stuck-imports` and `ingest daemon`: what works off jobs and repairs what got stuck."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from ingestion_assets.cli.environment import platform

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LOCK_CHECK_SECONDS = 5.0


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `1h`, `2d` as a time span. Raises `typer.BadParameter` for anything else."""
    match = _DURATION.fullmatch(text.strip())
    with suppress(OverflowError):
        if match is not None:
            return timedelta(**{_UNITS[match[2]]: float(match[1])})
    raise typer.BadParameter(f"{text[:40]!r} is no duration; write it like 90s, 30m, 1h or 2d")


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=64, help="Jobs at once; INGESTION_JOB_CONCURRENCY otherwise.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind of job; may be repeated.")] = None,
    *,
    until_idle: Annotated[bool, typer.Option(help="End when the queue is empty.")] = False,
) -> None:
    """Work off asynchronous jobs until SIGTERM or Ctrl-C; jobs that are not done by then go back to the queue."""
    from ingestion_assets.job_kinds import job_kinds
    from ingestion_assets.ledger.job_settings import JobSettings
    from ingestion_assets.ledger.job_worker import Worker
    from ingestion_assets.logs import setup_logging

    setup_logging()
    settings = JobSettings()
    if concurrency is not None:
        settings = settings.model_copy(update={"concurrency": concurrency})
    kinds = job_kinds()
    if kind:
        kinds = kinds.only(kind)
    with platform() as databases:
        made = Worker(databases.database, kinds, settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: made.stop())
        logging.getLogger(__name__).info("worker of %s is ready", ", ".join(kinds) or "no kind of job")
        status = made.run(until_idle=until_idle)
        hung = made.hung_handlers
    if hung:
        # The interpreter would wait for nobody, but handlers that hang in C code could still keep it from ending.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status)


def clean_stuck_imports(
    older_than: Annotated[
        str,
        typer.Option(
            help="Close imports that committed nothing for this long. Those whose worker is dead or whose run is "
            "over are closed in any case."
        ),
    ] = "1h",
    *,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be closed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Close imports that stay RUNNING although nobody works on them: what the sensor does, by hand."""
    from ingestion_assets.ledger.import_repairs import repair_stuck_imports
    from ingestion_assets.ledger.stuck_imports import Limits

    limits = Limits(no_progress=duration(older_than))
    with platform() as databases:
        import dagster as dg

        with dg.DagsterInstance.get() as instance:
            found = repair_stuck_imports(
                databases.database, instance, watcher="clean-stuck-imports", limits=limits, dry_run=dry_run
            )
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "closed": [_as_json(item) for item in found]}))
        return
    for item in found:
        typer.echo(f"{'would close' if dry_run else 'closed'} {item}")
    if not found:
        typer.echo("No import is stuck.")


def _as_json(item: Any) -> dict[str, Any]:
    job = item.job
    return {"job_id": job.job_id, "source": job.source, "run_id": job.run_id, "reason": item.reason.value}


def daemon(
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", exists=True, help="Workspace file; workspace.yaml of the project otherwise."),
    ] = None,
) -> None:
    """Run Dagster's daemon, unless one works on this storage already: then say so and end with status 1."""
    from ingestion_assets.cli.console import stderr
    from ingestion_assets.cli.supervisor import Supervisor
    from ingestion_assets.ledger.daemon_lock import DaemonLock
    from resources.settings import PROJECT_ROOT, PlatformSettings

    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda signum, _: stopped.append(signum))
    logs = PlatformSettings().home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with platform() as databases, DaemonLock(databases.dagster_url) as lock, Supervisor(logs) as supervisor:
        workspace = workspace or PROJECT_ROOT / "workspace.yaml"
        supervisor.start("daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)])
        stderr.print(f"Dagster's daemon is up   log: {logs / 'daemon.log'}   stop: Ctrl-C", highlight=False)
        next_check = time.monotonic() + _LOCK_CHECK_SECONDS
        while not stopped:
            supervisor.check()
            if time.monotonic() >= next_check:
                if not lock.still_held():
                    databases.bring_back()
                next_check = time.monotonic() + _LOCK_CHECK_SECONDS
            time.sleep(0.25)


def run_worker(
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Only this queue; may be repeated. All of them otherwise.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Runs at once, each in a process of its own.")] = 2,
) -> None:
    """Execute Dagster's runs on this machine, where they are distributed by Celery (docs/deployment.md)."""
    try:
        from ingestion_assets.celery.app import build_app
    except ModuleNotFoundError:
        raise typer.BadParameter(
            "runs on Celery need the extra: .venv/bin/pip install --editable '.[celery]'"
        ) from None
    from ingestion_assets.celery.queues import all_queues
    from ingestion_assets.celery.settings import CelerySettings

    known = all_queues()
    if unknown := sorted(set(queue or ()) - set(known)):
        raise typer.BadParameter(f"there is no queue {', '.join(unknown)}. The queues are {', '.join(known)}.")
    app = build_app(CelerySettings())
    with platform():
        app.worker_main(
            [
                # One comma-separated value: of repeated `-Q` options Celery takes the last.
                *("worker", "-Q", ",".join(queue or known), "--concurrency", str(concurrency)),
                *("-n", f"runs-{os.getpid()}@%h", "--without-gossip", "--without-mingle"),
            ]
        )
