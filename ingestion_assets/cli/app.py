"""The `ingest` command: its verbs, and how an error ends it."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import typer

from ingestion_assets.cli import api, database, dedup, demo, dev, jobs, llm, run, settings, status, study, tag, users
from resources.errors import PermanentError, TransientError

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
    from dotenv import load_dotenv

    from resources.settings import PROJECT_ROOT

    load_dotenv(PROJECT_ROOT / ".env")
    # By default SIGTERM skips every clean-up: a ledger row would stay open and the embedded server up.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        app()
    except (PermanentError, TransientError) as error:
        _end(str(error))
    except Exception as error:
        sentence = _setup_problem(error)
        if sentence is None:
            raise
        _end(sentence)


def _end(sentence: str) -> NoReturn:
    from resources.redaction import redact

    typer.echo(f"ingest: {redact(sentence)}", err=True)
    sys.exit(1)


def _setup_problem(error: Exception) -> str | None:
    """What to change, when the error is one of a user's settings: of a value, or of the database that they lead to."""
    import psycopg
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        said = (
            f"{'.'.join(map(str, one['loc']))}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        )
        return f"a setting cannot be used. {'; '.join(said)}"
    cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
        first = str(cause).partition("\n")[0]
        return f"PostgreSQL does not answer ({first}). Is the server of DATABASE_URL up, and the URL right?"
    return None
