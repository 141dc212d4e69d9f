"""`ingest db …` and `ingest env`: the databases, and how other tools find them."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

app = typer.Typer(help="The platform's database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """Bring the database to the newest schema. Safe to repeat, and to run from several places at once."""
    from resources.postgres.migrate import upgrade as migrate
    from resources.postgres.platform import open_databases
    from resources.postgres.urls import redacted, sqlalchemy_psycopg

    with open_databases() as databases:
        before, after = migrate(sqlalchemy_psycopg(databases.url))
        where = redacted(databases.url)
    if before == after:
        typer.echo(f"{where} is at revision {after}, the newest one.")
    else:
        typer.echo(f"{where} was upgraded from {before or 'nothing'} to revision {after}.")


@app.command("url")
def url(*, dagster: Annotated[bool, typer.Option(help="The database of Dagster's own storage.")] = False) -> None:
    """Print the database's URL, for psql and the like. With the embedded server, `ingest dev` has to be up."""
    from resources.postgres.platform import open_databases

    with open_databases() as databases:
        typer.echo(databases.dagster_url if dagster else databases.url)


def env() -> None:
    """Print the environment for Dagster's own commands: `eval "$(ingest env)"`, then `dg check defs` and so on.

    With the embedded server, keep `ingest dev` up beside them.
    """
    from ingestion_assets.cli.environment import dagster_environment
    from resources.postgres.platform import open_databases
    from resources.settings import PlatformSettings

    settings = PlatformSettings()
    with open_databases(settings) as databases:
        for name, value in dagster_environment(settings, databases).items():
            typer.echo(f"export {name}={shlex.quote(value)}")
