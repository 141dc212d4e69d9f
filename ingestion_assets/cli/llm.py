"""`ingest llm`: at what pace providers are called, who is blocked until when, and an end to a block."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from resources.llm.status import PaceLine

app = typer.Typer(help="Providers of language models: their pace and their blocks.", no_args_is_help=True)


@app.command()
def pace(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show every account and model that was called: its pace, and until when it is blocked."""
    from ingestion_assets.cli.environment import platform
    from resources.llm.status import pace_lines

    with platform() as databases, databases.database.transaction(role="llm") as connection:
        lines = pace_lines(connection)
    if as_json:
        typer.echo(json.dumps({"pace": [asdict(line) for line in lines]}, default=str))
    elif lines:
        _show(lines)
    else:
        typer.echo("No provider was called yet.")


def _show(lines: list[PaceLine]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_edge=False)
    table.add_column("provider", no_wrap=True)
    table.add_column("model", overflow="fold")
    for name in ("requests/min", "tokens/min", "refusals"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("blocked until", no_wrap=True)
    for line in lines:
        table.add_row(
            line.provider,
            line.model,
            _rate(line.requests_per_minute),
            _rate(line.tokens_per_minute),
            str(line.refusals),
            f"{line.blocked_until.astimezone():%m-%d %H:%M %Z}" if line.blocked_until else "–",
        )
    console = Console()
    console.print(table)
    for line in lines:
        if line.blocked_reason is not None:
            scope = f" ({line.blocked_scope})" if line.blocked_scope else ""
            # The reason is a provider's text: not to be read as markup.
            console.print(f"{line.provider} {line.model}{scope}: {line.blocked_reason}", markup=False, highlight=False)


def _rate(per_minute: float | None) -> str:
    return "unlimited" if per_minute is None else f"{per_minute:,.0f}"


@app.command()
def unblock(provider: Annotated[str, typer.Argument(help="openai or gemini.")]) -> None:
    """End a provider's block before its time: somebody has paid, or changed the plan. What waits for it is due at once."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.events import tag_store
    from ingestion_assets.study import collection_store
    from resources.llm import status
    from resources.llm.settings import PROVIDERS

    callable_ones = [name for name in PROVIDERS if name != "offline"]
    if provider not in callable_ones:
        raise typer.BadParameter(
            f"{provider!r} is no provider that can be blocked; there are {', '.join(callable_ones)}"
        )
    with platform() as databases, databases.database.transaction(role="llm") as connection:
        accounts = status.unblock(connection, provider=provider)
        events, collections = tag_store.make_due(connection), collection_store.make_due(connection)
    typer.echo(
        f"{provider}: blocks ended: {accounts}; due at once: events that wait for tags: {events}, study collections:"
        f" {collections}"
    )
