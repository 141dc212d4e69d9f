"""`ingest status`: what the ledger says, at a glance."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.ledger.health import DAEMON_SILENCE

if TYPE_CHECKING:
    from resources.postgres.database import Database


def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show the last import of each source, what is running or stuck, what was spent, and how many rows there are."""
    from ingestion_assets.cli.environment import platform
    from resources.postgres.urls import redacted

    with platform(migrate=False) as databases:
        report = {
            "database": redacted(databases.url),
            **_report(databases.database),
            "health": _health(databases.database),
            "llm_today": _spend(databases.database),
        }
    if as_json:
        typer.echo(json.dumps(report, default=str))
    else:
        _print(report)


def _report(database: Database) -> dict[str, Any]:
    imports = database.fetch_all(
        "SELECT split_part(source, ':', 1) AS source, status, attempt,"  # study: documents:<collection>
        " nb_fetched AS fetched, nb_created AS created,"
        " nb_updated AS updated, nb_skipped AS skipped, nb_errors AS errors, nb_withdrawn AS withdrawn, started_at,"
        " round(extract(epoch FROM now() - started_at))::int AS age_seconds,"
        " round(duration::numeric, 1)::float8 AS seconds, round(extract(epoch FROM now() - heartbeat_at))::int"
        " AS silent_seconds, error_text AS error, run_id FROM import_jobs"
        " WHERE id IN (SELECT max(id) FROM import_jobs GROUP BY split_part(source, ':', 1)) ORDER BY 1"
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


def _health(database: Database) -> dict[str, Any]:
    import dagster as dg

    from ingestion_assets.ledger.health import read_health

    with dg.DagsterInstance.get() as instance:
        health = asdict(read_health(database, instance))
    return {**health, "status": health["status"].value}


def _spend(database: Database) -> list[dict[str, Any]]:
    from resources.llm.ledger import usage_of_day

    with database.transaction(role="status") as connection:
        lines = usage_of_day(connection)
    return [
        {
            "provider": line.provider,
            "model": line.model,
            "purpose": line.purpose,
            "requests": line.usage.requests,
            "rate_limited": line.usage.rate_limited,
            "tokens_in": line.usage.input_tokens,
            "tokens_out": line.usage.output_tokens,
            "waited_seconds": round(line.usage.waited_seconds, 1),
            "cost_usd": float(line.cost_usd),
        }
        for line in lines
    ]


def _sources() -> dict[str, list[str]]:
    from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings

    return {name: missing_settings(name) for name in SOURCE_NAMES}


def _problems(health: dict[str, Any]) -> list[str]:
    """What is wrong, with one line instead of many where no daemon is up at all."""
    silent = [
        daemon["name"] for daemon in health["daemons"] if (daemon["silent_seconds"] or DAEMON_SILENCE) >= DAEMON_SILENCE
    ]
    if len(silent) < len(health["daemons"]):
        return list(health["problems"])
    rest = [problem for problem in health["problems"] if not problem.startswith(("daemon ", "sensor ", "no daemon "))]
    return ["no daemon is up, so nothing is scheduled or repaired: start `ingest dev` or `ingest daemon`", *rest]


def _ago(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _print(report: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)  # a line stays a line: logs are searched by them
    # As narrow as can be: in 80 columns, those of a pipe as well, wider names of columns would be cut.
    table = Table(
        title="Last import of each source and asset", title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=0
    )
    counted = ("fetched", "created", "updated", "skipped", "errors", "withdrawn")
    table.add_column("name", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for column in (*counted, "ago"):
        table.add_column(column, justify="right")
    colours = {"SUCCESS": "green", "ERROR": "red", "RUNNING": "yellow"}
    for job in report["imports"]:
        state = f"[{colours[job['status']]}]{job['status']}[/]"
        table.add_row(job["source"], state, *(str(job[name]) for name in counted), _ago(job["age_seconds"]))
    console.print(table)
    for job in report["imports"]:
        if job["status"] == "ERROR" and job["error"]:
            console.print(f"[red]{job['source']}[/red]: {escape(job['error'])}")
        elif job["status"] == "RUNNING":
            console.print(f"[yellow]{job['source']}[/yellow]: silent for {job['silent_seconds']} s")
    console.print("Rows: " + ", ".join(f"{name} {count}" for name, count in report["rows"].items()))
    for line in report["llm_today"]:
        console.print(
            f"LLM today: {line['purpose']} by {line['provider']}/{line['model']}: {line['requests']} requests,"
            f" {line['tokens_in']} + {line['tokens_out']} tokens, {line['cost_usd']:.4f} USD"
        )
    for problem in _problems(report["health"]):
        console.print(f"[yellow]![/yellow] {escape(problem)}")
    off = {name: missing for name, missing in report["sources"].items() if missing}
    for name, missing in off.items():
        console.print(f"[dim]{name} is off: set {escape(' and '.join(missing))}[/dim]")
    console.print(f"Database: {escape(report['database'])}")
