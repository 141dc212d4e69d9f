"""`ingest users`: who may call the HTTP service, and how much."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

import typer

from resources.errors import PermanentError

app = typer.Typer(help="Users and tokens of the HTTP service.", no_args_is_help=True)


@app.command()
def add(
    user_id: Annotated[str, typer.Argument(help="Id of the user; one that exists gets another token.")],
    *,
    admin: Annotated[bool, typer.Option("--admin", help="The token may use the administration.")] = False,
    label: Annotated[str, typer.Option(help="What will use the token.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days until it expires; otherwise it does not.")
    ] = None,
) -> None:
    """Make a user and a token. The token is printed once and cannot be read back."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.ledger.tokens import Role, issue
    from ingestion_assets.ledger.users import ensure_user

    if not user_id.isprintable() or not 1 <= len(user_id) <= 100:
        raise typer.BadParameter("a user id is 1 to 100 printable characters")
    with platform() as databases, databases.database.transaction(role="users") as connection:
        ensure_user(connection, user_id)
        token = issue(
            connection,
            user_id,
            role=Role.ADMIN if admin else Role.USER,
            label=label,
            lifetime=timedelta(days=days) if days else None,
        )
    typer.echo(token)


@app.command("list")
def list_(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List tokens, newest first; of each the part that opens nothing."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.ledger.tokens import tokens

    with platform() as databases, databases.database.transaction(role="users") as connection:
        found = tokens(connection)
    rows = [
        {
            "user": token.user_id,
            "token": f"ing_{token.prefix}_…",
            "role": token.role.value,
            "label": token.label,
            "created_at": token.created_at.isoformat(timespec="seconds"),
            "expires_at": token.expires_at.isoformat(timespec="seconds") if token.expires_at else None,
            "revoked_at": token.revoked_at.isoformat(timespec="seconds") if token.revoked_at else None,
        }
        for token in found
    ]
    if as_json:
        typer.echo(json.dumps({"tokens": rows}, ensure_ascii=False))
        return
    for row in rows:
        state = "revoked" if row["revoked_at"] else f"until {row['expires_at']}" if row["expires_at"] else "valid"
        typer.echo(f"{row['user']}  {row['token']}  {row['role']}  {state}  {row['label']}")
    if not rows:
        typer.echo("There is no token yet: `ingest users add NAME` makes one.")


@app.command()
def revoke(token: Annotated[str, typer.Argument(help="The token, or its part that `list` shows.")]) -> None:
    """End a token and the sessions that it opened, at once."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.ledger import tokens

    with platform() as databases, databases.database.transaction(role="users") as connection:
        if not tokens.revoke(connection, token.removesuffix("_…")):
            raise PermanentError("there is no such token that is valid; `ingest users list` shows them")
    typer.echo("revoked")


@app.command()
def delete(
    user_id: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a user with tokens, documents, collections and jobs. What they spent on models stays in the books."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.ledger.users import delete_user

    if not yes:
        typer.confirm(f"Delete {user_id} and all that is theirs? There is no way back", abort=True, err=True)
    with platform() as databases, databases.database.transaction(role="users") as connection:
        if not delete_user(connection, user_id):
            raise PermanentError(f"there is no user {user_id!r}; `ingest users list` shows those who have a token")
    typer.echo(f"deleted {user_id}")


@app.command()
def limit(
    user_id: Annotated[str, typer.Argument(help="Id of the user.")],
    quota: Annotated[str, typer.Argument(help="documents_per_day or ai_requests_per_day.")],
    allowed: Annotated[
        int | None, typer.Argument(min=0, max=1_000_000_000, help="Left out: the limit of the settings again.")
    ] = None,
) -> None:
    """Give a user a limit of their own."""
    from ingestion_assets.cli.environment import platform
    from ingestion_assets.ledger.quotas import Quota, set_limit
    from ingestion_assets.ledger.users import is_active

    if quota not in list(Quota):
        raise typer.BadParameter(f"a quota is one of: {', '.join(Quota)}")
    with platform() as databases, databases.database.transaction(role="users") as connection:
        if not is_active(connection, user_id):
            raise PermanentError(f"there is no active user {user_id!r}")
        set_limit(connection, user_id=user_id, quota=Quota(quota), allowed=allowed)
    typer.echo(f"{user_id}: {quota} {'as the settings say' if allowed is None else allowed}")
