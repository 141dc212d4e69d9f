"""`ingest run`: materialize one asset through Dagster and say what it counted."""

from __future__ import annotations

import json
import time
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.console import complain, progress_on_stderr, remark
from ingestion_assets.cli.environment import platform

if TYPE_CHECKING:
    import dagster as dg

    from resources.postgres.database import Database


def run(
    source: Annotated[
        str | None, typer.Option(help="Source of raw events: ics, open_data_montreal, ticketmaster and so on.")
    ] = None,
    asset: Annotated[
        str | None, typer.Option(help="Asset instead of a source: deduplicated_events or tag_enrichments.")
    ] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; its whole week is taken.")
    ] = None,
    to: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day; its whole week is taken.")
    ] = None,
    *,
    accept_withdrawals: Annotated[
        bool, typer.Option(help="Withdraw what is gone from the feed, even over a fifth of it.")
    ] = False,
    downstream: Annotated[bool, typer.Option(help="Deduplicate and tag the same weeks afterwards.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Materialize one asset for the weeks of a range of days, with its checks. Without days: the coming weeks."""
    name = source or asset
    if name is None or (source and asset):
        raise typer.BadParameter("name one --source or one --asset")
    started = time.monotonic()
    with platform() as databases:
        import dagster as dg

        from ingestion_assets.definitions import defs
        from ingestion_assets.launch import check_weeks, materialize

        first, last = _weeks(from_, to)
        check_weeks(first, last)
        keys, run_config = _selection(source, asset, accept_withdrawals=accept_withdrawals, downstream=downstream)
        with dg.DagsterInstance.get() as instance, progress_on_stderr(name):
            outcome = materialize(
                defs,
                keys,
                first=first,
                last=last,
                instance=instance,
                run_config=run_config,
                job_name=f"import_{source}" if source and not downstream else None,
            )
        report = _report(databases.database, name, outcome.run_id, first, last)
        remarks = _remarks(databases.database, name, outcome.run_id)
    problems = (*outcome.problems, *outcome.failed_checks)
    # A check that blocks nothing leaves the run a success; who gates on this command is promised otherwise.
    succeeded = outcome.success and not problems and report["status"] == "SUCCESS"
    report["status"] = "SUCCESS" if succeeded else "ERROR"
    report["seconds"] = round(time.monotonic() - started, 2)
    for text in remarks:
        remark(text)
    for problem in problems:
        complain(problem)
    if problems:
        report["error"] = problems[0]
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _print(report)
    if report["status"] != "SUCCESS":
        raise typer.Exit(1)


def _weeks(from_: datetime | None, to: datetime | None) -> tuple[date, date]:
    from ingestion_assets.events.model import week_of
    from ingestion_assets.partitions import coming_weeks
    from ingestion_assets.settings import AssetSettings

    settings = AssetSettings()
    first, last = coming_weeks(settings.today(), settings.refresh_weeks)
    if from_ is not None:
        first = week_of(from_.date())
    if to is not None:
        last = week_of(to.date())
    elif from_ is not None:
        last = max(first, last)
    if last < first:
        earlier = f"--from {from_:%Y-%m-%d}" if from_ else "this week: name --from as well"
        raise typer.BadParameter(f"--to {to:%Y-%m-%d} lies before {earlier}")
    return first, last


def _selection(
    source: str | None, asset: str | None, *, accept_withdrawals: bool, downstream: bool
) -> tuple[list[dg.AssetKey], dict[str, Any]]:
    import dagster as dg

    from ingestion_assets.events.definitions import DOWNSTREAM
    from ingestion_assets.events.raw_events import raw_events_key
    from ingestion_assets.events.sources import SOURCE_NAMES

    if source is not None:
        if source not in SOURCE_NAMES:
            raise typer.BadParameter(f"no source is called {source!r}; there are: {', '.join(SOURCE_NAMES)}")
        config = {"ops": {f"raw_events__{source}": {"config": {"accept_withdrawals": accept_withdrawals}}}}
        return [raw_events_key(source), *(map(dg.AssetKey, DOWNSTREAM) if downstream else ())], config
    if asset not in DOWNSTREAM:
        raise typer.BadParameter(f"no asset is called {asset!r}; there are: {', '.join(DOWNSTREAM)}")
    return [dg.AssetKey(asset)], {}


def _report(database: Database, name: str, run_id: str, first: date, last: date) -> dict[str, Any]:
    rows = database.fetch_all(
        "SELECT status, nb_fetched AS fetched, nb_created AS created, nb_updated AS updated, nb_skipped AS skipped,"
        " nb_errors AS errors, nb_withdrawn AS withdrawn FROM import_jobs"
        " WHERE source = %(source)s AND run_id = %(run)s",
        {"source": name, "run": run_id},
    )
    none = dict.fromkeys(("fetched", "created", "updated", "skipped", "errors", "withdrawn"), 0)
    counts = rows[0] if rows else {"status": "ERROR", **none}
    weeks = (last - first).days // 7 + 1
    return {"source": name, **counts, "run_id": run_id, "partitions": weeks, "from": str(first), "to": str(last)}


def _remarks(database: Database, name: str, run_id: str) -> list[str]:
    """What the import warned of, and what it refused by reason. The run's page in Dagster says more."""
    which = {"source": name, "run": run_id}
    warnings = database.fetch_all(
        "SELECT w->>'code' AS code, w->>'detail' AS detail FROM import_jobs, jsonb_array_elements(warnings) AS w"
        " WHERE source = %(source)s AND run_id = %(run)s LIMIT 20",
        which,
    )
    refused = database.fetch_all(
        "SELECT r.reason, count(*) AS n, min(r.detail || coalesce(' (' || r.source_id || ')', '')) AS example"
        " FROM rejected_records r JOIN import_jobs j ON j.id = r.job_id"
        " WHERE j.source = %(source)s AND j.run_id = %(run)s GROUP BY r.reason ORDER BY n DESC, r.reason",
        which,
    )
    return [
        *(f"{warning['code']}: {warning['detail']}" for warning in warnings),
        *(f"refused: {each['n']} {each['reason']}, for example: {each['example']}" for each in refused),
    ]


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report['source']}: {report['status']}", title_justify="left")
    columns = ("fetched", "created", "updated", "skipped", "errors", "withdrawn")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row(*(str(report[column]) for column in columns))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"weeks of {report['from']} to {report['to']} ({report['partitions']}), {report['seconds']} s,"
        f" run {report['run_id']}"
    )
