"""The `ingest` command: its verbs."""

from __future__ import annotations

import io
import signal
import sys

import typer

from ingestion_assets.cli import api, database, dedup, demo, dev, jobs, llm, run, settings, status, study, tag, users
from ingestion_assets.program import program

app = typer.Typer(
    name="ingest",
    help="Ingest events and study documents through Dagster assets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("dev")(dev.dev)
app.command("api")(api.api)
app.command("run")(run.run)
app.command("worker")(jobs.worker)
app.command("daemon")(jobs.daemon)
app.command("run-worker")(jobs.run_worker)
app.command("clean-stuck-imports")(jobs.clean_stuck_imports)
app.command("tag")(tag.tag)
app.command("study")(study.study)
app.command("status")(status.status)
app.command("settings")(settings.settings)
app.command("env")(database.env)
app.add_typer(dedup.app, name="dedup")
app.add_typer(users.app, name="users")
app.add_typer(llm.app, name="llm")
app.add_typer(database.app, name="db")


def main() -> None:
    """Run the command line. An error of the platform is one sentence and exit status 1, not a traceback."""
    with program("ingest"):
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Names of files need not be UTF-8; they are shown as they came.
            sys.stdout.reconfigure(errors="surrogateescape")
        # By default SIGTERM skips every clean-up: a ledger row would stay open and the embedded server up.
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        app()
