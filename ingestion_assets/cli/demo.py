"""`ingest demo`: the whole way of events, from the sample feeds to tags, in a database of its own."""

from __future__ import annotations

import json
import os
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.console import complain, progress_on_stderr
from ingestion_assets.cli.environment import platform
from resources.settings import PROJECT_ROOT, PlatformSettings

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from resources.postgres.database import Database

FIRST_DAY = date(2026, 11, 16)
LAST_DAY = date(2027, 2, 28)
"""The weeks that the sample feeds cover."""
STEPS = ("ics", "open_data_montreal", "deduplicated_events", "tag_enrichments")


def demo_home() -> Path:
    """Where the demonstration keeps its database, apart from the user's own."""
    return PlatformSettings().home / "demo"


def demo_environment() -> dict[str, str]:
    """The settings of the demonstration: sample feeds, rules instead of a provider, a database of its own.

    What the user has set for the same things counts as unset: weeks that begin too late for the samples, a port that the
    user's own server listens on, an inbox whose folders are meant for the user's own database.
    """
    from ingestion_assets.cli.settings import variables
    from ingestion_assets.events.sources import SOURCE_NAMES, source_class
    from ingestion_assets.settings import AssetSettings, TaggingSettings
    from ingestion_assets.study.settings import StudySettings

    samples = PROJECT_ROOT / "samples"
    feeds = [f"{path.stem}={path}" for path in sorted(samples.glob("*.ics"))]
    kinds: list[type[BaseSettings]] = [PlatformSettings, AssetSettings, TaggingSettings, StudySettings]
    kinds += [source_class(name).settings_class for name in SOURCE_NAMES]
    return {
        **{variable.name: "" for kind in kinds for variable in variables(kind)},
        "INGESTION_HOME": str(demo_home()),
        "ICS_FEEDS": "\n".join(feeds),
        "OPEN_DATA_MONTREAL_CSV": str(samples / "evenements.csv"),
        "LLM_PROVIDERS": "offline",
    }


def demo(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print the counts as one JSON object.")] = False
) -> None:
    """Import the sample feeds, deduplicate and tag them, and print what each step counted."""
    started = time.monotonic()
    os.environ.update(demo_environment())
    with platform() as databases:
        import dagster as dg

        from ingestion_assets.definitions import defs
        from ingestion_assets.events.model import week_of
        from ingestion_assets.events.raw_events import raw_events_key
        from ingestion_assets.launch import materialize

        keys = [*(raw_events_key(source) for source in STEPS[:2]), *(dg.AssetKey(name) for name in STEPS[2:])]
        with dg.DagsterInstance.get() as instance, progress_on_stderr("demo"):
            outcome = materialize(defs, keys, first=week_of(FIRST_DAY), last=week_of(LAST_DAY), instance=instance)
        report = _report(databases.database, outcome.run_id)
    report |= {
        "status": "SUCCESS" if outcome.success else "ERROR",
        "run_id": outcome.run_id,
        "seconds": round(time.monotonic() - started, 2),
    }
    for problem in (*outcome.problems, *outcome.failed_checks):
        complain(problem)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _print(report)
    if not outcome.success:
        raise typer.Exit(1)


def _report(database: Database, run_id: str) -> dict[str, Any]:
    rows = database.fetch_all(
        "SELECT source, status, nb_fetched AS fetched, nb_created AS created, nb_updated AS updated,"
        " nb_skipped AS skipped, nb_errors AS errors, nb_withdrawn AS withdrawn FROM import_jobs WHERE run_id = %(run)s",
        {"run": run_id},
    )
    by_name = {row.pop("source"): row for row in rows}
    [shared] = database.fetch_all(
        "SELECT count(*) AS n FROM deduplicated_events WHERE nb_sources > 1 AND replaced_by IS NULL"
    )
    reasons = database.fetch_all(
        "SELECT r.source, r.reason, count(*) AS n FROM rejected_records r JOIN import_jobs j ON j.id = r.job_id"
        " WHERE j.run_id = %(run)s GROUP BY 1, 2 ORDER BY 1, 2",
        {"run": run_id},
    )
    return {
        "steps": {name: by_name[name] for name in STEPS if name in by_name},
        "events_in_several_sources": shared["n"],
        "rejected": {f"{row['source']}:{row['reason']}": row["n"] for row in reasons},
    }


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table(title="What each step counted", title_justify="left")
    table.add_column("step")
    columns = ("fetched", "created", "updated", "skipped", "errors")
    for column in columns:
        table.add_column(column, justify="right")
    for name, counts in report["steps"].items():
        table.add_row(name, *(str(counts[column]) for column in columns))
    console.print(table)
    console.print(f"{report['events_in_several_sources']} events are listed by more than one source.")
    if report["rejected"]:
        rejected = ", ".join(f"{count} {name}" for name, count in report["rejected"].items())
        console.print(f"Rejected, and kept with their reason: {rejected}.")
    console.print(
        f"\n{report['seconds']} s. Look at it with [bold]make dev[/bold], which opens Dagster on http://127.0.0.1:3000.\n"
        "Run it again: nothing is created or updated the second time."
    )
