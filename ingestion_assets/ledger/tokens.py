"""Bearer tokens of the HTTP service: `ing_<prefix>_<secret>`.

The prefix finds the row and opens nothing; of the secret only its SHA-256 is kept. A slow hash would protect a password
that a person made up; 256 random bits need none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from resources.errors import PermanentError

if TYPE_CHECKING:
    from psycopg import Connection

_TOKEN = re.compile(r"ing_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NOBODY = hashlib.sha256(b"nobody").digest()


class Role(StrEnum):
    """What a token may do."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling."""

    user_id: str
    role: Role
    prefix: str
    """Of the token: tells which of a user's tokens it was."""

    @property
    def is_admin(self) -> bool:
        """Whether the administration is open to them."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """What may be shown of a token."""

    prefix: str
    user_id: str
    role: Role
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def issue(
    connection: Connection[Any],
    user_id: str,
    *,
    role: Role = Role.USER,
    label: str = "",
    lifetime: timedelta | None = None,
) -> str:
    """A new token of an existing user. It cannot be read back: show it once.

    Raises `PermanentError` when there is no such user, or they are disabled.
    """
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    made = connection.execute(
        "INSERT INTO api_tokens (prefix, user_id, secret_hash, role, label, expires_at)"
        " SELECT %s, id, %s, %s, %s, now() + %s FROM users WHERE id = %s AND disabled_at IS NULL",
        (prefix, hashlib.sha256(secret.encode()).digest(), role.value, label, lifetime, user_id),
    )
    if made.rowcount == 0:
        raise PermanentError(f"there is no active user {user_id!r}; `ingest users add {user_id}` makes one")
    return f"ing_{prefix}_{secret}"


def authenticate(connection: Connection[Any], token: str) -> Principal | None:
    """Whose token it is; None when it is unknown, expired or revoked, or its user disabled."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    row = connection.execute(
        "SELECT t.secret_hash, t.user_id, t.role FROM api_tokens t JOIN users u ON u.id = t.user_id"
        " WHERE t.prefix = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())"
        " AND u.disabled_at IS NULL",
        (match[1],),
    ).fetchone()
    given = hashlib.sha256(match[2].encode()).digest()
    # The comparison takes as long when there is no such prefix.
    if not hmac.compare_digest(given, bytes(row[0]) if row else _NOBODY) or row is None:
        return None
    return Principal(user_id=row[1], role=Role(row[2]), prefix=match[1])


def is_valid(connection: Connection[Any], principal: Principal) -> bool:
    """Whether the token that said who is calling still does: for what goes on long after it was looked at."""
    row = connection.execute(
        "SELECT FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.prefix = %s AND t.revoked_at IS NULL"
        " AND (t.expires_at IS NULL OR t.expires_at > now()) AND u.disabled_at IS NULL",
        (principal.prefix,),
    ).fetchone()
    return row is not None


def revoke(connection: Connection[Any], prefix: str) -> bool:
    """End a token, given by its prefix or whole, and the sessions that it opened. False when there is none to end."""
    match = _TOKEN.fullmatch(prefix)
    name = match[1] if match else prefix.removeprefix("ing_")
    connection.execute("DELETE FROM api_sessions WHERE prefix = %s", (name,))
    return (
        connection.execute(
            "UPDATE api_tokens SET revoked_at = now() WHERE prefix = %s AND revoked_at IS NULL", (name,)
        ).rowcount
        == 1
    )


def tokens(connection: Connection[Any], *, user_id: str | None = None) -> list[TokenInfo]:
    """All tokens, or those of one user, newest first."""
    rows = connection.execute(
        "SELECT prefix, user_id, role, label, created_at, expires_at, revoked_at FROM api_tokens"
        " WHERE %s::text IS NULL OR user_id = %s ORDER BY created_at DESC, prefix",
        (user_id, user_id),
    ).fetchall()
    return [
        TokenInfo(
            prefix=row[0],
            user_id=row[1],
            role=Role(row[2]),
            label=row[3],
            created_at=row[4],
            expires_at=row[5],
            revoked_at=row[6],
        )
        for row in rows
    ]


def open_session(connection: Connection[Any], principal: Principal, *, lifetime: timedelta) -> str:
    """Sign a browser in with the token of `principal`; the value of its cookie."""
    cookie = secrets.token_urlsafe(32)
    connection.execute("DELETE FROM api_sessions WHERE expires_at < now()")
    connection.execute(
        "INSERT INTO api_sessions (id_hash, prefix, expires_at) VALUES (%s, %s, now() + %s)",
        (hashlib.sha256(cookie.encode()).digest(), principal.prefix, lifetime),
    )
    return cookie


def session_principal(connection: Connection[Any], cookie: str) -> Principal | None:
    """Whose session it is; None when it ended, or its token did."""
    row = connection.execute(
        "SELECT t.user_id, t.role, t.prefix FROM api_sessions s JOIN api_tokens t USING (prefix)"
        " JOIN users u ON u.id = t.user_id WHERE s.id_hash = %s AND s.expires_at > now() AND t.revoked_at IS NULL"
        " AND (t.expires_at IS NULL OR t.expires_at > now()) AND u.disabled_at IS NULL",
        (hashlib.sha256(cookie.encode()).digest(),),
    ).fetchone()
    return None if row is None else Principal(user_id=row[0], role=Role(row[1]), prefix=row[2])


def close_session(connection: Connection[Any], cookie: str) -> None:
    """Sign a browser out."""
    connection.execute("DELETE FROM api_sessions WHERE id_hash = %s", (hashlib.sha256(cookie.encode()).digest(),))
