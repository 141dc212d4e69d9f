"""Users, as far as jobs and collections need them: that they exist. Tokens and roles belong to the HTTP service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection


def ensure_user(connection: Connection[Any], user_id: str, *, name: str = "") -> bool:
    """Make sure that a user exists. True when it was created now. An existing name is kept."""
    return (
        connection.execute(
            "INSERT INTO users (id, name) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING", (user_id, name)
        ).rowcount
        == 1
    )


def is_active(connection: Connection[Any], user_id: str) -> bool:
    """Whether the user exists and is not disabled."""
    return (
        connection.execute("SELECT 1 FROM users WHERE id = %s AND disabled_at IS NULL", (user_id,)).fetchone()
        is not None
    )


def delete_user(connection: Connection[Any], user_id: str) -> bool:
    """Delete a user with all jobs, results and collections that are theirs. What they spent stays in the books.

    A job of theirs that runs is refused at its next write. False when there is no such user.
    """
    return connection.execute("DELETE FROM users WHERE id = %s", (user_id,)).rowcount == 1
