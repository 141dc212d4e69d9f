"""`ingest dedup`: deduplicate a file of one's own; ask why two records are, or are not, one event; decide about them."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion_assets.cli.files import check_output, replaced
from resources.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from ingestion_assets.events.deduplication.explain import Contribution, Explanation
    from ingestion_assets.events.deduplication.records import Key
    from resources.postgres.database import Database

app = typer.Typer(
    help="Deduplicate the records of a file, without a database; `explain`, `merge` and `split` look at the platform's.",
    invoke_without_command=True,
)

_Record = Annotated[str, typer.Argument(metavar="SOURCE:ID")]
_Who = Annotated[str, typer.Option(help="Who decides.")]
_Why = Annotated[str, typer.Option(help="Why, for those who come later.")]


@app.callback()
def dedup(
    context: typer.Context,
    input_: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="records.jsonl, .csv or .parquet with source, source_id, title, start_at; better with lang, end_at,"
            " timezone, venue_name, address, city, lat, lon, url, status.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="clusters.csv: source, source_id, cluster_id, score.")] = None,
    state: Annotated[Path | None, typer.Option(help="Keeps ids (and word statistics) between calls.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times that name none.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")] = False,
) -> None:
    """Cluster the records of a file: one cluster_id for all records of one real event."""
    if context.invoked_subcommand is not None:
        return
    if input_ is None or output is None:
        raise typer.BadParameter("name --input and --output")
    from ingestion_assets.cli.console import stderr
    from ingestion_assets.events.deduplication.files import deduplicate_file
    from ingestion_assets.events.deduplication.reading import UnreadableFileError
    from ingestion_assets.events.sources.zones import canonical_zone

    zone = canonical_zone(timezone) if timezone else None
    if timezone and zone is None:
        raise typer.BadParameter(f"--timezone {timezone!r} is no IANA time zone, such as America/Toronto")
    if state is not None:
        check_output(state, inputs=(input_, output))
    new_state = state if state is not None and not state.exists() else None
    started = time.monotonic()
    with replaced(output, inputs=(input_,)) as partial:
        try:
            with stderr.status("deduplicating …") if stderr.is_terminal else _nothing():
                report = deduplicate_file(input_, partial, state=state, default_zone=zone)
        except UnreadableFileError as error:
            raise PermanentError(str(error)) from error
        for problem in report["problems"]:
            where = f"row {problem['row']}" + (f", {problem['column']}" if problem["column"] else "")
            stderr.print(f"{where}: {problem['message']}", markup=False, highlight=False, soft_wrap=True)
        if not report["records"]:
            if new_state is not None:
                new_state.unlink()  # later calls would work with statistics of nothing
            raise PermanentError(f"{input_} holds no record that can be used: nothing is written")
    report["seconds"] = round(time.monotonic() - started, 2)
    if as_json:
        typer.echo(json.dumps(report, default=str))
        return
    typer.echo(
        f"{report['records']} records, {report['clusters']} events ({report['seconds']} s). created {report['created']},"
        f" updated {report['updated']}, skipped {report['skipped']}, errors {report['errors']}. Written to {output}."
    )


@app.command("explain")
def explain(
    a: _Record,
    b: _Record,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say why two records of the platform are one event, or are not: the features and what each weighs."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.events import corpus_statistics
    from ingestion_assets.events.deduplication.explain import explain as explain_pair
    from ingestion_assets.events.deduplication_store import read_overrides, read_records

    keys = [_key(a), _key(b)]
    with platform(migrate=False) as databases, databases.database.transaction(role="explain") as connection:
        records = {
            record.key: record
            for week in {_week(databases.database, key) + timedelta(days=offset) for key in keys for offset in (-7, 0)}
            for record in read_records(connection, week)
        }
        overrides = read_overrides(connection)
        statistics = corpus_statistics.adopted(connection)
    explanation = explain_pair(keys[0], keys[1], list(records.values()), overrides=overrides, statistics=statistics)
    if as_json:
        typer.echo(json.dumps(_as_dict(explanation)))
    else:
        _print(explanation, [records[key].title for key in keys])


@app.command("merge")
def merge(a: _Record, b: _Record, who: _Who, why: _Why) -> None:
    """Decide that two records are one event. Holds for every later resolution."""
    _decide(a, b, "merge", who, why)


@app.command("split")
def split(a: _Record, b: _Record, who: _Who, why: _Why) -> None:
    """Decide that two records are not one event, whatever lies between them."""
    _decide(a, b, "split", who, why)


@app.command("learn")
def learn(
    adopt_: Annotated[bool, typer.Option("--adopt", help="Use it from now on; needs --who.")] = False,
    who: Annotated[str | None, typer.Option(help="Who adopts it.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Learn from the stored records how common words are, which venue names are one place, whose clocks are shifted."""
    from ingestion_assets.cli.console import stderr
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.events import corpus_statistics

    if adopt_ and not who:
        raise typer.BadParameter("--adopt needs --who")
    with platform() as databases, databases.database.transaction(role="learn") as connection:
        with stderr.status("learning …") if stderr.is_terminal else _nothing():
            statistics, records = corpus_statistics.learn(connection)
        known = corpus_statistics.adopted(connection)
        new = corpus_statistics.keep(connection, statistics, records=records)
        dirty = corpus_statistics.adopt(connection, statistics.version, who=who) if adopt_ and who else None
        changes = corpus_statistics.differences(known, statistics)
    if as_json:
        typer.echo(
            json.dumps({"version": statistics.version, "records": records, "new": new, "adopted": adopt_, **changes})
        )
        return
    _print_changes(f"{statistics.version}, learned from {records} records, against {known.version} in use", changes)
    typer.echo(
        _to_resolve(dirty) if dirty is not None else f"In use from: ingest dedup adopt {statistics.version} --who NAME"
    )


