"""`ingest status`: what the ledger says, at a glance."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from resources.postgres.database import Database


def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show the last import of each source, what is running, and how many rows there are."""
    from resources.postgres.migrate import upgrade
    from resources.postgres.platform import open_databases
    from resources.postgres.urls import redacted, sqlalchemy_psycopg

    with open_databases() as databases:
        upgrade(sqlalchemy_psycopg(databases.url))
        report = {"database": redacted(databases.url), **_report(databases.database)}
    if as_json:
        typer.echo(json.dumps(report, default=str))
    else:
        _print(report)


def _report(database: Database) -> dict[str, Any]:
    imports = database.fetch_all(
        "SELECT DISTINCT ON (source) source, status, attempt, nb_fetched AS fetched, nb_created AS created,"
        " nb_updated AS updated, nb_skipped AS skipped, nb_errors AS errors, nb_withdrawn AS withdrawn, started_at,"
        " round(duration::numeric, 1)::float8 AS seconds, round(extract(epoch FROM now() - heartbeat_at))::int"
        " AS silent_seconds, error_text AS error, run_id FROM import_jobs ORDER BY source, id DESC"
    )
    [rows] = database.fetch_all(
        "SELECT (SELECT count(*) FROM raw_events) AS raw_events,"
        " (SELECT count(*) FROM raw_events WHERE withdrawn_at IS NOT NULL) AS withdrawn,"
        " (SELECT count(*) FROM rejected_records) AS rejected_records,"
        " (SELECT count(*) FROM deduplicated_events WHERE replaced_by IS NULL) AS deduplicated_events,"
        " (SELECT count(*) FROM tag_enrichments WHERE status = 'done') AS tagged,"
        " (SELECT count(*) FROM tag_enrichments WHERE status = 'pending') AS tags_pending,"
        " (SELECT count(*) FROM tag_enrichments WHERE status = 'error') AS tags_failed"
    )
    return {"imports": imports, "rows": rows, "sources": _sources()}


def _sources() -> dict[str, list[str]]:
    from ingestion_assets.events.sources import SOURCE_NAMES, source_class

    return {name: source_class(name).settings_class().missing() for name in SOURCE_NAMES}


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(title="Last import of each source and asset", title_justify="left")
    for column in ("name", "status", "fetched", "created", "updated", "skipped", "errors", "withdrawn", "started", "s"):
        table.add_column(column, justify="left" if column in {"name", "status", "started"} else "right")
    colours = {"SUCCESS": "green", "ERROR": "red", "RUNNING": "yellow"}
    for job in report["imports"]:
        counts = (str(job[name]) for name in ("fetched", "created", "updated", "skipped", "errors", "withdrawn"))
        state = f"[{colours[job['status']]}]{job['status']}[/]"
        if job["status"] == "RUNNING":
            state += f" (silent for {job['silent_seconds']} s)"
        table.add_row(job["source"], state, *counts, f"{job['started_at']:%Y-%m-%d %H:%M}", str(job["seconds"] or ""))
    console.print(table)
    for job in report["imports"]:
        if job["status"] == "ERROR" and job["error"]:
            console.print(f"[red]{job['source']}[/red]: {escape(job['error'])}", highlight=False)
    console.print("Rows: " + ", ".join(f"{name} {count}" for name, count in report["rows"].items()), highlight=False)
    off = {name: missing for name, missing in report["sources"].items() if missing}
    for name, missing in off.items():
        console.print(f"[dim]{name} is off: set {' and '.join(missing)}[/dim]", highlight=False)
    console.print(f"Database: {escape(report['database'])}", highlight=False)