@app.command("adopt")
def adopt(
    version: Annotated[str, typer.Argument(help="A version that `ingest dedup statistics` lists, or `shipped`.")],
    who: Annotated[str, typer.Option(help="Who decides.")],
) -> None:
    """Resolve every week from this snapshot of corpus statistics from now on."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.events import corpus_statistics

    with platform() as databases, databases.database.transaction(role="learn") as connection:
        dirty = corpus_statistics.adopt(connection, version, who=who)
    typer.echo(_to_resolve(dirty))


@app.command("statistics")
def list_statistics(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the kept snapshots of corpus statistics, and which one is in use."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from ingestion_assets.cli.environment import platform
    from ingestion_assets.events import corpus_statistics

    with platform() as databases, databases.database.transaction(role="learn") as connection:
        snapshots = corpus_statistics.snapshots(connection)
    if as_json:
        typer.echo(json.dumps({"snapshots": [asdict(snapshot) for snapshot in snapshots]}, default=str))
        return
    table = Table("version", "records", "learned", "in use since", "adopted by")
    in_use = any(snapshot.adopted_at for snapshot in snapshots)
    table.add_row(corpus_statistics.SHIPPED, "", "", "" if in_use else "always", "")
    for snapshot in snapshots:
        table.add_row(
            snapshot.version,
            str(snapshot.records),
            f"{snapshot.learned_at:%Y-%m-%d %H:%M}",
            f"{snapshot.adopted_at:%Y-%m-%d %H:%M}" if snapshot.adopted_at else "",
            snapshot.adopted_by or "",
        )
    Console().print(table)


def _to_resolve(dirty: Sequence[date]) -> str:
    if not dirty:
        return "In use. No week has to be resolved anew."
    return (
        f"In use. {len(dirty)} weeks are resolved anew by the nightly sweep; at once: ingest run --asset"
        f" deduplicated_events --from {dirty[0]} --to {dirty[-1]}"
    )


def _print_changes(title: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "added", "gone", "changed", "for example", title=title, title_justify="left")
    for what, change in changes.items():
        counts = (str(change[name]) for name in ("added", "gone", "changed"))
        table.add_row(what.replace("_", " "), *counts, Text(", ".join(change["examples"])))
    Console().print(table)


def _decide(a: str, b: str, decision: str, who: str, why: str) -> None:
    from ingestion_assets.cli.environment import platform

    first, second = sorted((_key(a), _key(b)))
    if first == second:
        raise PermanentError("a record cannot be merged with, or split from, itself")
    with platform() as databases:
        weeks = sorted({_week(databases.database, key) for key in (first, second)})
        with databases.database.transaction(role="override") as connection:
            connection.execute(
                "INSERT INTO match_overrides AS o (a_source, a_id, b_source, b_id, decision, decided_by, why)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (a_source, a_id, b_source, b_id) DO UPDATE SET"
                " decision = EXCLUDED.decision, decided_by = EXCLUDED.decided_by, why = EXCLUDED.why, decided_at = now()",
                (*first, *second, decision, who, why),
            )
    typer.echo(
        f"Noted: {decision}. It takes effect with the next deduplication; at once: "
        f"ingest run --asset deduplicated_events --from {weeks[0]} --to {weeks[-1]}"
    )


def _key(text: str) -> Key:
    from ingestion_assets.events.deduplication.records import Key

    source, colon, source_id = text.partition(":")
    if not (source and colon and source_id):
        raise typer.BadParameter(f"{text!r} is not SOURCE:ID, such as open_data_montreal:87905")
    return Key(source, source_id)


def _week(database: Database, key: Key) -> Any:
    rows = database.fetch_all(
        "SELECT week FROM raw_events WHERE source = %(source)s AND source_id = %(id)s",
        {"source": key.source, "id": key.source_id},
    )
    if not rows:
        raise PermanentError(f"there is no record {':'.join(key)}")
    if rows[0]["week"] is None:
        raise PermanentError(f"{':'.join(key)} has no date yet, and stays outside deduplication until it has one")
    return rows[0]["week"]


def _as_dict(explanation: Explanation) -> dict[str, Any]:
    return {
        "a": ":".join(explanation.a),
        "b": ":".join(explanation.b),
        "same_event": explanation.same_cluster,
        "score": explanation.score,
        "compared": explanation.compared,
        "refusal": explanation.refusal,
        "first": _side(explanation.first_bias, explanation.first),
        "second": _side(explanation.second_bias, explanation.second),
        "model_version": explanation.model_version,
    }


def _side(bias: float, contributions: Sequence[Contribution]) -> dict[str, Any]:
    weights = [{"feature": c.feature, "level": c.level, "weight": c.weight} for c in contributions]
    return {"bias": bias, "contributions": weights}


def _print(explanation: Explanation, titles: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for key, title in zip((explanation.a, explanation.b), titles, strict=True):
        console.print(Text(f"{':'.join(key)}  {title}"))
    verdict = "one event" if explanation.same_cluster else "two events"
    reason = f" ({explanation.refusal})" if explanation.refusal else ""
    console.print(f"[bold]{verdict}[/bold]{reason}, score of the pair {explanation.score:.3f}", highlight=False)
    if not explanation.compared:
        console.print("Blocking did not bring the two together; the score was computed for this answer.")
    for title, bias, contributions in (
        ("What the two records say by themselves", explanation.first_bias, explanation.first),
        ("What becomes of it among the records around", explanation.second_bias, explanation.second),
    ):
        table = Table(title=title, title_justify="left")
        for column in ("feature", "level", "weight"):
            table.add_column(column, justify="right" if column == "weight" else "left")
        table.add_row("(bias)", "", f"{bias:+.2f}")
        for contribution in contributions:
            table.add_row(contribution.feature, contribution.level, f"{contribution.weight:+.2f}")
        console.print(table)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
